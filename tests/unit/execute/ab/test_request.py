"""What is asked of ab: its limits, its names, its selection."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnbench.case import Case
from attnbench.environment import Device
from attnbench.errors import InputError, NameTakenError, NothingSelected
from attnbench.execute.ab.pairs import Pair
from attnbench.execute.ab.request import (
    AbRequest,
    refuse_taken,
    result_of,
    ruling_of,
)
from attnbench.execute.ab.sides import ROLES, Asked
from attnbench.problem import Problem
from attnbench.suite import Gate, Suite

DEVICE = Device(kind="cpu", name="Xeon", arch="x86_64", memory_bytes=1, free_bytes=1)


def request(**settings):
    return AbRequest(asked=Asked(Path("s.yaml")), base="a", new="b", **settings)


def suite(**settings):
    return Suite(name="s", text="", sha256="", folder=Path(), cases=(), **settings)


def pair(kv_len):
    problem = Problem(q_len=1, kv_len=kv_len, q_heads=8, head_dim=64, dtype="bf16")
    return Pair(Case(problem=problem, backend="a"), Case(problem=problem, backend="b"))


def test_limits_are_the_suites_or_those_that_were_typed():
    given = suite(gate=Gate(max_slowdown=0.03, given=True))

    rule, source = request().rule(given)
    assert (rule.max_slowdown, source) == (0.03, "the suite s")
    rule, source = request(max_slowdown=0.1, inconclusive="fail").rule(given)
    assert (rule.max_slowdown, rule.inconclusive, source) == (0.1, "fail", "--max-slowdown")


def test_without_a_limit_anywhere_nothing_is_measured():
    with pytest.raises(InputError, match="there is no limit"):
        request().rule(suite())

    assert request(max_slowdown=0.1).rule(suite())[0].max_slowdown == 0.1


def test_a_filter_keeps_the_pairs_where_it_matches_either_case():
    pairs = (pair(16), pair(32))
    both = (suite(), suite())

    assert request().selected(pairs, both) == pairs
    assert request(filter="kv_len=16").selected(pairs, both) == pairs[:1]
    assert request(filter="backend=a").selected(pairs, both) == pairs
    assert request(filter=pairs[1].new.id).selected(pairs, both) == pairs[1:]
    with pytest.raises(NothingSelected, match="picks none of 2"):
        request(filter="kv_len=64").selected(pairs, both)
    with pytest.raises(InputError, match="kvlen"):
        request(filter="kvlen=64").selected(pairs, both)


def test_three_files_have_one_name(tmp_path):
    assert request(name="x").stem(suite(), DEVICE) == Path("results/x")
    assert request(out=tmp_path / "v1.2").stem(suite(), DEVICE) == tmp_path / "v1.2"
    assert request().stem(suite(), DEVICE).name.startswith("s-ab-cpu-")
    assert result_of(tmp_path / "v1.2", "base").name == "v1.2.base.parquet"
    assert ruling_of(tmp_path / "v1.2").name == "v1.2.ruling.json"


@pytest.mark.parametrize(
    "name", ["x.base.parquet", "x.new.parquet", "x.ruling.json", "x.new.journal"]
)
def test_a_name_of_which_one_file_is_there_is_taken(tmp_path, name):
    refuse_taken(tmp_path / "x", ROLES)
    (tmp_path / name).write_text("")

    with pytest.raises(NameTakenError, match=f"{name} exists already"):
        refuse_taken(tmp_path / "x", ROLES)
