"""What all timers share: times that cannot be, and the launch."""

from __future__ import annotations

import math

import pytest

from attnbench.device.fake import Fake, Script
from attnbench.measure.outcome import Implausible
from attnbench.measure.timers.base import (
    Launches,
    delay_for,
    host_seconds,
    possible,
    refuse_side_stream_work,
)

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("seconds", [0.0, -1e-6, math.inf, math.nan])
def test_a_time_that_cannot_be_is_refused(seconds):
    with pytest.raises(Implausible, match="no call takes that"):
        possible(seconds, "the clock")


def test_the_launch_is_read_without_the_work():
    device = Fake(Script(issue_s=12e-6, spike_every=3))

    assert host_seconds(device, lambda: device.launch(5e-3)) == pytest.approx(12e-6)


@pytest.mark.parametrize(("seconds", "launches"), [(1e-6, 11), (10e-3, 6), (1.0, 3)])
def test_a_slow_call_is_launched_less_often(seconds, launches):
    device = Fake()
    host_seconds(device, lambda: device.launch(seconds))

    assert device.launches == launches


@pytest.mark.parametrize(("host_s", "delay_s"), [(1e-6, 200e-6), (1e-3, 2e-3), (1.0, 20e-3)])
def test_a_delay_is_twice_the_launch_within_bounds(host_s, delay_s):
    assert delay_for(host_s) == delay_s


def test_half_of_the_samples_are_most():
    count = Launches()
    assert not count.mostly
    for waited in (True, False, False, True):
        count.add(waited=waited)
    assert count.mostly
    count.add(waited=False)
    assert not count.mostly
    count.clear()
    assert (count.samples, count.bound) == (0, 0)


def test_work_on_a_stream_that_nothing_joins_is_refused():
    device = Fake(Script(wrong_stream=True))

    with pytest.raises(Implausible, match="us beyond the event after the call"):
        refuse_side_stream_work(device, lambda: device.launch(1e-3))


def test_work_on_two_streams_is_refused_where_the_unseen_one_is_longer():
    device = Fake()

    def both():
        device.on_side_stream(lambda: device.launch(3e-3))
        device.launch(1e-3)

    with pytest.raises(Implausible):
        refuse_side_stream_work(device, both)


@pytest.mark.parametrize("seconds", [5e-6, 50e-6, 50e-3])
def test_work_on_the_current_stream_is_not_refused(seconds):
    device = Fake(Script(noise=0.05))

    refuse_side_stream_work(device, lambda: device.launch(seconds))
