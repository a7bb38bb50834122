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
from attnbench.device.nvml import NoTelemetry
from attnbench.device.rates import Ceilings
from attnbench.measure.context import CaseSettings, DeviceContext
from attnbench.measure.measure import measure
from attnbench.method import Measure, Method
from attnbench.plugin import Capabilities
from attnbench.problem import Problem
from attnbench.stats.summary import summarize

pytestmark = [pytest.mark.gpu, pytest.mark.torch]

# 16 MB of K and V: some twenty copies make a cold cache, and one fits into it.
PROBLEM = Problem(q_len=1, kv_len=8192, q_heads=8, head_dim=64, dtype="fp16")
CASE = Case(problem=PROBLEM, backend="scripted", source="scripted.py")
EVENT = Method(timer="event", l2="cold", flush="read", warmup_s=0.05)
BATCHED = Method(timer="event_batched", l2="cold", flush="rotate", warmup_s=0.05)
GRAPH = Method(timer="graph", l2="cold", flush="rotate", warmup_s=0.05)
PROFILER = Method(timer="profiler", l2="cold", flush="read", warmup_s=0.05)
each_timer = pytest.mark.parametrize(
    "method", [EVENT, BATCHED, GRAPH, PROFILER], ids=lambda one: one.timer
)
event_timers = pytest.mark.parametrize("method", [EVENT, BATCHED, GRAPH], ids=lambda one: one.timer)
# A millisecond is long enough for an interval of its own.
one_call_a_sample = pytest.mark.parametrize(
    "method", [EVENT, BATCHED, PROFILER], ids=lambda one: one.timer
)
rotating = pytest.mark.parametrize("method", [BATCHED, GRAPH], ids=lambda one: one.timer)
SETTINGS = Measure(warmup_s=0.05, sample_s=0.2)
HIGH = Ceilings(read_gbps=1e6, copy_gbps=1e6, triad_gbps=1e6, tflops={"fp16": 1e6})
OTHER_PROCESS = "import torch, time; x = torch.ones(1, device='cuda'); print('on', flush=True)"


@pytest.fixture
def cuda():
    return Cuda(0)


def attention(inputs):
    return torch.nn.functional.scaled_dot_product_attention(
        inputs.q, inputs.k, inputs.v, scale=inputs.scale
    )


def nothing(*_args):
    pass


def measured(driver, busy, *, method=EVENT, settings=SETTINGS, prepared=nothing, capabilities=None):
    """Measure a right backend that also does something on every call."""

    def prepare(inputs):
        prepared(inputs)

        def call():
            o = attention(inputs)
            busy()
            return o

        return call

    return measured_module(driver, prepare, method, settings=settings, capabilities=capabilities)


def measured_module(driver, prepare, method, *, settings=SETTINGS, capabilities=None):
    """Measure a backend whose ``prepare`` is this."""
    bench = DeviceContext(driver, lambda _stage: None)
    bench.ceilings = HIGH
    bench._modules[CASE.backend, CASE.source] = SimpleNamespace(
        capabilities=capabilities or Capabilities(), prepare=prepare
    )
    return measure(CASE, CaseSettings(method=method, measure=settings), bench)


def latency_s(done):
    assert done.status == "ok", done.reason
    return summarize(done.samples_us).latency / 1e6


@pytest.mark.parametrize("seconds", [50e-6, 500e-6, 5e-3, 50e-3])
@each_timer
def test_a_call_of_known_length_is_read_within_one_per_cent(cuda, method, seconds):
    """What a call takes beside its spin falls out of a difference; the clock out of a long one."""
    patient = Measure(warmup_s=0.05, sample_s=0.2, case_limit_s=60)

    def read_s(length, how):
        return latency_s(measured(cuda, lambda: cuda.spin(length), method=how, settings=patient))

    scale = (read_s(0.2, EVENT) - read_s(0.1, EVENT)) / 0.1
    difference_s = read_s(2 * seconds, method) - read_s(seconds, method)
    assert difference_s == pytest.approx(scale * seconds, rel=0.01)


def reading(inputs):
    """A right backend that is bound by reading K and V."""

    def call():
        inputs.k.sum()
        inputs.v.sum()
        return attention(inputs)

    return call


@rotating
def test_a_rotation_reads_cold_and_one_copy_reads_warm(cuda, method):
    done = measured_module(cuda, reading, method)
    warm = measured_module(cuda, reading, method.read_as("warm"))

    assert (done.l2, warm.l2) == ("cold", "warm")
    assert latency_s(done) > 1.05 * latency_s(warm)
    assert done.flush_bytes >= 5 * done.llc_bytes
    assert "L2_RESIDENT" not in done.notes
    assert "L2_RESIDENT" in warm.notes


