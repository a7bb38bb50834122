from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from attnbench.method import Measure
from attnbench.problem import CHOICES, FIELDS, Problem
from attnbench.suite.fields import GATE, LIMIT, MEASURE, PROBLEM, PUBLISHED, markdown
from attnbench.suite.schema import TOP_KEYS
from attnbench.suite.values import Gate, Published

DOCS = Path(__file__).parents[3] / "docs" / "suites.md"


def test_the_fields_of_a_suite_are_those_of_a_problem_and_of_a_model():
    assert tuple(PROBLEM) == (*FIELDS, "model", "tp")


@pytest.mark.parametrize("name", CHOICES)
def test_the_words_of_a_field_are_those_of_a_problem(name):
    assert PROBLEM[name].schema["enum"] == list(CHOICES[name])


def test_the_defaults_that_are_told_are_those_of_a_problem():
    base = {"q_len": 8, "q_heads": 4, "head_dim": 64, "dtype": "bf16"}
    told = {name: leaf.default for name, leaf in PROBLEM.items()}
    problem = Problem(**base)

    for name in FIELDS:
        value = getattr(problem, name)
        if name in base or not told[name]:
            continue
        if value is not None and name != "scale":
            assert str(value).lower() == str(base.get(told[name], told[name]))


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
