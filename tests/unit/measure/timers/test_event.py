"""``event`` against a device whose clock is a script."""

from __future__ import annotations

import pytest

from attnbench.device.fake import Fake, Script
from attnbench.measure.outcome import Implausible
from attnbench.measure.timers import make_timer

pytestmark = pytest.mark.torch


def test_a_sample_is_the_call_alone():
    device = Fake()
    flushed = []
    timer = make_timer(
        "event",
        device,
        lambda: device.launch(35e-6),
        lambda: (flushed.append(1), device.launch(500e-6))[0],
    )

    assert timer.sample() == pytest.approx(35e-6)
    assert timer.sample() == pytest.approx(35e-6)
    assert len(flushed) == 2
    assert not timer.launches.mostly
    assert timer.calls == 1


def test_the_delay_grows_with_the_launch():
    device = Fake(Script(issue_s=300e-6))
    timer = make_timer("event", device, lambda: device.launch(350e-6), None)

    assert timer.sample() == pytest.approx(350e-6)
    assert timer.host_s == pytest.approx(300e-6)
    assert timer.launches.bound == 0
    assert not timer.is_launch_bound(350e-6)
    assert timer.is_launch_bound(290e-6)


def test_a_launch_that_no_delay_hides_is_counted():
    device = Fake(Script(issue_s=30e-3))
    timer = make_timer("event", device, lambda: device.launch(50e-3), None)
    for _ in range(4):
        timer.sample()

    assert timer.launches.bound == timer.launches.samples == 4
    assert timer.launches.mostly
    assert timer.is_launch_bound(50e-3)


def test_events_without_length_are_no_sample():
    device = Fake(Script(zero_events=True))
    timer = make_timer("event", device, lambda: device.launch(35e-6), None)

    with pytest.raises(Implausible, match="the events around the call read 0 s"):
        timer.sample()
