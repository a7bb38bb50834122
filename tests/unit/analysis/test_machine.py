"""Reading what a run said of its machine."""

from __future__ import annotations

import numpy as np
import pytest

from attnbench.analysis.machine import canary_shifts, machine_states

SPIN = {
    "name": "spin",
    "passed": False,
    "measured": "900 us",
    "expected": "1000 us within 1%",
    "advice": "do not believe it",
    "grave": True,
}
COPY = {**SPIN, "name": "copy", "grave": False}


def canaries(when, process=0, gemm=100.0, **more):
    return {"record": "canaries", "process": process, "when": when, "us": {"gemm": gemm}} | more


def state(*records):
    (only,) = machine_states({"run_name": "r", "records": list(records)})
    return only


def test_a_process_is_reported_by_how_much_its_end_differs_from_its_beginning():
    reported = state(canaries("first"), canaries("last", gemm=103.0, notes=["CLOCK_DRIFT"]))

    assert reported.processes[0].changes == {"gemm": pytest.approx(0.03)}
    assert reported.processes[0].notes == ("CLOCK_DRIFT",)


def test_a_process_that_was_cut_off_and_gone_on_with_is_two():
    reported = state(canaries("first"), canaries("first"), canaries("last"), canaries("first", 1))

    assert [(one.process, one.last is None) for one in reported.processes] == [
        (0, True),
        (0, False),
        (1, True),
    ]


def test_canaries_that_could_not_be_timed_say_why():
    failed = {"record": "canaries", "process": 0, "when": "first", "failed": "it died"}
    reported = state(failed, canaries("last"))

    assert reported.processes[0].failed == "it died"
    assert reported.processes[0].changes == {}


def test_only_a_grave_failure_is_a_reason_for_distrust():
    reported = state({"record": "selftest", "at": 0.0, "tests": [SPIN, COPY]})

    assert reported.distrust == ("spin: 900 us, expected 1000 us within 1%",)


def test_runs_that_were_merged_keep_their_own():
    one = {"run_name": "a", "records": [canaries("first")]}
    other = {"run_name": "b", "records": [canaries("first", gemm=5.0)]}
    old = {"run_name": "old"}
    merged = machine_states({"merged": [{"merged": [one, old]}, other]})

    assert [part.run_name for part in merged] == ["a", "b"]


@pytest.mark.parametrize("metadata", [{}, {"run_name": "old"}, {"merged": []}])
def test_a_run_from_before_says_nothing(metadata):
    assert machine_states(metadata) == []


def processes(values, last=None):
    """A state whose processes read these times, first and, where there are any, last."""
    firsts = [canaries("first", n, gemm=us) for n, us in enumerate(values)]
    lasts = [canaries("last", n, gemm=us) for n, us in enumerate(last or ())]
    both = [[one, *(two for two in lasts if two["process"] == one["process"])] for one in firsts]
    return state(*(record for pair in both for record in pair))


def test_canaries_of_two_sides_are_compared_round_by_round():
    base = processes([100.0, 110.0, 90.0, 120.0])
    new = processes([103.0, 113.0, 92.5, 123.9])

    (gemm,) = canary_shifts(base, new)

    assert (gemm.name, gemm.rounds) == ("gemm", 4)
    assert gemm.change == pytest.approx(0.03, abs=0.002)
    assert gemm.low < gemm.change < gemm.high
    assert gemm.is_real


def test_a_canary_counts_by_the_mean_of_first_and_last():
    base = processes([100.0, 100.0], last=[100.0, 100.0])
    new = processes([100.0, 100.0], last=[104.0, 104.0])

    (gemm,) = canary_shifts(base, new)

    assert gemm.change == pytest.approx(1.04**0.5 - 1)


def test_canaries_that_only_scatter_are_no_news():
    (gemm,) = canary_shifts(
        processes([100.0, 103.0, 99.0, 101.0]), processes([101.0, 100.0, 102.0, 100.0])
    )

    assert not gemm.is_real


def test_of_a_hundred_equal_machines_however_restless_few_are_called_different():
    dice = np.random.default_rng(5)
    called = 0
    for _ in range(300):
        sides = []
        for _ in range(2):
            us = 100 * np.exp(0.05 * dice.standard_normal((8, 3)))
            times = [dict(zip(("copy", "gemm", "softmax"), row, strict=True)) for row in us]
            sides.append(state(*(canaries("first", n, us=one) for n, one in enumerate(times))))
        called += any(one.is_real for one in canary_shifts(*sides))

    assert called <= 9  # three hundred times their intervals would call more than twenty


def test_one_round_has_a_change_and_no_interval_and_sides_without_a_common_process_have_nothing():
    (gemm,) = canary_shifts(processes([100.0, 1.0]), processes([102.0]))
    assert (gemm.change, gemm.low, gemm.rounds) == (pytest.approx(0.02), None, 1)

    failed = state({"record": "canaries", "process": 0, "when": "first", "failed": "it died"})
    assert canary_shifts(failed, processes([100.0])) == ()
