from __future__ import annotations

from dataclasses import replace

import pytest

from attnbench.case import Case, backend_label, option_text
from attnbench.problem import Problem

PROBLEM = Problem(
    batch=16,
    q_len=1,
    kv_len=4096,
    q_heads=32,
    kv_heads=8,
    head_dim=128,
    dtype="bf16",
    mask="causal",
)

# Never edit these: results of years are joined by them.
GOLDEN_IDS = [
    ("naive", (), "3a360cb06749"),
    ("sdpa", (("kernel", "flash"),), "2e9c20fa4a3c"),
    ("flex", (("block", 128), ("cpu", True)), "a7584f099755"),
    ("triton_decode", (("scale", 0.5), ("splits", None)), "38967aa53b3e"),
]


@pytest.mark.parametrize(("backend", "options", "expected"), GOLDEN_IDS)
def test_ids_never_change(backend, options, expected):
    assert Case(problem=PROBLEM, backend=backend, options=options).id == expected


def test_an_id_is_over_problem_backend_and_options():
    case = Case(problem=PROBLEM, backend="sdpa", options=(("kernel", "flash"),))
    others = [
        replace(case, problem=replace(PROBLEM, batch=8)),
        replace(case, backend="flex"),
        replace(case, options=()),
        replace(case, options=(("kernel", "math"),)),
    ]

    assert len({case.id, *(other.id for other in others)}) == 5


@pytest.mark.parametrize(
    "given", [{"source": "./kernels/sdpa.py"}, {"model": "llama-3-8b"}, {"tp": 2}, {"weight": 32.0}]
)
def test_where_a_case_comes_from_is_in_no_id(given):
    case = Case(problem=PROBLEM, backend="sdpa")

    assert replace(case, **given).id == case.id


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, "sdpa"),
        ({"kernel": "flash"}, "sdpa[kernel=flash]"),
        ({"b": "x", "a": 1}, "sdpa[a=1,b=x]"),
        ({"on": True, "off": False, "none": None}, "sdpa[none=null,off=false,on=true]"),
        ({"factor": 0.25}, "sdpa[factor=0.25]"),
    ],
)
def test_a_backend_label_says_the_options_that_differ_sorted(options, label):
    assert backend_label("sdpa", options) == label


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (None, "null"), (3, "3"), ("on", "on")]
)
def test_an_option_is_written_as_a_suite_writes_it(value, text):
    assert option_text(value) == text


def test_a_case_label_is_the_problem_and_the_backend():
    case = Case(problem=PROBLEM, backend="sdpa", options=(("kernel", "flash"),))

    assert case.backend_label == "sdpa[kernel=flash]"
    assert case.label == "decode 16q1s4k 32/8x128 bf16 causal · sdpa[kernel=flash]"
