"""Self-tests on scripted devices: sound ones pass, and each planted fault fails its own test."""

from __future__ import annotations

import pytest
import torch

from attnbench.device.cpu import Cpu
from attnbench.device.fake import Fake, Script
from attnbench.device.rates import Ceilings
from attnbench.measure import selftest
from attnbench.measure.selftest import alike, events, judge_copy, self_test, spin, streams, timers

pytestmark = pytest.mark.torch

CEILINGS = Ceilings(read_gbps=120.0, copy_gbps=100.0, triad_gbps=110.0)


def test_a_sound_gpu_passes_what_hangs_on_its_clock():
    for test in (spin, events, streams, timers):
        done = test(Fake(Script(noise=0.002)))
        assert done.passed, done
        assert done.advice is None


def test_a_sound_cpus_spin_is_read_absolutely():
    done = spin(Fake(Script(kind="cpu")))

    assert done.passed
    assert done.measured == "1005.0 us"
    assert done.expected == "1000 us within 1%"


class Slow(Fake):
    """Its spin takes longer, or less long, than asked for."""

    share = 1.0

    def spin(self, seconds):
        super().spin(seconds * self.share)


@pytest.mark.parametrize(("share", "grave"), [(1.5, False), (0.9, True)])
def test_a_spin_read_too_long_is_a_busy_machine_and_too_short_a_broken_clock(share, grave):
    device = Slow(Script(kind="cpu"))
    device.share = share
    done = spin(device)

    assert not done.passed
    assert done.grave == grave
    assert done.advice


class Unsteady(Fake):
    """Long spins cost extra, as on a clock that falls under load."""

    def spin(self, seconds):
        super().spin(seconds * (1.1 if seconds > 6e-3 else 1))


def test_twice_the_cycles_must_take_twice_as_long():
    done = spin(Unsteady())

    assert not done.passed
    assert done.grave
    assert done.measured == "2.200 times as long"


def test_events_that_see_less_than_the_hosts_clock_fail():
    done = events(Fake(Script(wrong_stream=True)))

    assert not done.passed
    assert done.grave
    assert done.measured.startswith("+50")


def test_a_device_whose_streams_wait_for_nothing_is_found_out():
    done = streams(Fake(Script(wrong_stream=True)))

    assert not done.passed
    assert done.measured == "own stream refused, another refused"


class LossyGraph(Fake):
    """Its graphs lose every other kernel."""

    def capture(self, calls):
        return super().capture(calls[::2] if len(calls) > 1 else calls)

    def spin(self, seconds):
        super().spin(seconds / 100)  # so that a graph needs several


def test_a_graph_that_loses_kernels_is_found_out():
    done = timers(LossyGraph(Script(noise=0.001)))

    assert not done.passed
    assert done.grave
    assert "graph -47" in done.measured


@pytest.mark.parametrize(
    ("script", "timer", "words"),
    [
        (Script(capture_fails="no"), "graph", "timer graph: the call cannot be captured"),
        (Script(blind_profiler=True), "profiler", "CUPTI may be taken"),
    ],
)
def test_a_timer_that_is_not_there_is_a_warning_with_its_reason(script, timer, words):
    done = timers(Fake(script))

    assert not done.passed
    assert not done.grave
    assert f"{timer} none" in done.measured
    assert words in done.advice


class OneStream(Fake):
    """Pretends to have another stream: the probe would see nothing there."""

    def on_side_stream(self, call):
        return call()


def test_a_probe_that_sees_nothing_is_found_out():
    assert streams(OneStream()).measured == "own stream accepted, another accepted"
    assert not streams(OneStream()).passed


def test_the_same_call_is_no_different_from_itself():
    device = Fake(Script(noise=0.005))

    assert alike(device, lambda: device.launch(1e-3)).passed


def test_turns_that_differ_are_a_warning_with_advice():
    device = Fake(Script(kind="cpu"))
    calls = iter(range(10**6))
    done = alike(device, lambda: device.launch(1e-3 * (1 + 0.03 * (next(calls) % 2))))

    assert not done.passed
    assert not done.grave
    assert done.measured == "+2.94%"
    assert "stop it" in done.advice


@pytest.mark.parametrize(
    ("gbps", "kind", "passed", "grave"),
    [
        (100.0, "cuda", True, False),
        (61.0, "cuda", True, False),
        (59.0, "cuda", False, False),
        (125.0, "cuda", True, False),
        (200.0, "cuda", False, True),  # bytes counted twice
        (50.0, "cuda", False, False),  # bytes counted in one direction only
        (149.0, "cpu", True, False),
        (151.0, "cpu", False, False),
    ],
)
def test_a_copys_rate_lies_between_a_share_and_the_ceiling(gbps, kind, passed, grave):
    done = judge_copy(gbps, CEILINGS, kind)

    assert (done.passed, done.grave) == (passed, grave)
    assert (done.advice is None) == passed


def test_without_ceilings_no_rate_is_wrong():
    assert judge_copy(1e9, Ceilings(), "cuda").passed


def test_one_that_raises_has_failed_with_its_error(monkeypatch):
    def broken(_driver):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(selftest, "spin", broken)
    first = next(iter(self_test(Cpu(), Cpu().describe(), Ceilings())))

    assert first.name == "spin"
    assert not first.passed
    assert first.measured == "RuntimeError: no such kernel"


def test_this_cpu_answers_them_all():
    done = list(self_test(Cpu(), Cpu().describe(), Ceilings()))

    assert [one.name for one in done] == ["spin", "copy", "A/A"]
    assert not any(one.grave for one in done)


def test_another_process_may_spoil_two_of_three_tries():
    tries = iter([7.0, 5.0, 2.1])

    assert selftest._nearest(lambda: next(tries), 2, 0.2) == 2.1


def test_one_right_try_is_enough():
    tries = iter([2.1])

    assert selftest._nearest(lambda: next(tries), 2, 0.2) == 2.1


def test_a_brief_copy_may_be_served_by_the_cache_and_is_never_too_fast():
    assert not judge_copy(151.0, CEILINGS, "cpu").passed
    assert judge_copy(151.0, CEILINGS, "cpu", bounded=False).passed
    assert not judge_copy(59.0, CEILINGS, "cpu", bounded=False).passed


def test_what_computes_on_one_thread_gives_the_others_back():
    before = torch.get_num_threads()
    with selftest.one_thread(Cpu()):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
