"""Reading what a run said of its machine."""

from __future__ import annotations

import pytest

from attnbench.analysis.machine import machine_states

SPIN = {
    "name": "spin",
    "passed": False,
    "measured": "900 us",
    "expected": "1000 us within 1%",
    "advice": "do not believe it",
    "grave": True,
}
COPY = {**SPIN, "name": "copy", "grave": False}


def canaries(when, launch=0, gemm=100.0, **more):
    return {"record": "canaries", "launch": launch, "when": when, "us": {"gemm": gemm}, **more}


def state(*records):
    (only,) = machine_states({"run_name": "r", "records": list(records)})
    return only


def test_a_launch_is_told_by_how_much_its_end_differs_from_its_beginning():
    told = state(canaries("first"), canaries("last", gemm=103.0, notes=["CLOCK_DRIFT"]))

    assert told.launches[0].changes == {"gemm": pytest.approx(0.03)}
    assert told.launches[0].notes == ("CLOCK_DRIFT",)


def test_a_launch_that_was_cut_off_and_gone_on_with_is_two():
    told = state(canaries("first"), canaries("first"), canaries("last"), canaries("first", 1))

    assert [(one.launch, one.last is None) for one in told.launches] == [
        (0, True),
        (0, False),
        (1, True),
    ]


def test_canaries_that_could_not_be_timed_say_why():
    failed = {"record": "canaries", "launch": 0, "when": "first", "failed": "it died"}
    told = state(failed, canaries("last"))

    assert told.launches[0].failed == "it died"
    assert told.launches[0].changes == {}


def test_only_a_grave_failure_is_a_reason_for_distrust():
    told = state({"record": "selftest", "at": 0.0, "tests": [SPIN, COPY]})

    assert told.distrust == ("spin: 900 us, expected 1000 us within 1%",)


def test_runs_that_were_merged_keep_their_own():
    one = {"run_name": "a", "records": [canaries("first")]}
    other = {"run_name": "b", "records": [canaries("first", gemm=5.0)]}
    old = {"run_name": "old"}
    merged = machine_states({"merged": [{"merged": [one, old]}, other]})

    assert [part.run_name for part in merged] == ["a", "b"]


@pytest.mark.parametrize("metadata", [{}, {"run_name": "old"}, {"merged": []}])
def test_a_run_from_before_says_nothing(metadata):
    assert machine_states(metadata) == []
