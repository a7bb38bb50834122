"""Canaries and the warm-up of a device, on scripted clocks and on this CPU."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from attnbench.device.base import DeviceState
from attnbench.device.fake import Fake, Script
from attnbench.measure.canary import canary_calls, read_canaries, time_canaries
from attnbench.measure.context import DeviceContext
from attnbench.measure.warmup import DEVICE_LONGEST_S, clock_is_flat, warm_device

pytestmark = pytest.mark.torch
WORK_S = 0.05
COUNTERPARTS = Path(__file__).parents[2] / "gpu" / "test_canary.py"
CLOCKS = "clocks are set by root, and these tests leave a device as it is"
WITHOUT_A_COUNTERPART = {
    "test_a_clock_at_half_shows_in_every_canary": CLOCKS,
    "test_a_clock_that_falls_is_waited_for": CLOCKS,
    "test_a_clock_that_never_rests_is_given_up_on": CLOCKS,
    "test_a_cpu_is_not_driven": "of a CPU",
    "test_flat_means_within_a_per_cent_over_a_second": "of numbers alone",
    "test_this_cpu_has_three_and_they_take_time": "of a CPU",
    "test_what_is_multiplied_is_the_same_every_time": "of a CPU",
    "test_every_rule_has_a_counterpart_on_a_gpu_or_a_reason": "of the tests",
}


def scripted(device):
    """Canaries that take known times on a scripted device."""
    return {name: lambda s=s: device.launch(s) for name, s in (("copy", 1e-3), ("gemm", 2e-3))}


def test_canaries_are_read_as_what_they_take():
    device = Fake(Script(noise=0.0))
    read = read_canaries(device, scripted(device))

    assert read == {"copy": pytest.approx(1000, rel=0.01), "gemm": pytest.approx(2000, rel=0.01)}


def test_another_process_that_takes_a_moment_does_not_move_a_canary():
    calm, spiky = Fake(Script()), Fake(Script(spike_every=3))

    assert read_canaries(spiky, scripted(spiky)) == pytest.approx(
        read_canaries(calm, scripted(calm)), rel=0.01
    )


def test_a_clock_at_half_shows_in_every_canary():
    fast, slow = Fake(Script()), Fake(Script(throttles_at_s=0.0))
    first, last = read_canaries(fast, scripted(fast)), read_canaries(slow, scripted(slow))

    assert {name: last[name] / first[name] for name in first} == pytest.approx(
        {"copy": 2.0, "gemm": 2.0}, rel=0.01
    )


def test_a_steady_clock_is_warm_after_a_second():
    device = Fake(Script())
    warmed = warm_device(device, lambda: device.launch(WORK_S))

    assert warmed.flat
    assert 1.0 <= warmed.seconds < 1.2


def test_a_clock_that_falls_is_waited_for():
    device = Fake(Script(throttles_at_s=0.7))
    warmed = warm_device(device, lambda: device.launch(WORK_S))

    assert warmed.flat
    assert 1.7 <= warmed.seconds < 2.0


def test_a_clock_that_never_rests_is_given_up_on():
    device = Fake(Script(drift_per_s=0.02))
    warmed = warm_device(device, lambda: device.launch(WORK_S))

    assert not warmed.flat
    assert DEVICE_LONGEST_S <= warmed.seconds < DEVICE_LONGEST_S + 1


def test_without_telemetry_the_time_of_the_work_stands_for_the_clock():
    device = Fake(Script(telemetry=False, throttles_at_s=0.7))
    assert device.read() == DeviceState()
    warmed = warm_device(device, lambda: device.launch(WORK_S))

    assert warmed.flat
    assert 1.7 <= warmed.seconds < 2.1


def test_a_cpu_is_not_driven():
    device = Fake(Script(kind="cpu"))
    warmed = warm_device(device, lambda: device.launch(WORK_S))

    assert (warmed.seconds, warmed.flat, device.launches) == (0.0, None, 0)


@pytest.mark.parametrize(
    ("seen", "flat"),
    [
        ([(0.1 * i, 1980.0) for i in range(1, 9)], False),  # no second yet
        ([(0.1 * i, 1980.0) for i in range(1, 13)], True),
        ([(0.1 * i, 1980.0 + 15 * (i % 2)) for i in range(1, 13)], True),  # one step
        ([(0.1 * i, 1980.0 + 15 * (i % 3)) for i in range(1, 13)], False),  # two
        ([(0.0, 1980.0), (1.1, 1980.0)], False),  # too few
    ],
)
def test_flat_means_within_a_per_cent_over_a_second(seen, flat):
    assert clock_is_flat(seen) == flat


def test_this_cpu_has_three_and_they_take_time():
    bench = DeviceContext.open("cpu", stage=lambda _: None)
    answer = time_canaries(bench, warm=True)

    assert set(answer["us"]) == {"copy", "gemm", "softmax"}
    assert all(one > 0 for one in answer["us"].values())
    assert "flat" not in answer


def test_what_is_multiplied_is_the_same_every_time():
    device = DeviceContext.open("cpu", stage=lambda _: None)
    one, other = (canary_calls(device.driver, device.device)["gemm"]() for _ in range(2))

    assert one.equal(other)


def test_every_rule_has_a_counterpart_on_a_gpu_or_a_reason():
    def tests_in(path):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        return {node.name for node in body if isinstance(node, ast.FunctionDef)}

    here = {name for name in tests_in(Path(__file__)) if name.startswith("test_")}

    assert here - tests_in(COUNTERPARTS) == set(WITHOUT_A_COUNTERPART)
