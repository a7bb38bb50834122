"""The GPU tests of what tests/unit/measure/test_canary.py proves on a simulated device."""

from __future__ import annotations

import pytest

from attnbench.device.cuda import Cuda
from attnbench.device.nvml import NoTelemetry
from attnbench.measure.canary import canary_calls, read_canaries, time_canaries
from attnbench.measure.context import DeviceContext
from attnbench.measure.warmup import warm_device

pytestmark = [pytest.mark.gpu, pytest.mark.torch]


@pytest.fixture(scope="module")
def cuda():
    return Cuda(0)


def products(cuda):
    gemm = canary_calls(cuda, cuda.describe())["gemm"]
    return lambda: [gemm() for _ in range(20)]


def test_canaries_are_read_as_what_they_take(cuda):
    calls = {"once": lambda: cuda.spin(1e-3), "twice": lambda: cuda.spin(2e-3)}
    read = read_canaries(cuda, calls)

    # A spin counts cycles of a clock that moves: the proportion holds, the length nearly.
    assert read["twice"] / read["once"] == pytest.approx(2, rel=0.02)


def test_another_process_that_takes_a_moment_does_not_move_a_canary(cuda):
    counts = iter(range(1, 10**9))
    calm = read_canaries(cuda, {"spin": lambda: cuda.spin(1e-3)})
    spiky = read_canaries(
        cuda, {"spin": lambda: cuda.spin(1e-2 if next(counts) % 3 == 0 else 1e-3)}
    )

    assert spiky == pytest.approx(calm, rel=0.05)


def test_a_steady_clock_is_warm_after_a_second(cuda):
    warmed = warm_device(cuda, products(cuda))
    if not warmed.flat:
        pytest.skip("the clock of this device did not come to rest within 8 s")

    assert warm_device(cuda, products(cuda)).seconds < 3


def test_without_telemetry_the_time_of_the_work_stands_for_the_clock(cuda):
    cuda._board = NoTelemetry(reason="taken away")
    warmed = warm_device(cuda, products(cuda))
    del cuda._board

    assert warmed.flat is not None
    assert warmed.seconds >= 1.0


def test_a_process_s_canaries_repeat(cuda):
    bench = DeviceContext(cuda, lambda _: None)
    first = time_canaries(bench, warm=True)
    last = time_canaries(bench, warm=False)
    if not first["flat"]:
        pytest.skip("the clock of this device did not come to rest within 8 s")

    assert set(first["us"]) == {"copy", "gemm", "softmax"}
    for name, took_us in first["us"].items():
        assert last["us"][name] == pytest.approx(took_us, rel=0.1)
