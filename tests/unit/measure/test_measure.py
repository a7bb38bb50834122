"""A whole case on a scripted device: what its faults become in the measurement."""

from __future__ import annotations

import ast
from pathlib import Path
from time import perf_counter_ns
from types import SimpleNamespace

import pytest
import torch

from attnbench.case import Case
from attnbench.device.cpu import Cpu
from attnbench.device.fake import Fake, FakeHang, FakeOutOfMemory, Script
from attnbench.device.rates import Ceilings
from attnbench.measure.context import CaseSettings, DeviceContext
from attnbench.measure.measure import measure
from attnbench.method import Measure, Method, read_bytes
from attnbench.plugin import Capabilities
from attnbench.problem import Problem
from attnbench.stats.summary import summarize

pytestmark = pytest.mark.torch

PROBLEM = Problem(q_len=8, q_heads=2, head_dim=8, dtype="fp32")
READ_BYTES = read_bytes(PROBLEM)
CASE = Case(problem=PROBLEM, backend="scripted", source="scripted.py")
EVENT = Method(timer="event", l2="cold", flush="read", warmup_s=0.01)
BATCHED = Method(timer="event_batched", l2="cold", flush="rotate", warmup_s=0.01)
GRAPH = Method(timer="graph", l2="cold", flush="rotate", warmup_s=0.01)
PROFILER = Method(timer="profiler", l2="cold", flush="read", warmup_s=0.01)
WALL = Method(timer="wall", l2="warm", warmup_s=0.01)
SETTINGS = Measure(warmup_s=0.01, sample_s=0.1)
HIGH = Ceilings(read_gbps=1e6, copy_gbps=1e6, triad_gbps=1e6, tflops={"fp32": 1e6})
COUNTERPARTS = Path(__file__).parents[2] / "gpu" / "test_rules.py"
CLOCKS = "clocks are set by root, and these tests leave a device as it is"
each_timer = pytest.mark.parametrize(
    "method", [EVENT, BATCHED, GRAPH, PROFILER], ids=lambda one: one.timer
)
event_timers = pytest.mark.parametrize("method", [EVENT, BATCHED, GRAPH], ids=lambda one: one.timer)
# A millisecond is long enough for an interval of its own.
one_call_a_sample = pytest.mark.parametrize(
    "method", [EVENT, BATCHED, PROFILER], ids=lambda one: one.timer
)
rotating = pytest.mark.parametrize("method", [BATCHED, GRAPH], ids=lambda one: one.timer)
WITHOUT_A_COUNTERPART = {
    "test_a_clock_that_sinks_is_noted": CLOCKS,
    "test_throttling_is_noted_with_its_reason": CLOCKS,
    "test_a_throttle_that_begins_among_the_samples_is_throttling_and_drift": CLOCKS,
    "test_events_without_length_are_implausible_and_never_a_zero": "real ones cannot be made to",
    "test_a_trace_without_kernels_is_unsupported": "a real profiler sees them",
    "test_a_call_that_never_ends_hangs_in_a_stage_that_has_a_limit": "it would not end",
    "test_ticks_of_the_events_do_not_show_in_a_batch": "real ticks are what they are",
    "test_a_cpu_has_no_telemetry_and_no_note_about_it": "of a CPU",
    "test_a_spin_of_known_length_is_read_within_one_per_cent_on_this_cpu": "of a CPU",
    "test_every_rule_has_a_counterpart_on_a_gpu_or_a_reason": "of the tests",
}


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other beside other processes take a slice of the scheduler's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class ScriptedFlush:
    """A flush whose reading the scripted cache sees."""

    def __init__(self, device):
        self._device = device
        self.nbytes = 2 * device.script.llc_bytes

    def __call__(self):
        self._device.launch(10e-6, reads=("flush", self.nbytes))


