"""Which cases of two sides belong together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from attnbench.case import Case
from attnbench.errors import InputError, NothingSelected
from attnbench.execute.ab.pairs import paired
from attnbench.execute.ab.sides import Side
from attnbench.plugin import OptionSpec
from attnbench.problem import Problem
from attnbench.suite import Suite

SUITE = Suite(name="s", text="", sha256="", folder=Path(), cases=())
KERNEL = {"kernel": OptionSpec(name="kernel", default="auto", choices=("auto", "flash", "math"))}
BLOCK = {"block": OptionSpec(name="block", default=64)}


def case(backend="sdpa", kv_len=1024, **options):
    problem = Problem(q_len=1, kv_len=kv_len, q_heads=8, head_dim=64, dtype="bf16")
    return Case(problem=problem, backend=backend, options=tuple(sorted(options.items())))


def side(role, *cases, whole=True, options=None):
    return Side(
        role=role,
        words=f"{role} side",
        suite=SUITE,
        cases=tuple(cases),
        options=options or {},
        whole=whole,
    )


def labels(found):
    return [(pair.base.backend_label, pair.new.backend_label) for pair in found[0]]


def test_the_suites_own_backends_pair_with_themselves():
    cases = [case("naive"), case("sdpa"), case("sdpa", 4096)]

    found, remarks = paired(side("base", *cases), side("new", *cases[::-1]))

    assert {(pair.base.id, pair.new.id) for pair in found} == {(one.id, one.id) for one in cases}
    assert remarks == ()


def test_pairs_stand_in_the_order_of_the_new_side():
    cases = [case(kv_len=length) for length in (16, 32, 64)]

    found, _ = paired(side("base", *cases), side("new", *cases[::-1]))

    assert [pair.new.problem.kv_len for pair in found] == [64, 32, 16]


def test_two_labels_pair_by_problem_whatever_their_options():
    base = side("base", case(kernel="math"), options={"sdpa": KERNEL}, whole=False)
    new = side("new", case(kernel="flash"), options={"sdpa": KERNEL}, whole=False)

    assert labels(paired(base, new)) == [("sdpa[kernel=math]", "sdpa[kernel=flash]")]


def test_two_backends_with_variants_pair_by_the_options_that_both_have():
    variants = [{}, {"kernel": "flash"}]
    base = side("base", *(case("a", **one) for one in variants), options={"a": KERNEL}, whole=False)
    new = side(
        "new",
        *(case("b", **one) for one in variants),
        case("b", block=128),
        options={"b": {**KERNEL, **BLOCK}},
        whole=False,
    )

    found = paired(base, new)

    assert labels(found) == [("a", "b"), ("a[kernel=flash]", "b[kernel=flash]")]
    assert found[1] == ("1 of new have no partner: b[block=128]",)


def test_an_option_whose_default_changed_pairs_by_its_value():
    then = {"block": replace(BLOCK["block"], default=128)}
    base = side("base", case("mine"), case("mine", block=64), options={"mine": then})
    new = side("new", case("mine", block=128), case("mine"), options={"mine": BLOCK})

    assert labels(paired(base, new)) == [("mine", "mine[block=128]"), ("mine[block=64]", "mine")]


def test_a_label_meets_its_own_backend_on_a_whole_side():
    base = side("base", case("naive"), case("mine"))
    new = side("new", case("mine"), whole=False)

    assert labels(paired(base, new)) == [("mine", "mine")]


def test_a_label_meets_the_only_backend_of_a_whole_side():
    base, new = side("base", case("mine")), side("new", case("sdpa"), whole=False)

    assert labels(paired(base, new)) == [("mine", "sdpa")]


def test_a_label_that_may_mean_several_is_refused():
    base = side("base", case("mine"), case("theirs"))
    new = side("new", case("sdpa"), whole=False)

    with pytest.raises(InputError, match="base side stands for 2 backends: mine, theirs"):
        paired(base, new)


def test_variants_that_the_other_side_cannot_tell_apart_must_be_named():
    variants = [case("a", kernel=word) for word in ("flash", "math")]
    base = side("base", *variants, options={"a": KERNEL}, whole=False)
    new = side("new", case("b"), options={"b": {}}, whole=False)

    with pytest.raises(InputError, match=r"stands for 2 labels of this suite: a\[kernel=flash\]"):
        paired(base, new)


def test_nothing_in_common_is_an_error_of_its_own():
    with pytest.raises(NothingSelected, match="no case in common") as raised:
        paired(side("base", case(kv_len=16)), side("new", case(kv_len=32)))

    assert raised.value.exit_code == 5
    assert "q1s16" in str(raised.value)
