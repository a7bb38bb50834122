from __future__ import annotations

import json
from dataclasses import replace

import pytest

from attnbench.method import Measure, Method, timer_for
from attnbench.problem import Problem

PROBLEM = Problem(q_len=1, kv_len=4096, q_heads=32, head_dim=128, dtype="bf16")


# Rows of different method ids are never compared: a change here is a new method.
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (Method(timer="wall", l2="warm"), "5dc79130d26f"),
        (Method(timer="event", l2="cold", flush="read"), "46a92cb232ac"),
    ],
)
def test_ids_never_change(method, expected):
    assert method.id == expected


@pytest.mark.parametrize(
    "given", [{"timer": "wall"}, {"l2": "warm"}, {"flush": None}, {"warmup_s": 0.2}]
)
def test_every_rule_of_timing_is_in_the_id(given):
    method = Method(timer="event", l2="cold", flush="read")

    assert replace(method, **given).id != method.id


def test_a_whole_number_of_seconds_is_one_method_however_it_is_written():
    assert (
        Method(timer="wall", l2="warm", warmup_s=1).id
        == Method(timer="wall", l2="warm", warmup_s=1.0).id
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("cpu", Method(timer="wall", l2="warm")),
        ("cuda", Method(timer="event", l2="cold", flush="read")),
    ],
)
def test_auto_is_told_by_the_device(kind, expected):
    assert Measure().methods(PROBLEM, kind) == (expected,)
    assert timer_for(PROBLEM, kind) == expected.timer


def test_lists_multiply_and_what_is_the_same_twice_is_measured_once():
    measure = Measure(timers=("auto", "wall"), l2_states=("cold", "warm", "auto"))

    assert measure.methods(PROBLEM, "cpu") == (
        Method(timer="wall", l2="cold", flush="read"),
        Method(timer="wall", l2="warm"),
    )


def test_how_much_is_measured_is_in_no_method():
    few = Measure(launches=1, sample_s=0.1, max_noise=0.1, case_limit_s=1, compile_s=1)

    assert few.methods(PROBLEM, "cuda") == Measure().methods(PROBLEM, "cuda")


def test_warm_up_is_in_the_method():
    (method,) = Measure(warmup_s=0.5).methods(PROBLEM, "cpu")

    assert method.warmup_s == 0.5


def test_the_deadline_follows_the_case_limit_unless_it_is_given():
    assert Measure().deadline == 30
    assert Measure(case_limit_s=60).deadline == 250
    assert Measure(deadline_s=7).deadline == 7


def test_the_defaults_are_those_of_the_design():
    assert Measure().facts() == {
        "launches": 3,
        "warmup_s": 0.1,
        "sample_s": 0.3,
        "max_noise": 0.01,
        "case_limit_s": 5.0,
        "compile_s": 120.0,
        "deadline_s": None,
        "timers": ("auto",),
        "l2_states": ("auto",),
        "flush": "read",
    }


def test_facts_survive_json():
    measure = Measure(launches=5, timers=("wall", "event"), deadline_s=3.5)

    assert Measure.from_facts(json.loads(json.dumps(measure.facts()))) == measure