def measured(
    driver,
    seconds,
    *,
    method=EVENT,
    settings=SETTINGS,
    prepared=None,
    capabilities=None,
    stages=None,
):
    """Measure a right backend whose call takes so long in all.

    ``prepared`` is called with the inputs of each copy while preparing it.
    """

    def prepare(inputs):
        if prepared is not None:
            prepared(inputs)
        place, computed = inputs.q.data_ptr(), {}

        def call():
            end_ns = perf_counter_ns() + round(seconds * 1e9)
            version = inputs.q._version
            if version not in computed:  # thousands of calls a case: once for each q is enough
                computed[version] = torch.nn.functional.scaled_dot_product_attention(
                    inputs.q, inputs.k, inputs.v, scale=inputs.scale
                )
            if isinstance(driver, Fake):
                driver.launch(seconds, reads=(place, READ_BYTES))
            else:
                while perf_counter_ns() < end_ns:
                    pass
            return computed[version]

        return call

    return measured_module(
        driver, prepare, method, settings=settings, capabilities=capabilities, stages=stages
    )


def measured_module(driver, prepare, method, *, settings=SETTINGS, capabilities=None, stages=None):
    """Measure a backend whose ``prepare`` is this."""
    stages = [] if stages is None else stages
    bench = DeviceContext(driver, stages.append)
    bench.ceilings = HIGH
    if isinstance(driver, Fake):
        bench.flush = lambda: ScriptedFlush(driver)
    bench._modules[CASE.backend, CASE.source] = SimpleNamespace(
        capabilities=capabilities or Capabilities(), prepare=prepare
    )
    done = measure(CASE, CaseSettings(method=method, measure=settings), bench)
    assert "sample" in stages or done.status != "ok"
    return done


def latency_s(done):
    assert done.status == "ok", done.reason
    return summarize(done.samples_us).latency / 1e6


@pytest.mark.parametrize("seconds", [50e-6, 500e-6, 5e-3, 50e-3])
@each_timer
def test_a_call_of_known_length_is_read_within_one_per_cent(method, seconds):
    settings = Measure(warmup_s=0.01, sample_s=0.1, case_limit_s=600)
    done = measured(Fake(Script(noise=0.005, seed=3)), seconds, method=method, settings=settings)

    assert latency_s(done) == pytest.approx(seconds, rel=0.01)
    assert done.notes == ()
    assert done.sm_clock_mhz == 2000
    is_mean = method is GRAPH or (method is BATCHED and seconds < 1e-4)
    assert (done.calls_per_sample > 1) == is_mean
    assert (done.timer, done.l2) == (method.timer, "cold")
    overhead_us = done.launch_overhead_us
    assert overhead_us < 0.1 if method is GRAPH else overhead_us == pytest.approx(5)


@pytest.mark.parametrize("seconds", [2.1e-6, 3.3e-6])
def test_ticks_of_the_events_do_not_show_in_a_batch(seconds):
    device = Fake(Script(tick_s=1.024e-6, issue_s=1e-6))

    assert latency_s(measured(device, seconds, method=BATCHED)) == pytest.approx(seconds, rel=0.01)


@rotating
def test_a_rotation_reads_cold_and_one_copy_reads_warm(method):
    done = measured(Fake(), 50e-6, method=method)
    warm = measured(Fake(), 50e-6, method=method.read_as("warm"))

    assert (done.l2, warm.l2) == ("cold", "warm")
    assert latency_s(done) == pytest.approx(50e-6)
    assert latency_s(warm) == pytest.approx(25e-6)
    assert done.flush_bytes >= 5 * done.llc_bytes
    assert warm.flush_bytes is None
    assert "L2_RESIDENT" not in done.notes
    assert "L2_RESIDENT" in warm.notes


@rotating
def test_a_rotation_without_memory_is_warm_and_says_so(method):
    device = Fake(Script(memory_bytes=300_000))
    done = measured(device, 50e-6, method=method)

    assert (done.status, done.l2, done.flush_bytes) == ("ok", "warm", None)
    assert "L2_RESIDENT" in done.notes
    assert latency_s(done) == pytest.approx(25e-6)


