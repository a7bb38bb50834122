"""``event_batched`` against a device whose clock is a script."""

from __future__ import annotations

import pytest

from attnbench.device.fake import Fake, Script
from attnbench.measure.outcome import Implausible
from attnbench.measure.timers import make_timer

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("seconds", [2e-6, 7e-6, 35e-6, 99e-6, 101e-6, 5e-3])
def test_an_interval_is_two_hundred_resolutions_long(seconds):
    device = Fake()
    timer = make_timer("event_batched", device, lambda: device.launch(seconds))

    assert timer.sample() == pytest.approx(seconds)
    assert timer.calls * seconds >= 200 * device.event_resolution_s
    assert timer.calls == 1 or (timer.calls - 1) * seconds < 150e-6
    assert timer.launches.bound == 0


@pytest.mark.parametrize("seconds", [2.1e-6, 3.3e-6, 9.7e-6])
def test_ticks_that_a_single_call_drowns_in_do_not_show(seconds):
    device = Fake(Script(tick_s=1.024e-6))
    single = make_timer("event", device, lambda: device.launch(seconds))
    batched = make_timer("event_batched", device, lambda: device.launch(seconds))

    assert abs(single.sample() / seconds - 1) > 0.02
    assert batched.sample() == pytest.approx(seconds, rel=0.01)


def test_calls_go_round_the_copies_from_interval_to_interval():
    device = Fake()
    called = []
    calls = [lambda one=one: (called.append(one), device.launch(60e-6)) for one in range(5)]
    timer = make_timer("event_batched", device, calls[0], others=calls[1:])
    called.clear()
    for _ in range(5):
        timer.sample()

    assert timer.calls == 2
    assert called == [(called[0] + step) % 5 for step in range(10)]


def test_copies_enough_read_cold_and_one_reads_warm():
    device = Fake(Script(llc_bytes=1000))
    calls = [lambda one=one: device.launch(50e-6, reads=(one, 400)) for one in range(13)]

    def read(copies):
        return make_timer("event_batched", device, calls[0], others=calls[1:copies]).sample()

    assert read(13) == pytest.approx(50e-6)
    assert read(1) == read(2) == pytest.approx(25e-6)


def test_events_without_length_are_no_sample():
    device = Fake(Script(zero_events=True))

    with pytest.raises(Implausible, match="the events around the call read 0 s"):
        make_timer("event_batched", device, lambda: device.launch(35e-6))


def test_calls_that_do_nothing_are_no_sample():
    with pytest.raises(Implausible, match=r"4096 calls back to back take 0\.5 us in all"):
        make_timer("event_batched", Fake(), lambda: None)