@rotating
def test_a_rotation_without_memory_is_warm_and_says_so(cuda, method):
    kept = []

    def fill(_inputs):
        # What the first prepare takes, every copy would take: too much for twenty.
        kept.append(torch.empty(cuda.describe().free_bytes // 10, dtype=torch.uint8, device="cuda"))

    done = measured(cuda, nothing, method=method, prepared=fill)

    assert len(kept) == 1
    assert (done.status, done.l2, done.flush_bytes) == ("ok", "warm", None)
    assert "L2_RESIDENT" in done.notes


def test_memory_that_runs_out_while_copying_leaves_a_warm_row(cuda):
    free = iter(range(3))

    def no_fourth(_inputs):
        if next(free, None) is None:
            torch.empty(2**50, dtype=torch.uint8, device="cuda")

    done = measured(cuda, nothing, method=BATCHED, prepared=no_fourth)

    assert (done.status, done.l2) == ("ok", "warm")


def test_copies_that_take_too_long_to_prepare_are_skipped(cuda):
    quick = Measure(warmup_s=0.05, sample_s=0.2, case_limit_s=0.5)
    done = measured(
        cuda,
        nothing,
        method=BATCHED,
        settings=quick,
        prepared=lambda _inputs: time.sleep(0.3),
    )

    assert done.status == "skipped"
    assert "timer: event needs none" in done.reason


def test_a_copy_that_remembers_an_answer_is_incorrect(cuda):
    answers = []

    def prepare(inputs):
        answers.append(attention(inputs))
        if len(answers) == 1:
            return lambda: attention(inputs)
        return answers[1].clone

    done = measured_module(cuda, prepare, BATCHED)

    assert done.status == "incorrect"
    assert "(on a copy of the inputs)" in done.reason


def test_a_backend_that_declares_no_graphs_is_not_tried(cuda):
    called = []
    done = measured(
        cuda, lambda: called.append(1), method=GRAPH, capabilities=Capabilities(graph=False)
    )

    assert done.status == "unsupported"
    assert called == []


@pytest.mark.parametrize("every", [5, 9])
@one_call_a_sample
def test_spikes_do_not_move_the_latency(cuda, method, every):
    calls = iter(range(1, 10**9))

    def spin():
        cuda.spin(10e-3 if next(calls) % every == 0 else 1e-3)

    calm_s = latency_s(measured(cuda, lambda: cuda.spin(1e-3), method=method))
    done = measured(cuda, spin, method=method)
    assert max(done.samples_us) > 9000
    assert latency_s(done) == pytest.approx(calm_s, rel=0.01)


def test_another_process_on_the_device_is_noted(cuda):
    with subprocess.Popen(
        [sys.executable, "-c", f"{OTHER_PROCESS}; time.sleep(60)"], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"on\n"
        if not cuda.telemetry().read().foreign:
            other.kill()
            pytest.skip("NVML lists no processes here")
        done = measured(cuda, lambda: cuda.spin(1e-3))
        other.kill()
    assert "FOREIGN_PROCESS" in done.notes


def test_a_device_without_telemetry_is_measured_all_the_same(cuda):
    cuda._board = NoTelemetry(reason="taken away")
    done = measured(cuda, lambda: cuda.spin(1e-3))

    assert done.status == "ok"
    assert "NO_TELEMETRY" in done.notes
    assert done.power_w is done.sm_clock_mhz is done.throttle_reasons is None


@event_timers
def test_events_on_the_wrong_stream_are_implausible(cuda, method):
    done = measured(cuda, lambda: cuda.on_side_stream(lambda: cuda.spin(5e-3)), method=method)

    assert done.status == "implausible"
    assert "a stream that it does not join" in done.reason
    assert done.samples_us == ()


@pytest.mark.parametrize("process", [1, 2, 5, 40])
@each_timer
def test_running_out_of_memory_is_oom_wherever_it_happens(cuda, method, process):
    calls = iter(range(1, 10**9))

    def hungry():
        if next(calls) == process:
            torch.empty(2**50, dtype=torch.uint8, device="cuda")

    done = measured(cuda, hungry, method=method)
    assert done.status == "oom"
    assert "out of memory" in done.reason.lower()


@one_call_a_sample
def test_a_launch_slower_than_the_call_is_noted(cuda, method):
    done = measured(cuda, lambda: time.sleep(2e-3), method=method)

    assert "LAUNCH_BOUND" in done.notes
    assert done.launch_overhead_us >= 2000


def test_a_graph_leaves_the_launch_out(cuda):
    done = measured(cuda, lambda: time.sleep(2e-3), method=GRAPH)

    assert "LAUNCH_BOUND" not in done.notes
    assert done.launch_overhead_us < 100
    assert latency_s(done) < 1e-3


def test_energy_per_call_is_power_times_time_where_the_stretch_is_long(cuda):
    if cuda.telemetry().energy_j() is None:
        pytest.skip("this board has no energy counter")
    apart = Measure(warmup_s=0.5, energy_s=2.0)
    done = measured(cuda, lambda: cuda.spin(1e-3), settings=apart)
    assert done.energy_j_per_call == pytest.approx(done.power_w * latency_s(done), rel=0.2)
    long = Measure(warmup_s=0.5, sample_s=3.0, max_noise=1e-9)
    done = measured(cuda, lambda: cuda.spin(50e-3), settings=long)

    if done.energy_j_per_call is None:
        # A spin is so regular that the samples may be precise before the stretch is long enough.
        assert done.stop_reason == "precise"
        return
    assert done.energy_j_per_call == pytest.approx(done.power_w * latency_s(done), rel=0.2)


# The last one: torch goes on as if the capture that breaks here had not ended.
def test_a_call_that_cannot_be_captured_is_unsupported_and_read_no_other_way(cuda):
    done = measured(cuda, cuda.synchronize, method=GRAPH)

    assert done.status == "unsupported"
    assert done.reason.startswith("timer graph: the call cannot be captured in a CUDA graph (")
    assert done.samples_us == ()
    assert not cuda.is_alive()  # and a worker would be replaced
