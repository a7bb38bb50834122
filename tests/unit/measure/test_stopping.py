"""The stop rule: why sampling ends, and that it never ends too early."""

from __future__ import annotations

import gc
import random
import time

import pytest

from attnbench.measure.stopping import MAX_SAMPLES, MIN_SAMPLES, Stopping
from attnbench.method import Measure

RULE = Stopping(sample_s=0.3, max_noise=0.01, limit_s=5.0)


def test_two_samples_are_never_enough() -> None:
    assert RULE.reason([1.0, 1.0], elapsed_s=1e9) is None


def test_quiet_samples_stop_as_precise_at_the_tenth() -> None:
    assert RULE.reason([1.0] * (MIN_SAMPLES - 1), 0.0) is None
    assert RULE.reason([1.0] * MIN_SAMPLES, 0.0) == "precise"


def test_noisy_samples_go_on_until_the_time_is_over() -> None:
    dice = random.Random(0)  # noqa: S311  noise, not a secret
    samples = [dice.uniform(0.5, 1.5) for _ in range(20)]
    assert RULE.reason(samples, 0.29) is None
    assert RULE.reason(samples, 0.30) == "time"


def test_two_hundred_samples_are_enough() -> None:
    dice = random.Random(1)  # noqa: S311  noise, not a secret
    samples = [dice.uniform(0.5, 1.5) for _ in range(MAX_SAMPLES)]
    assert RULE.reason(samples, 0.0) == "samples"


@pytest.mark.parametrize(("elapsed_s", "reason"), [(4.9, None), (5.0, "cut")])
def test_a_slow_call_is_cut_at_the_case_limit(elapsed_s: float, reason: str | None) -> None:
    assert RULE.reason([1.6, 1.6, 1.7], elapsed_s) == reason


def test_the_rule_comes_from_the_measure_block() -> None:
    rule = Stopping.of(Measure(sample_s=1.0, max_noise=0.05, case_limit_s=0.5))
    assert rule == Stopping(sample_s=1.0, max_noise=0.05, limit_s=1.0)


def test_collections_stay_out_of_samples_and_come_back_whatever_happens() -> None:
    def broken() -> float:
        assert not gc.isenabled()
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        RULE.take(broken, time.perf_counter_ns)
    assert gc.isenabled()


def test_samples_are_taken_until_the_rule_ends_them() -> None:
    samples, stop = RULE.take(lambda: 1.0, lambda: 0)

    assert (len(samples), stop) == (MIN_SAMPLES, "precise")
