"""Two readings become columns and notes; nothing is read while samples are taken."""

from __future__ import annotations

import dataclasses

import pytest

from attnbench.device.base import DeviceState
from attnbench.device.fake import Fake, Script
from attnbench.measure.telemetry import Stretch, Watch, account

CALM = DeviceState(
    sm_clock_mhz=1980.0,
    mem_clock_mhz=3201.0,
    power_w=600.0,
    temperature_c=60.0,
    throttled=(),
    foreign=(),
)
SHORT = Stretch(energy_j=100.0, seconds=0.3, busy_s=0.3, calls=100)


def but(**facts):
    return dataclasses.replace(CALM, **facts)


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
    watch = Watch(device, lambda: device.launch(1e-3), 1e-3)
    watch.begin()
    began = device.asked[:]
    for _ in range(100):
        device.launch(0.03)
        device.synchronize()
    columns, found = watch.end([0.03] * 100)
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
