"""``wall`` against a device whose clock is a script, and against this one."""

from __future__ import annotations

import time

import pytest

from attnbench.device.cpu import Cpu
from attnbench.device.fake import Fake, Script
from attnbench.measure.timers import make_timer

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("seconds", [50e-6, 50e-3])
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_sample_is_issue_call_and_synchronisation(seconds, kind):
    device = Fake(Script(kind=kind))
    timer = make_timer("wall", device, lambda: device.launch(seconds), None)

    assert timer.sample() == pytest.approx(seconds + device.script.issue_s)
    assert timer.host_s == (None if kind == "cpu" else pytest.approx(device.script.issue_s))


def test_it_reads_the_hosts_clock():
    slept_s = 0.01
    timer = make_timer("wall", Cpu(), lambda: time.sleep(slept_s), None)

    began = time.perf_counter()
    read_s = timer.sample()

    assert slept_s <= read_s <= time.perf_counter() - began
