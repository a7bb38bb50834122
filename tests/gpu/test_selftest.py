"""NVML's answers and the self-tests on a real device."""

from __future__ import annotations

import pytest

from attnbench.device.ceilings import measure_ceilings
from attnbench.device.cuda import Cuda
from attnbench.device.nvml import NoTelemetry
from attnbench.measure.selftest import self_test

pytestmark = [pytest.mark.gpu, pytest.mark.torch]


@pytest.fixture(scope="module")
def cuda():
    return Cuda(0)


@pytest.fixture(scope="module")
def results(cuda):
    device = cuda.describe()
    return {one.name: one for one in self_test(cuda, device, measure_ceilings(cuda, device))}


@pytest.mark.parametrize("name", ["spin", "copy", "A/A", "events", "streams", "timers"])
def test_this_device_passes(results, name):
    assert results[name].passed, results[name]


def test_telemetry_reports_this_device_s_state_or_why_not(cuda):
    board = cuda.telemetry()
    if isinstance(board, NoTelemetry):
        assert board.reason
        pytest.skip(f"NVML does not show this device: {board.reason}")
    before = board.energy_j()
    cuda.spin(0.3)
    reading = board.read()
    cuda.synchronize()
    after = board.energy_j()

    assert board.uuid in (cuda.describe().uuid, f"MIG-{cuda._uuid}")
    for name in ("sm_clock_mhz", "temperature_c", "throttled"):
        assert getattr(reading, name) is not None or board.refusals
    if before is not None and after is not None:
        assert after > before
