"""The rules of tests/unit/measure/test_measure.py on a real device, each under the same name."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from attnbench.case import Case
from attnbench.device.cuda import Cuda
from attnbench.device.nvml import Blind
from attnbench.device.rates import Ceilings
from attnbench.measure.bench import Bench
from attnbench.measure.measure import Orders, measure
from attnbench.method import Measure, Method
from attnbench.plugin import Capabilities
from attnbench.problem import Problem
from attnbench.stats.summary import summarize

pytestmark = [pytest.mark.gpu, pytest.mark.torch]

PROBLEM = Problem(q_len=8, q_heads=2, head_dim=8, dtype="fp32")
CASE = Case(problem=PROBLEM, backend="scripted", source="scripted.py")
EVENT = Method(timer="event", l2="cold", flush="read", warmup_s=0.05)
SETTINGS = Measure(warmup_s=0.05, sample_s=0.2)
HIGH = Ceilings(read_gbps=1e6, copy_gbps=1e6, triad_gbps=1e6, tflops={"fp32": 1e6})
NEIGHBOUR = "import torch, time; x = torch.ones(1, device='cuda'); print('on', flush=True)"


@pytest.fixture
def cuda():
    return Cuda(0)


def measured(driver, busy, *, settings=SETTINGS):
    """Measure a right backend that also does something on every call."""

    def prepare(inputs):
        def call():
            o = torch.nn.functional.scaled_dot_product_attention(
                inputs.q, inputs.k, inputs.v, scale=inputs.scale
            )
            busy()
            return o

        return call

    bench = Bench(driver, lambda _stage: None)
    bench.ceilings = HIGH
    bench._modules[CASE.backend, CASE.source] = SimpleNamespace(
        capabilities=Capabilities(), prepare=prepare
    )
    return measure(CASE, Orders(method=EVENT, settings=settings), bench)


def latency_s(done):
    assert done.status == "ok", done.reason
    return summarize(done.samples_us).latency / 1e6


@pytest.mark.parametrize("seconds", [50e-6, 500e-6, 5e-3, 50e-3])
def test_a_call_of_known_length_is_read_within_one_per_cent(cuda, seconds):
    """What a call takes beside its spin falls out of a difference; the clock out of a long one."""

    def read_s(length):
        return latency_s(measured(cuda, lambda: cuda.spin(length)))

    scale = (read_s(0.2) - read_s(0.1)) / 0.1
    assert read_s(2 * seconds) - read_s(seconds) == pytest.approx(scale * seconds, rel=0.01)


@pytest.mark.parametrize("every", [4, 9])
def test_spikes_do_not_move_the_latency(cuda, every):
    calls = iter(range(1, 10**9))

    def spin():
        cuda.spin(10e-3 if next(calls) % every == 0 else 1e-3)

    calm_s = latency_s(measured(cuda, lambda: cuda.spin(1e-3)))
    done = measured(cuda, spin)
    assert max(done.samples_us) > 9000
    assert latency_s(done) == pytest.approx(calm_s, rel=0.01)


def test_a_neighbour_on_the_device_is_noted(cuda):
    with subprocess.Popen(
        [sys.executable, "-c", f"{NEIGHBOUR}; time.sleep(60)"], stdout=subprocess.PIPE
    ) as neighbour:
        assert neighbour.stdout.readline() == b"on\n"
        if not cuda.gauge().read().foreign:
            neighbour.kill()
            pytest.skip("NVML lists no processes here")
        done = measured(cuda, lambda: cuda.spin(1e-3))
        neighbour.kill()
    assert "FOREIGN_PROCESS" in done.notes


def test_a_device_without_telemetry_is_measured_all_the_same(cuda):
    cuda._board = Blind(reason="taken away")
    done = measured(cuda, lambda: cuda.spin(1e-3))

    assert done.status == "ok"
    assert "NO_TELEMETRY" in done.notes
    assert done.power_w is done.sm_clock_mhz is done.throttle_reasons is None


def test_events_on_the_wrong_stream_are_implausible(cuda):
    done = measured(cuda, lambda: cuda.aside(lambda: cuda.spin(5e-3)))

    assert done.status == "implausible"
    assert "a stream that it does not join" in done.reason
    assert done.samples_us == ()


@pytest.mark.parametrize("launch", [1, 2, 5])
def test_running_out_of_memory_is_oom_wherever_it_happens(cuda, launch):
    calls = iter(range(1, 10**9))

    def hungry():
        if next(calls) == launch:
            torch.empty(2**50, dtype=torch.uint8, device="cuda")

    done = measured(cuda, hungry)
    assert done.status == "oom"
    assert "out of memory" in done.reason.lower()


def test_a_launch_slower_than_the_call_is_noted(cuda):
    assert "LAUNCH_BOUND" in measured(cuda, lambda: time.sleep(2e-3)).notes


def test_energy_per_call_is_power_times_time_where_the_stretch_is_long(cuda):
    if cuda.gauge().energy_j() is None:
        pytest.skip("this board has no energy counter")
    long = Measure(warmup_s=0.5, sample_s=3.0, max_noise=1e-9)
    done = measured(cuda, lambda: cuda.spin(50e-3), settings=long)

    if done.energy_j_per_call is None:
        # A spin is so regular that the samples may be precise before the stretch is long enough.
        assert done.stop_reason == "precise"
        return
    assert done.energy_j_per_call == pytest.approx(done.power_w * latency_s(done), rel=0.2)
