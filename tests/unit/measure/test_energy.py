"""Joules a call on a scripted board of 500 W, whose counter is read at rest."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from attnbench.device.fake import Fake, Script
from attnbench.measure.energy import joules_a_call
from attnbench.method import Measure

SPEC = importlib.util.spec_from_file_location("whole", Path(__file__).with_name("test_measure.py"))
whole = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(whole)

pytestmark = pytest.mark.torch

WATTS = 500.0


def stretch(device, seconds, *, copies=1, window_s=2.0):
    """Give a device calls so long; return the joules of one and how often each copy was called."""
    counts = [0] * copies

    def call(number):
        counts[number] += 1
        device.launch(seconds)

    calls = [lambda number=number: call(number) for number in range(copies)]
    return joules_a_call(device, calls, seconds, window_s), counts


@pytest.mark.parametrize("seconds", [25e-6, 1e-3, 50e-3, 1.5])
def test_it_is_power_times_time_for_short_calls_and_long_ones(seconds):
    joules, _ = stretch(Fake(), seconds)

    assert joules == pytest.approx(WATTS * seconds, rel=0.05)


def test_calls_go_round_all_copies_alike_for_as_long_as_is_asked():
    device = Fake()

    _, counts = stretch(device, 1e-3, copies=7, window_s=3.0)

    assert max(counts) - min(counts) <= 1
    assert 3.0 <= device.now_s < 3.3


def test_a_device_that_waits_for_its_host_has_no_figure():
    joules, _ = stretch(Fake(Script(issue_s=100e-6)), 25e-6)

    assert joules is None


def test_where_there_is_no_counter_no_call_is_made():
    silent, cpu = Fake(Script(telemetry=False)), Fake(Script(kind="cpu"))

    assert stretch(silent, 1e-3) == stretch(cpu, 1e-3) == (None, [0])


def test_a_counter_that_is_refused_on_the_way_gives_no_figure():
    class Refusing(Fake):
        def energy_j(self):
            return super().energy_j() if self.now_s < 1 else None

    assert stretch(Refusing(), 1e-3)[0] is None


ASKED = Measure(warmup_s=0.01, energy_s=2.0)


def test_a_suite_that_asks_for_it_has_the_energy_of_calls_that_do_not_fill_their_sampling():
    stages = []

    done = whole.measured(
        Fake(Script(noise=0.05)), 25e-6, method=whole.BATCHED, settings=ASKED, stages=stages
    )

    assert done.energy_j_per_call == pytest.approx(WATTS * 25e-6, rel=0.05)
    assert stages[stages.index("sample") :][:2] == ["sample", "energy"]
    without = whole.measured(Fake(), 25e-6, method=whole.BATCHED)
    assert without.energy_j_per_call is None


def test_calls_that_were_timed_cold_and_find_the_cache_warm_have_no_figure():
    """Behind a flush of its own each sample is cold; back to back the second call is not."""
    done = whole.measured(Fake(), 1e-3, method=whole.EVENT, settings=ASKED)

    assert done.energy_j_per_call is None


def test_clocks_that_sink_on_the_way_cost_no_figure():
    joules, _ = stretch(Fake(Script(drift_per_s=0.1)), 1e-3)

    assert joules == pytest.approx(WATTS * 1.2e-3, rel=0.1)
