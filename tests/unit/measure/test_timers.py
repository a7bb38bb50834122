"""Timers against a device whose clock is a script."""

from __future__ import annotations

import math
import time

import pytest

from attnbench.device.cpu import Cpu
from attnbench.device.fake import Fake, Script
from attnbench.errors import Unsupported
from attnbench.measure.outcome import Implausible
from attnbench.measure.timers import make_timer, possible, refuse_stray_work

pytestmark = pytest.mark.torch


def test_an_event_sample_is_the_call_alone():
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


def test_a_launch_that_the_delay_did_not_hide_is_counted():
    device = Fake(Script(issue_s=300e-6))
    timer = make_timer("event", device, lambda: device.launch(35e-6), None)
    for _ in range(4):
        timer.sample()

    assert timer.launches.bound == timer.launches.samples == 4
    assert timer.launches.mostly


@pytest.mark.parametrize("seconds", [50e-6, 50e-3])
def test_a_wall_sample_is_issue_call_and_synchronisation(seconds):
    device = Fake(Script(kind="cpu"))
    timer = make_timer("wall", device, lambda: device.launch(seconds), None)

    assert timer.sample() == pytest.approx(seconds + device.script.issue_s)


def test_wall_reads_the_hosts_clock():
    slept_s = 0.01
    timer = make_timer("wall", Cpu(), lambda: time.sleep(slept_s), None)

    assert slept_s <= timer.sample() < 10 * slept_s


def test_a_timer_that_cannot_run_says_so():
    with pytest.raises(Unsupported, match="timer event: a CPU has no events"):
        make_timer("event", Cpu(), lambda: None, None)
    with pytest.raises(Unsupported, match="timer graph is not built yet"):
        make_timer("graph", Fake(), lambda: None, None)


def test_events_without_length_are_no_sample():
    device = Fake(Script(zero_events=True))
    timer = make_timer("event", device, lambda: device.launch(35e-6), None)

    with pytest.raises(Implausible, match="the events around the call read 0 s"):
        timer.sample()


@pytest.mark.parametrize("seconds", [0.0, -1e-6, math.inf, math.nan])
def test_a_time_that_cannot_be_is_refused(seconds):
    with pytest.raises(Implausible, match="no call takes that"):
        possible(seconds, "the clock")


def test_work_on_a_stream_that_nothing_joins_is_refused():
    device = Fake(Script(wrong_stream=True))

    with pytest.raises(Implausible, match="us beyond the event after the call"):
        refuse_stray_work(device, lambda: device.launch(1e-3))


def test_work_on_two_streams_is_refused_where_the_unseen_one_is_longer():
    device = Fake()

    def both():
        device.aside(lambda: device.launch(3e-3))
        device.launch(1e-3)

    with pytest.raises(Implausible):
        refuse_stray_work(device, both)


@pytest.mark.parametrize("seconds", [5e-6, 50e-6, 50e-3])
def test_work_on_the_current_stream_is_not_refused(seconds):
    device = Fake(Script(noise=0.05))

    refuse_stray_work(device, lambda: device.launch(seconds))
