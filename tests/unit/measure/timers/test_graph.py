"""``graph`` against a device whose clock is a script."""

from __future__ import annotations

import pytest

from attnbench.device.fake import Fake, FakeOutOfMemory, Script
from attnbench.errors import Unsupported
from attnbench.measure.outcome import Implausible
from attnbench.measure.timers import make_timer

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("seconds", [2e-6, 35e-6, 5e-3])
def test_a_replay_is_two_hundred_resolutions_long(seconds):
    device = Fake()
    timer = make_timer("graph", device, lambda: device.launch(seconds))

    assert timer.sample() == pytest.approx(seconds)
    assert timer.calls * seconds >= 200 * device.event_resolution_s


def test_launches_between_calls_are_in_no_sample():
    device = Fake(Script(issue_s=40e-6))
    timer = make_timer("graph", device, lambda: device.launch(2e-6))

    assert timer.sample() == pytest.approx(2e-6)
    assert timer.host_s == pytest.approx(40e-6 / timer.calls)
    assert not timer.is_launch_bound(2e-6)


@pytest.mark.parametrize(("copies", "calls"), [(1, 3), (2, 4), (3, 3), (7, 7)])
def test_a_graph_holds_whole_turns_of_every_copy(copies, calls):
    device = Fake()
    called = []
    bound = [lambda one=one: (called.append(one), device.launch(40e-6)) for one in range(copies)]
    timer = make_timer("graph", device, bound[0], others=bound[1:])

    assert timer.calls == calls
    assert called[-calls:] == list(range(copies)) * (calls // copies)


def test_copies_enough_read_cold_and_one_reads_warm():
    device = Fake(Script(llc_bytes=1000))
    calls = [lambda one=one: device.launch(50e-6, reads=(one, 400)) for one in range(13)]

    def read(copies):
        return make_timer("graph", device, calls[0], others=calls[1:copies]).sample()

    assert read(13) == pytest.approx(50e-6)
    assert read(1) == read(2) == pytest.approx(25e-6)


def test_a_call_that_cannot_be_captured_is_unsupported_in_the_devices_words():
    device = Fake(Script(capture_fails="operation not permitted\nwhen stream is capturing"))

    with pytest.raises(Unsupported, match=r"in a CUDA graph \(operation not permitted when str"):
        make_timer("graph", device, lambda: device.launch(1e-3))
    assert not device.is_alive()  # what a broken capture leaves behind is no other case's


def test_no_memory_while_capturing_is_no_fault_of_the_call():
    device = Fake(Script(oom_at=3))

    with pytest.raises(FakeOutOfMemory):
        make_timer("graph", device, lambda: [device.launch(1e-3), device.launch(1e-3)])


def test_a_graph_of_nothing_is_no_sample():
    with pytest.raises(Implausible, match="4096 calls back to back"):
        make_timer("graph", Fake(), lambda: None)


class Masked(Fake):
    """Ends a broken capture with an error of its own, as CUDA may."""

    def capture(self, calls):
        try:
            return super().capture(calls)
        finally:
            raise RuntimeError("the capture was invalidated")


def test_no_memory_is_found_behind_what_the_capture_says_of_it():
    device = Masked(Script(oom_at=3))

    with pytest.raises(FakeOutOfMemory):
        make_timer("graph", device, lambda: [device.launch(1e-3), device.launch(1e-3)])