def test_memory_that_runs_out_while_copying_leaves_a_warm_row():
    device, calls = Fake(), iter(range(3))

    def no_fourth(_inputs):
        if next(calls, None) is None:
            raise FakeOutOfMemory("no memory for a fourth")

    done = measured(device, 50e-6, method=BATCHED, prepared=no_fourth)

    assert (done.status, done.l2) == ("ok", "warm")


def test_copies_that_take_too_long_to_prepare_are_skipped():
    device = Fake()

    def slowly(_inputs):
        device.now_s += 0.5

    done = measured(device, 50e-6, method=BATCHED, prepared=slowly)

    assert done.status == "skipped"
    assert "copies of the inputs" in done.reason
    assert "timer: event needs none" in done.reason


def test_a_copy_that_remembers_an_answer_is_incorrect():
    driver, answers = Fake(), []

    def prepare(inputs):
        def right():
            return torch.nn.functional.scaled_dot_product_attention(
                inputs.q, inputs.k, inputs.v, scale=inputs.scale
            )

        def call():
            driver.launch(50e-6)
            return answers[1].clone() if len(answers) > 1 else right()

        answers.append(call())
        return right if len(answers) == 1 else call

    done = measured_module(driver, prepare, BATCHED)

    assert (done.status, done.calls_per_sample) == ("incorrect", None)
    assert "(on a copy of the inputs)" in done.reason


def test_a_call_that_cannot_be_captured_is_unsupported_and_read_no_other_way():
    fails = Script(capture_fails="operation not permitted when stream is capturing")
    done = measured(Fake(fails), 50e-6, method=GRAPH)

    assert done.status == "unsupported"
    assert done.reason == (
        "timer graph: the call cannot be captured in a CUDA graph "
        "(operation not permitted when stream is capturing)"
    )
    assert done.samples_us == ()


def test_a_backend_that_declares_no_graphs_is_not_tried():
    device = Fake()
    done = measured(device, 50e-6, method=GRAPH, capabilities=Capabilities(graph=False))

    assert done.status == "unsupported"
    assert device.launches == 0


def test_a_trace_without_kernels_is_unsupported():
    done = measured(Fake(Script(blind_profiler=True)), 50e-6, method=PROFILER)

    assert done.status == "unsupported"
    assert "the profiler saw no kernel" in done.reason.replace("torch's ", "the ")


@pytest.mark.parametrize(
    ("number", "stage"),
    [(1, "first_call"), (2, "second_call"), (3, "rotate"), (40, "warmup"), (90, "sample")],
)
def test_a_call_that_never_ends_hangs_in_a_stage_that_has_a_limit(number, stage):
    stages = []
    with pytest.raises(FakeHang):
        measured(Fake(Script(hangs_at=number)), 2e-3, stages=stages)

    assert stages[-1] == stage


@pytest.mark.parametrize("every", [5, 9])
@one_call_a_sample
def test_spikes_do_not_move_the_latency(method, every):
    done = measured(Fake(Script(spike_every=every, noise=0.002)), 1e-3, method=method)

    assert max(done.samples_us) > 9000
    assert latency_s(done) == pytest.approx(1e-3, rel=0.01)


def test_a_clock_that_sinks_is_noted():
    done = measured(Fake(Script(drift_per_s=1.0)), 2e-3)

    assert "CLOCK_DRIFT" in done.notes


def test_throttling_is_noted_with_its_reason():
    done = measured(Fake(Script(throttles_at_s=0.0)), 1e-3)

    assert "THROTTLED" in done.notes
    assert done.throttle_reasons == "sw_power_cap"
    assert done.sm_clock_mhz == 1000


def test_a_throttle_that_begins_among_the_samples_is_throttling_and_drift():
    done = measured(Fake(Script(throttles_at_s=0.08)), 2e-3)

    assert {"THROTTLED", "CLOCK_DRIFT"} <= set(done.notes)


