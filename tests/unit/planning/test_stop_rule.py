"""The stop rule: why sampling ends, and that it never ends too early."""

from __future__ import annotations

import gc
import random
import time

import numpy as np
import pytest

from attnbench.method import Measure
from attnbench.planning.stop_rule import LOOKS, MAX_SAMPLES, MIN_SAMPLES, Stopping
from attnbench.stats.summary import interval_ranks

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


def test_samples_are_looked_at_now_and_then() -> None:
    quiet = [n for n in range(MIN_SAMPLES, MAX_SAMPLES) if RULE.reason([1.0] * n, 0.0)]

    assert tuple(quiet) == LOOKS
    assert LOOKS[0] == MIN_SAMPLES


def stopped(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each row of samples stops: how many they are, and whether the interval holds 1."""
    going = np.arange(len(samples))
    counts, holds = np.empty(len(samples), int), np.empty(len(samples), bool)
    for n in (*LOOKS, MAX_SAMPLES):
        ordered = np.sort(samples[going, :n])
        low, high = (ordered[:, rank] for rank in interval_ranks(n) or ())
        centre = np.exp(np.log(ordered[:, n // 4 : n - n // 4]).mean(1))
        ends = ((high - low) / 2 / centre < RULE.max_noise) | (n == MAX_SAMPLES)
        counts[going[ends]], holds[going[ends]] = n, ((low <= 1) & (high >= 1))[ends]
        going = going[~ends]
    return counts, holds


@pytest.mark.parametrize("spread", [0.005, 0.01, 0.015, 0.02, 0.03, 0.05])
def test_an_interval_that_is_looked_at_again_and_again_still_covers_at_94_per_cent(
    spread: float,
) -> None:
    samples = np.exp(spread * np.random.default_rng(11).standard_normal((20_000, MAX_SAMPLES)))

    counts, holds = stopped(samples)

    assert holds.mean() >= 0.94
    # What was counted here in one go is what the rule does.
    for row, count in zip(samples[:50].tolist(), counts.tolist(), strict=False):
        ends = (n for n in range(MIN_SAMPLES, MAX_SAMPLES + 1) if RULE.reason(row[:n], 0.0))
        assert next(ends) == count
