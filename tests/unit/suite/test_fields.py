from __future__ import annotations

import contextlib
import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.method import Measure
from attnbench.problem import CHOICES, FIELDS, Problem
from attnbench.suite.fields import (
    GATE,
    LIMIT,
    MEASURE,
    PROBLEM,
    PUBLISHED,
    ValueFault,
    flag,
    markdown,
    off_or_from,
    real,
    scalar,
    share,
    text,
    whole,
    word,
)
from attnbench.suite.schema import TOP_KEYS
from attnbench.suite.values import Gate, Published

DOCS = Path(__file__).parents[3] / "docs" / "suites.md"


def test_the_fields_of_a_suite_are_those_of_a_problem_and_of_a_model():
    assert tuple(PROBLEM) == (*FIELDS, "model", "tp")


@pytest.mark.parametrize("name", CHOICES)
def test_the_words_of_a_field_are_those_of_a_problem(name):
    assert PROBLEM[name].schema["enum"] == list(CHOICES[name])


def test_the_defaults_that_are_reported_are_those_of_a_problem():
    base = {"q_len": 8, "q_heads": 4, "head_dim": 64, "dtype": "bf16"}
    reported = {name: leaf.default for name, leaf in PROBLEM.items()}
    problem = Problem(**base)

    for name in FIELDS:
        value = getattr(problem, name)
        if name in base or not reported[name]:
            continue
        if value is not None and name != "scale":
            assert str(value).lower() == str(base.get(reported[name], reported[name]))


def test_the_keys_of_measure_are_those_of_its_value():
    names = {one.name for one in fields(Measure)}

    assert set(MEASURE) == {*names} - {"timers", "l2_states"} | {"timer", "l2"}
    assert MEASURE["processes"].default == str(Measure().processes)
    assert float(MEASURE["case_limit_s"].default) == Measure().case_limit_s


def test_the_keys_of_gate_and_published_are_those_of_their_values():
    assert {*GATE, "limits", "given"} == {one.name for one in fields(Gate)}
    assert set(PUBLISHED) == {one.name for one in fields(Published)}
    assert set(LIMIT) == {"where", "max_slowdown"}


@pytest.mark.parametrize("table", [PROBLEM, MEASURE, GATE, PUBLISHED])
def test_the_docs_have_the_tables_as_they_are(table):
    assert markdown(table) in DOCS.read_text(encoding="utf-8")


def test_the_docs_name_every_top_key():
    text = DOCS.read_text(encoding="utf-8")

    assert all(f"| `{key}` | {about} |" in text for key, about in TOP_KEYS.items())


def test_the_suites_of_the_docs_load(loaded):
    blocks = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)

    assert len(blocks) == 3
    assert all(loaded(block).cases for block in blocks)


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none())


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (whole(1), 4096, 4096),
        (whole(1), "4k", 4096),
        (whole(1), "1M", 1048576),
        (whole(0), 0, 0),
        (real(), 50, 50),
        (real(), 0.5, 0.5),
        (real(zero=True), 0, 0),
        (off_or_from(2, "why"), 0, 0),
        (off_or_from(2, "why"), 2, 2),
        (word(("a", "b")), "b", "b"),
        (flag, True, True),
        (text, "x", "x"),
        (share, "3%", 0.03),
        (share, "150 %", 1.5),
        (share, "0.03", 0.03),
        (share, 0.03, 0.03),
        (share, 0, 0),
        (scalar, None, None),
    ],
)
def test_what_may_be_said_is_read(read, value, expected):
    assert read("it", value) == expected


@pytest.mark.parametrize(
    ("read", "value", "message", "advice"),
    [
        (whole(1), "4 k", "it needs a whole number, found the text '4 k'", "write 4k or 4096"),
        (
            whole(1),
            "4,096",
            "it needs a whole number, found the text '4,096'",
            "write 4096 or 4096",
        ),
        (whole(1), "x", "it needs a whole number, found the text 'x'", "write 4096 or 4k"),
        (whole(1), 4096.0, "it needs a whole number, found 4096.0", "write 4096"),
        (whole(1), True, "it needs a whole number, found true", "write 4096 or 4k"),
        (whole(1), None, "it needs a whole number, found nothing", "write 4096 or 4k"),
        (whole(1), [1], "it needs a whole number, found a list", "what is varied goes under sweep"),
        (whole(1), 0, "it is at least 1; got 0", ""),
        (real(), "x", "it needs a number, found the text 'x'", ""),
        (real(), float("nan"), "it needs a number, found nan", ""),
        (real(), True, "it needs a number, found true", ""),
        (real(), 0, "it is above 0; got 0", ""),
        (off_or_from(2, "why"), 1.5, "it is 0 (off) or at least 2; got 1.5", "why"),
        (off_or_from(2, "why"), -1, "it is at least 0; got -1", ""),
        (real(zero=True), -1, "it is at least 0; got -1", ""),
        (
            word(("flash", "math")),
            "flsh",
            "it is one of flash, math; got 'flsh'",
            "did you mean 'flash'?",
        ),
        (word(("flash",)), {}, "it is one of flash; got a map", ""),
        (flag, "true", "it is true or false; got the text 'true'", "write true or false"),
        (text, 3, "it is a text; got 3", "write '3'"),
        (text, "", "it is a text; got an empty text", ""),
        (share, "x%", "it is a share; got the text 'x%'", "write 3% or 0.03"),
        (share, -0.1, "it is at least 0; got -0.1", ""),
        (share, 3, "it 3 would be 300 %", "write 3% or 0.03"),
        (scalar, [1], "it takes single values, found a list", ""),
    ],
)
def test_what_cannot_be_is_reported_with_advice(read, value, message, advice):
    with pytest.raises(ValueFault) as caught:
        read("it", value)

    assert (caught.value.message, caught.value.advice) == (message, advice)


@pytest.mark.parametrize("read", [whole(1), real(), word(("a",)), flag, text, share, scalar])
@given(value=ANYTHING)
def test_any_value_is_read_or_refused(read, value):
    with contextlib.suppress(ValueFault):
        read("it", value)
