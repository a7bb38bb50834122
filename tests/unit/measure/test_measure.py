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
from attnbench.device.fake import Fake, Script
from attnbench.device.rates import Ceilings
from attnbench.measure.bench import Bench
from attnbench.measure.measure import Orders, measure
from attnbench.method import Measure, Method
from attnbench.plugin import Capabilities
from attnbench.problem import Problem
from attnbench.stats.summary import summarize

pytestmark = pytest.mark.torch

PROBLEM = Problem(q_len=8, q_heads=2, head_dim=8, dtype="fp32")
CASE = Case(problem=PROBLEM, backend="scripted", source="scripted.py")
EVENT = Method(timer="event", l2="cold", flush="read", warmup_s=0.01)
WALL = Method(timer="wall", l2="warm", warmup_s=0.01)
SETTINGS = Measure(warmup_s=0.01, sample_s=0.1)
HIGH = Ceilings(read_gbps=1e6, copy_gbps=1e6, triad_gbps=1e6, tflops={"fp32": 1e6})
TWINS = Path(__file__).parents[2] / "gpu" / "test_rules.py"
CLOCKS = "clocks are set by root, and these tests leave a device as it is"
WITHOUT_A_TWIN = {
    "test_a_clock_that_sinks_is_noted": CLOCKS,
    "test_throttling_is_noted_with_its_reason": CLOCKS,
    "test_a_throttle_that_begins_among_the_samples_is_throttling_and_drift": CLOCKS,
    "test_events_without_length_are_implausible_and_never_a_zero": "real ones cannot be made to",
    "test_a_cpu_has_no_telemetry_and_no_note_about_it": "of a CPU",
    "test_a_spin_of_known_length_is_read_within_one_per_cent_on_this_cpu": "of a CPU",
    "test_every_rule_has_a_twin_on_a_gpu_or_a_reason": "of the tests",
}


@pytest.fixture
def one_thread():
    """Threads that wait for each other beside other processes take a slice of the scheduler's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def measured(driver, seconds, *, method=EVENT, settings=SETTINGS):
    """Measure a right backend whose call takes so long in all."""

    def prepare(inputs):
        def call():
            end_ns = perf_counter_ns() + round(seconds * 1e9)
            o = torch.nn.functional.scaled_dot_product_attention(
                inputs.q, inputs.k, inputs.v, scale=inputs.scale
            )
            if isinstance(driver, Fake):
                driver.launch(seconds)
            else:
                while perf_counter_ns() < end_ns:
                    pass
            return o

        return call

    stages = []
    bench = Bench(driver, stages.append)
    bench.ceilings = HIGH
    bench._modules[CASE.backend, CASE.source] = SimpleNamespace(
        capabilities=Capabilities(), prepare=prepare
    )
    done = measure(CASE, Orders(method=method, settings=settings), bench)
    assert "sample" in stages or done.status != "ok"
    return done


def latency_s(done):
    assert done.status == "ok", done.reason
    return summarize(done.samples_us).latency / 1e6


@pytest.mark.parametrize("seconds", [50e-6, 500e-6, 5e-3, 50e-3])
def test_a_call_of_known_length_is_read_within_one_per_cent(seconds):
    done = measured(Fake(Script(noise=0.005, seed=3)), seconds)

    assert latency_s(done) == pytest.approx(seconds, rel=0.01)
    assert done.notes == ()
    assert done.sm_clock_mhz == 2000


@pytest.mark.parametrize("every", [4, 9])
def test_spikes_do_not_move_the_latency(every):
    done = measured(Fake(Script(spike_every=every, noise=0.002)), 1e-3)

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
    done = measured(Fake(Script(throttles_at_s=0.06)), 2e-3)

    assert {"THROTTLED", "CLOCK_DRIFT"} <= set(done.notes)


def test_a_neighbour_on_the_device_is_noted():
    assert measured(Fake(Script(foreign=(7,))), 1e-3).notes == ("FOREIGN_PROCESS",)


def test_a_device_without_telemetry_is_measured_all_the_same():
    done = measured(Fake(Script(telemetry=False)), 1e-3)

    assert latency_s(done) == pytest.approx(1e-3, rel=0.01)
    assert done.notes == ("NO_TELEMETRY",)
    assert done.power_w is done.sm_clock_mhz is done.throttle_reasons is None


def test_events_without_length_are_implausible_and_never_a_zero():
    done = measured(Fake(Script(zero_events=True)), 1e-3)

    assert done.status == "implausible"
    assert done.reason == "the events around the call read 0 s: no call takes that"
    assert done.samples_us == ()


def test_events_on_the_wrong_stream_are_implausible():
    done = measured(Fake(Script(wrong_stream=True)), 1e-3)

    assert done.status == "implausible"
    assert "a stream that it does not join" in done.reason
    assert done.samples_us == ()


@pytest.mark.parametrize("launch", [1, 2, 5])
def test_running_out_of_memory_is_oom_wherever_it_happens(launch):
    done = measured(Fake(Script(oom_at=launch)), 1e-3)

    assert done.status == "oom"
    assert done.reason == "the script says out of memory"


def test_a_launch_slower_than_the_call_is_noted():
    assert "LAUNCH_BOUND" in measured(Fake(Script(issue_s=300e-6)), 10e-6).notes


def test_energy_per_call_is_power_times_time_where_the_stretch_is_long():
    long = Measure(warmup_s=0.01, sample_s=3.0, max_noise=1e-9)
    done = measured(Fake(Script(noise=0.05)), 50e-3, settings=long)

    assert done.energy_j_per_call == pytest.approx(500 * 50e-3, rel=0.05)
    assert measured(Fake(), 50e-3).energy_j_per_call is None


def test_a_cpu_has_no_telemetry_and_no_note_about_it():
    done = measured(Fake(Script(kind="cpu")), 1e-3, method=WALL)

    assert done.notes == ("L2_RESIDENT",)
    assert done.power_w is done.sm_clock_mhz is done.energy_j_per_call is None


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("seconds", [50e-6, 1e-3, 50e-3])
def test_a_spin_of_known_length_is_read_within_one_per_cent_on_this_cpu(seconds):
    # Another process only makes it longer: the quietest of some tries is the timer's own error.
    for _ in range(8):
        read_s = latency_s(measured(Cpu(), seconds, method=WALL))
        if read_s == pytest.approx(seconds, rel=0.01):
            return
    pytest.fail(f"read {read_s * 1e6:.2f} us for {seconds * 1e6:.0f}")


def test_every_rule_has_a_twin_on_a_gpu_or_a_reason():
    assert names_in(Path(__file__)) == names_in(TWINS) | WITHOUT_A_TWIN.keys()
    assert not names_in(TWINS) & WITHOUT_A_TWIN.keys()


def names_in(path):
    found = ast.parse(path.read_text(encoding="utf-8")).body
    return {
        one.name
        for one in found
        if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")
    }
