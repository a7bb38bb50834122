"""Ceilings of this CPU: bursts that repeat, and what it holds."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from attnbench.device import ceilings
from attnbench.device.ceilings import measure_ceilings, sustain
from attnbench.device.cpu import Cpu
from attnbench.device.fake import Fake
from attnbench.device.rates import Ceilings

pytestmark = pytest.mark.torch


@pytest.fixture
def small(monkeypatch):
    """A CPU whose buffers and products are small enough for a test."""
    monkeypatch.setattr(ceilings, "_CPU_BUFFER", 8 * 10**6)
    monkeypatch.setattr(ceilings, "_LONG_ENOUGH_S", 0.0)
    monkeypatch.setattr(ceilings, "_DTYPES", {"fp32": ceilings._DTYPES["fp32"]})
    driver = Cpu()
    return driver, replace(driver.describe(), llc_bytes=10**6)


def test_bursts_and_what_is_held_are_of_one_size(small):
    burst = measure_ceilings(*small, repeats=2)
    held = sustain(*small, burst, seconds=0.05)

    assert burst.sustained_gbps is None
    assert burst.sustained_tflops == {}
    assert (held.read_gbps, held.tflops) == (burst.read_gbps, burst.tflops)
    # A hundredth and not a share: another process may take most of this machine.
    assert 0.01 * burst.peak_bandwidth_gbps < held.sustained_gbps
    assert held.sustained_gbps < 3 * burst.peak_bandwidth_gbps
    assert 0.01 * burst.tflops["fp32"] < held.sustained_tflops["fp32"] < 3 * burst.tflops["fp32"]


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by what each call adds to it, and by nothing else."""
    found = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(ceilings, "time", SimpleNamespace(perf_counter=lambda: found.now_s))
    return found


def test_what_is_held_is_held_for_the_whole_time_and_every_call_counts(clock):
    calls = []

    def call():
        calls.append(1)
        clock.now_s += 1e-3

    each_s = ceilings._back_to_back(Cpu(), call, 0.1)
    before = 3  # that tell how many to enqueue at a time

    assert each_s == pytest.approx(1e-3)
    assert len(calls) - before >= 100


def test_more_threads_that_are_slower_are_left_alone(clock):
    threads = []

    def call():
        threads.append(torch.get_num_threads())
        clock.now_s += 1e-3 if threads[-1] == 1 else 10e-3

    with ceilings._threads(2):  # this machine may have one core
        ceilings._sustained(Cpu(), call, 0.1)
        assert torch.get_num_threads() == 2

    assert threads[0] == 2
    assert threads[-10:] == [1] * 10


def test_a_ceiling_of_a_gpu_leaves_the_launch_out():
    device = Fake()

    assert ceilings._best(device, lambda: device.launch(1e-3), 3) == pytest.approx(1e-3)


def test_the_best_of_two_keeps_what_was_held():
    stored = Ceilings(read_gbps=10, sustained_gbps=8, sustained_tflops={"fp32": 1.0})
    fresh = Ceilings(read_gbps=12)

    best = fresh.best_of(stored)
    assert (best.read_gbps, best.sustained_gbps, best.sustained_tflops) == (12, 8, {"fp32": 1.0})
    newer = Ceilings(sustained_gbps=7, sustained_tflops={"fp32": 0.9})
    assert newer.best_of(stored).sustained_gbps == 7


def test_ceilings_are_rebuilt_from_their_dict():
    held = Ceilings(read_gbps=10, sustained_gbps=8, sustained_tflops={"fp32": 1.0})

    assert Ceilings(**held.to_dict()) == held
    assert Ceilings(read_gbps=10, tflops={}).sustained_gbps is None  # of an older run
