"""The scripted device keeps its script."""

from __future__ import annotations

import statistics

import pytest

from attnbench.device.fake import Fake, FakeOutOfMemory, Script


def span(device, seconds):
    start, end = device.events()
    start.record()
    device.launch(seconds)
    end.record()
    device.synchronize()
    return start.elapsed_time(end) * 1e-3


def test_a_launch_takes_the_time_it_was_given():
    device = Fake(Script(issue_s=0))

    assert span(device, 35e-6) == pytest.approx(35e-6)
    assert device.clock_ns() == 35_000


def test_work_queues_behind_a_delay():
    device = Fake()
    start, end = device.events()
    device.delay(200e-6)
    start.record()
    device.launch(35e-6)
    end.record()

    assert not start.query()
    end.synchronize()
    assert start.query()
    assert start.elapsed_time(end) == pytest.approx(0.035)


def test_another_stream_does_not_wait():
    device = Fake()
    device.delay(200e-6)
    device.on_side_stream(lambda: device.launch(1e-3))

    assert device.free_at_s["aside"] == pytest.approx(1e-3 + 2 * device.script.issue_s)
    device.synchronize()
    assert device.now_s == device.free_at_s["aside"]


def test_noise_is_as_wide_as_written_and_the_same_each_time():
    times = [[span(device, 1.0) for _ in range(500)] for device in (noisy(), noisy())]

    assert times[0] == times[1]
    assert statistics.stdev(times[0]) == pytest.approx(0.05, rel=0.15)


def noisy():
    return Fake(Script(noise=0.05, issue_s=0))


def test_every_tenth_launch_is_a_spike():
    device = Fake(Script(spike_every=10, issue_s=0))
    times = [span(device, 1.0) for _ in range(20)]

    assert [round(one) for one in times] == ([1] * 9 + [10]) * 2


def test_clocks_that_fall_make_work_longer():
    drifting = Fake(Script(drift_per_s=0.1, issue_s=0))
    assert span(drifting, 1.0) == pytest.approx(1)
    assert drifting.read().sm_clock_mhz == pytest.approx(1800)
    assert span(drifting, 0.9) == pytest.approx(1)

    throttling = Fake(Script(throttles_at_s=1.0, issue_s=0))
    assert (span(throttling, 1.0), throttling.read().throttled) == (1.0, ("sw_power_cap",))
    assert span(throttling, 1.0) == pytest.approx(2)


def test_the_launch_of_a_number_finds_no_memory():
    device = Fake(Script(oom_at=2))
    device.launch(1.0)
    with pytest.raises(FakeOutOfMemory) as found:
        device.launch(1.0)

    assert device.is_out_of_memory(found.value)
    assert not device.is_out_of_memory(MemoryError())


def test_events_may_see_nothing():
    assert span(Fake(Script(zero_events=True)), 1.0) == 0
    assert span(Fake(Script(wrong_stream=True, issue_s=1e-6)), 1.0) == pytest.approx(1e-6)


def test_a_scripted_cpu_has_neither_events_nor_telemetry():
    device = Fake(Script(kind="cpu"))

    assert device.telemetry() is None
    with pytest.raises(NotImplementedError):
        device.events()
