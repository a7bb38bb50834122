"""Timers against a device whose clock is a script."""

from __future__ import annotations

import time
from typing import Any

import pytest

from attnbench.errors import Unsupported
from attnbench.measure.timers import make_timer


class Event:
    """An event that is done once the scripted device has come to it."""

    def __init__(self, device: ScriptedDevice) -> None:
        self.device = device
        self.at_s: float | None = None

    def record(self) -> None:
        self.device.enqueue(self)

    def query(self) -> bool:
        return self.at_s is not None

    def elapsed_time(self, other: Event) -> float:
        assert self.at_s is not None
        assert other.at_s is not None
        return (other.at_s - self.at_s) * 1e3


class ScriptedDevice:
    """Runs its queue at synchronize, or at once while no delay keeps it busy."""

    kind = "cuda"
    torch_name = "cuda:0"

    def __init__(self, *, delays: bool = True) -> None:
        self.clock_s = 0.0
        self.delays = delays
        self.queue: list[Event | float] = []
        self.busy = False

    def enqueue(self, item: Event | float) -> None:
        self.queue.append(item)
        if not self.busy:
            self.drain()

    def drain(self) -> None:
        for item in self.queue:
            if isinstance(item, Event):
                item.at_s = self.clock_s
            else:
                self.clock_s += item
        self.queue.clear()
        self.busy = False

    def synchronize(self) -> None:
        self.drain()

    def delay(self) -> None:
        self.busy = self.delays
        self.enqueue(200e-6)

    def events(self) -> tuple[Any, Any]:
        return Event(self), Event(self)


class NoEvents(ScriptedDevice):
    """A CPU."""

    def events(self) -> tuple[Any, Any]:
        raise NotImplementedError("a CPU has no events; its timer is wall")


def test_an_event_sample_is_the_call_alone() -> None:
    device = ScriptedDevice()
    flushed: list[int] = []
    timer = make_timer(
        "event",
        device,  # type: ignore[arg-type]  the part of a Driver that timers use
        lambda: device.enqueue(35e-6),
        lambda: (flushed.append(1), device.enqueue(500e-6))[0],
    )
    assert timer.sample() == pytest.approx(35e-6)
    assert timer.sample() == pytest.approx(35e-6)
    assert len(flushed) == 2
    assert not timer.launches.mostly


def test_a_launch_that_the_delay_did_not_hide_is_counted() -> None:
    device = ScriptedDevice(delays=False)
    timer = make_timer("event", device, lambda: device.enqueue(35e-6), None)  # type: ignore[arg-type]
    for _ in range(4):
        timer.sample()
    assert timer.launches.bound == timer.launches.samples == 4
    assert timer.launches.mostly


def test_wall_counts_the_synchronisation() -> None:
    device = ScriptedDevice()
    slept_s = 0.01
    timer = make_timer("wall", device, lambda: time.sleep(slept_s), None)  # type: ignore[arg-type]
    assert slept_s <= timer.sample() < 10 * slept_s


def test_a_timer_that_cannot_run_says_so() -> None:
    with pytest.raises(Unsupported, match="timer event: a CPU has no events"):
        make_timer("event", NoEvents(), lambda: None, None)  # type: ignore[arg-type]
    with pytest.raises(Unsupported, match="timer graph is not built yet"):
        make_timer("graph", ScriptedDevice(), lambda: None, None)  # type: ignore[arg-type]
