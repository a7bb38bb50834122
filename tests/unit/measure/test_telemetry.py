"""Two readings become columns and notes; nothing is read while samples are taken."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from attnbench.device.base import DeviceState
from attnbench.device.fake import Fake, Script
from attnbench.measure.telemetry import Stretch, TelemetryRecorder, account, joules_per_call
from attnbench.method import Measure

CALM = DeviceState(
    sm_clock_mhz=1980.0,
    mem_clock_mhz=3201.0,
    power_w=600.0,
    temperature_c=60.0,
    throttled=(),
    foreign=(),
)
SHORT = Stretch(energy_j=100.0, seconds=0.3, busy_s=0.3, calls=100)


def but(**changes):
    return dataclasses.replace(CALM, **changes)


def notes(before, after):
    return account(before, after, SHORT)[1]


def test_a_calm_device_has_columns_and_no_note():
    columns, found = account(CALM, but(power_w=650.0), SHORT)

    assert found == ()
    assert columns == {
        "sm_clock_mhz": 1980.0,
        "mem_clock_mhz": 3201.0,
        "power_w": 650.0,
        "temperature_c": 60.0,
        "throttle_reasons": None,
        "energy_j_per_call": None,
    }


def test_throttling_seen_at_either_end_is_named_once():
    hot = but(throttled=("sw_power_cap", "hw_thermal_slowdown"))
    columns, found = account(but(throttled=("sw_power_cap",)), hot, SHORT)

    assert columns["throttle_reasons"] == "sw_power_cap, hw_thermal_slowdown"
    assert found == ("THROTTLED",)
    assert notes(hot, CALM) == ("THROTTLED",)


@pytest.mark.parametrize(
    ("clock", "after", "noted"),
    [
        ("sm_clock_mhz", 1965.0, False),  # one step
        ("sm_clock_mhz", 1935.0, True),
        ("sm_clock_mhz", 2040.0, True),
        ("mem_clock_mhz", 2619.0, True),
        ("sm_clock_mhz", None, False),
    ],
)
def test_clocks_that_moved_more_than_two_per_cent_drifted(clock, after, noted):
    assert ("CLOCK_DRIFT" in notes(CALM, but(**{clock: after}))) == noted


def test_another_process_is_noted_whenever_it_was_seen():
    assert notes(but(foreign=(7,)), CALM) == ("FOREIGN_PROCESS",)
    assert notes(CALM, but(foreign=(7,))) == ("FOREIGN_PROCESS",)
    assert notes(but(foreign=None), but(foreign=None)) == ()


def test_a_device_that_tells_nothing_is_noted_and_has_no_figure():
    columns, found = account(
        DeviceState(), DeviceState(), dataclasses.replace(SHORT, energy_j=None)
    )

    assert found == ("NO_TELEMETRY",)
    assert set(columns.values()) == {None}


def test_power_alone_refused_is_an_empty_column_and_no_note():
    columns, found = account(but(power_w=None), but(power_w=None), SHORT)

    assert columns["power_w"] is None
    assert found == ()


@pytest.mark.parametrize(
    ("seconds", "busy_s", "energy_j", "expected"),
    [
        (4.0, 4.0, 2000.0, 20.0),
        (4.0, 3.6, 2000.0, 20.0),
        (1.9, 1.9, 2000.0, None),  # the counter's steps are too coarse
        (4.0, 3.5, 2000.0, None),  # flushes and waiting would be charged to the call
        (4.0, 4.0, None, None),
    ],
)
def test_energy_needs_a_long_stretch_full_of_calls(seconds, busy_s, energy_j, expected):
    stretch = Stretch(energy_j=energy_j, seconds=seconds, busy_s=busy_s, calls=100)

    assert stretch.energy_j_per_call == expected


class Counting(Fake):
    """Counts the queries of its telemetry, and remembers what was queued then."""

    def __init__(self, script):
        super().__init__(script)
        self.asked = []

    def read(self):
        self.asked.append(("read", max(self.free_at_s.values()) > self.now_s))
        return super().read()

    def energy_j(self):
        self.asked.append(("energy", max(self.free_at_s.values()) > self.now_s))
        return super().energy_j()


def watched(script):
    device = Counting(script)
    recorder = TelemetryRecorder(device, lambda: device.launch(1e-3), 1e-3)
    recorder.begin()
    began = device.asked[:]
    for _ in range(100):
        device.launch(0.03)
        device.synchronize()
    columns, found = recorder.end([0.03] * 100)
    return device, began, columns, found


def test_clocks_are_read_under_load_and_energy_at_rest_and_neither_in_between():
    device, began, columns, found = watched(Script())

    assert began == [("read", True), ("energy", False)]
    assert device.asked[2:] == [("energy", False), ("read", True)]
    assert columns["sm_clock_mhz"] == 2000
    assert columns["energy_j_per_call"] == pytest.approx(15, rel=0.01)
    assert found == ()


def test_a_cpu_is_asked_nothing_and_runs_nothing_more():
    device, began, columns, found = watched(Script(kind="cpu"))

    assert (began, columns, found) == ([], {}, ())
    assert device.asked == []
    assert device.launches == 100


def test_a_refusing_gpu_is_noted():
    _, _, columns, found = watched(Script(telemetry=False))

    assert found == ("NO_TELEMETRY",)
    assert set(columns.values()) == {None}


@pytest.fixture
def whole():
    """Return the tests of a whole measurement as a module; they import torch."""
    spec = importlib.util.spec_from_file_location(
        "whole", Path(__file__).with_name("test_measure.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WATTS = 500.0


def stretch(device, seconds, *, copies=1, window_s=2.0):
    """Give a device calls so long; return the joules of one and how often each copy was called."""
    counts = [0] * copies

    def call(number):
        counts[number] += 1
        device.launch(seconds)

    calls = [lambda number=number: call(number) for number in range(copies)]
    return joules_per_call(device, calls, seconds, window_s), counts


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


@pytest.mark.torch
def test_a_suite_that_asks_for_it_has_the_energy_of_calls_that_do_not_fill_their_sampling(whole):
    stages = []

    done = whole.measured(
        Fake(Script(noise=0.05)), 25e-6, method=whole.BATCHED, settings=ASKED, stages=stages
    )

    assert done.energy_j_per_call == pytest.approx(WATTS * 25e-6, rel=0.05)
    assert stages[stages.index("sample") :][:2] == ["sample", "energy"]
    without = whole.measured(Fake(), 25e-6, method=whole.BATCHED)
    assert without.energy_j_per_call is None


@pytest.mark.torch
def test_calls_that_were_timed_cold_and_find_the_cache_warm_have_no_figure(whole):
    """Behind a flush of its own each sample is cold; back to back the second call is not."""
    done = whole.measured(Fake(), 1e-3, method=whole.EVENT, settings=ASKED)

    assert done.energy_j_per_call is None


def test_clocks_that_sink_on_the_way_cost_no_figure():
    joules, _ = stretch(Fake(Script(drift_per_s=0.1)), 1e-3)

    assert joules == pytest.approx(WATTS * 1.2e-3, rel=0.1)