def test_another_process_on_the_device_is_noted():
    assert measured(Fake(Script(foreign=(7,))), 1e-3).notes == ("FOREIGN_PROCESS",)


def test_a_device_without_telemetry_is_measured_all_the_same():
    done = measured(Fake(Script(telemetry=False)), 1e-3)

    assert latency_s(done) == pytest.approx(1e-3, rel=0.01)
    assert done.notes == ("NO_TELEMETRY",)
    assert done.power_w is done.sm_clock_mhz is done.throttle_reasons is None


@event_timers
def test_events_without_length_are_implausible_and_never_a_zero(method):
    done = measured(Fake(Script(zero_events=True)), 1e-3, method=method)

    assert done.status == "implausible"
    assert done.reason == "the events around the call read 0 s: no call takes that"
    assert done.samples_us == ()


@event_timers
def test_events_on_the_wrong_stream_are_implausible(method):
    done = measured(Fake(Script(wrong_stream=True)), 1e-3, method=method)

    assert done.status == "implausible"
    assert "a stream that it does not join" in done.reason
    assert done.samples_us == ()


@pytest.mark.parametrize("process", [1, 2, 5, 40])
@each_timer
def test_running_out_of_memory_is_oom_wherever_it_happens(method, process):
    done = measured(Fake(Script(oom_at=process)), 1e-3, method=method)

    assert done.status == "oom"
    assert done.reason == "the script says out of memory"


@one_call_a_sample
def test_a_launch_slower_than_the_call_is_noted(method):
    done = measured(Fake(Script(issue_s=300e-6)), 10e-6, method=method)

    assert "LAUNCH_BOUND" in done.notes
    assert done.launch_overhead_us == pytest.approx(300)
    assert latency_s(done) == pytest.approx(10e-6)


def test_a_graph_leaves_the_launch_out():
    done = measured(Fake(Script(issue_s=300e-6)), 10e-6, method=GRAPH)

    assert "LAUNCH_BOUND" not in done.notes
    assert done.launch_overhead_us < 2
    assert latency_s(done) == pytest.approx(10e-6)


def test_energy_per_call_is_power_times_time_where_the_stretch_is_long():
    long = Measure(warmup_s=0.01, sample_s=3.0, max_noise=1e-9)
    done = measured(Fake(Script(noise=0.05)), 50e-3, settings=long)

    assert done.energy_j_per_call == pytest.approx(500 * 50e-3, rel=0.05)
    batched = measured(Fake(Script(noise=0.05)), 25e-6, method=BATCHED, settings=long)
    assert batched.energy_j_per_call is None  # a delay of 200 us hides 100 us of calls
    assert measured(Fake(), 50e-3).energy_j_per_call is None


def test_a_cpu_has_no_telemetry_and_no_note_about_it():
    done = measured(Fake(Script(kind="cpu")), 1e-3, method=WALL)

    assert done.notes == ("L2_RESIDENT",)
    assert done.power_w is done.sm_clock_mhz is done.energy_j_per_call is None


@pytest.mark.parametrize("seconds", [50e-6, 1e-3, 50e-3])
def test_a_spin_of_known_length_is_read_within_one_per_cent_on_this_cpu(seconds):
    # Another process only makes a sample longer: the quickest of some has the timer's own error.
    for _ in range(8):
        read_s = min(measured(Cpu(), seconds, method=WALL).samples_us) * 1e-6
        if read_s == pytest.approx(seconds, rel=0.01):
            return
    pytest.fail(f"read {read_s * 1e6:.2f} us for {seconds * 1e6:.0f}")


def test_every_rule_has_a_counterpart_on_a_gpu_or_a_reason():
    assert names_in(Path(__file__)) == names_in(COUNTERPARTS) | WITHOUT_A_COUNTERPART.keys()
    assert not names_in(COUNTERPARTS) & WITHOUT_A_COUNTERPART.keys()


def names_in(path):
    found = ast.parse(path.read_text(encoding="utf-8")).body
    return {
        one.name
        for one in found
        if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")
    }
