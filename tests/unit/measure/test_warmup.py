"""Warm-up against written times: never shorter than asked, never much longer than it helps."""

from __future__ import annotations

import pytest

from attnbench.device.fake import Fake, Script
from attnbench.measure.warmup import WINDOW, is_warm, times_are_flat, warm_up


@pytest.mark.parametrize(
    ("calls", "elapsed_s", "warm"),
    [
        (2, 100.0, False),  # three calls at least, however slow
        (3, 100.0, True),
        (19, 0.1, False),  # too few to say that they are flat
        (20, 0.1, True),
        (200, 0.09, False),  # flat, but warmup_s is not over
        (200, 0.1, True),
    ],
)
def test_equal_times_end_it_once_time_and_calls_are_in(calls, elapsed_s, warm):
    assert is_warm([1.0] * calls, elapsed_s, warmup_s=0.1) == warm


def test_falling_times_go_on_until_three_times_as_long():
    falling = [100.0 - 0.5 * n for n in range(100)]

    assert not is_warm(falling, 0.29, warmup_s=0.1)
    assert is_warm(falling, 0.31, warmup_s=0.1)


def test_it_is_the_last_twenty_that_count():
    settled = [9.0] * 50 + [1.0] * WINDOW

    assert times_are_flat(settled)
    assert not times_are_flat(settled[:-10])


@pytest.mark.parametrize(("step", "flat"), [(0.009, True), (0.011, False), (-0.011, False)])
def test_the_halves_agree_within_one_per_cent(step, flat):
    assert times_are_flat([1.0] * 10 + [1.0 + step] * 10) == flat


def test_a_spike_does_not_prolong_it():
    assert times_are_flat([1.0] * 5 + [50.0] + [1.0] * 14)


def test_no_warm_up_asked_for_is_three_calls():
    assert is_warm([1.0] * 3, 1e-6, warmup_s=0.0)


def test_a_device_that_heats_is_warmed_until_it_is_flat():
    steady, sinking = Fake(), Fake(Script(drift_per_s=0.9))
    took_s = [
        warm_up(lambda device=device: timed(device), device.clock_ns, 0.1)
        for device in (steady, sinking)
    ]

    assert took_s[0] == pytest.approx(0.1, rel=0.05)
    assert took_s[1] == pytest.approx(0.3, rel=0.05)


def timed(device):
    start = device.now_s
    device.launch(2e-3)
    device.synchronize()
    return device.now_s - start
