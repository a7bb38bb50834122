"""The samples of one case: cold or warm cache, timer, warm-up, stop rule, and telemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.measure.calls import Prepared
from attnbench.measure.cold_cache import rotate
from attnbench.measure.telemetry import TelemetryRecorder, joules_per_call
from attnbench.measure.timers import SEE_ONE_STREAM, make_timer
from attnbench.measure.timers.base import Timer, refuse_side_stream_work
from attnbench.measure.warmup import warm_up
from attnbench.method import ROTATE
from attnbench.planning.stop_rule import MIN_SAMPLES, Stopping
from attnbench.stats.summary import summarize

if TYPE_CHECKING:
    from attnbench.measure.context import CaseContext, ProblemInputs

_MICRO = 1e6


def sample(context: CaseContext, prepared: Prepared, problem_inputs: ProblemInputs) -> None:
    """Warm up, then sample until the stop rule ends it; results go to ``context.found``."""
    driver, found = context.driver, context.found
    measure = context.settings.measure
    timer = _cold_timer(context, prepared, problem_inputs)
    context.enter("warmup")
    found["warmup_s"] = warm_up(timer.sample, driver.clock_ns, context.settings.method.warmup_s)
    timer.launches.clear()
    assert context.call_s is not None
    recorder = TelemetryRecorder(driver, prepared.timed, context.call_s)
    recorder.begin()
    context.enter("sample")
    samples, stop = Stopping.of(measure).take(timer.sample, driver.clock_ns)
    columns, notes = recorder.end(samples, calls=timer.calls)
    found |= {"samples_us": tuple(one * _MICRO for one in samples), "stop_reason": stop, **columns}
    found["calls_per_sample"] = timer.calls
    summary = summarize(samples)
    if measure.energy_s:
        context.enter("energy")
        calls = [prepared.timed, *(one.timed for one in context.others)]
        found["energy_j_per_call"] = joules_per_call(
            driver, calls, summary.latency, measure.energy_s
        )
    if timer.host_s is not None:
        found["launch_overhead_us"] = timer.host_s * _MICRO
    if summary.noise is not None and summary.noise > measure.max_noise:
        context.note("NOISY")
    if len(samples) < MIN_SAMPLES:
        context.note("FEW_SAMPLES")
    if timer.is_launch_bound(summary.latency):
        context.note("LAUNCH_BOUND")
    context.note(*notes)


def _cold_timer(context: CaseContext, prepared: Prepared, problem_inputs: ProblemInputs) -> Timer:
    """Make the cache cold as the method says, and return a timer over the remaining calls."""
    driver, method, found = context.driver, context.settings.method, context.found
    context.enter("rotate")
    if method.timer in SEE_ONE_STREAM and driver.kind == "cuda":
        refuse_side_stream_work(driver, prepared.timed)
    rotation = flush = None
    if method.flush == ROTATE:
        module, options = context.module, dict(context.case.options)
        rotation = rotate(
            prepared,
            lambda inputs: Prepared(module, inputs, options),
            problem_inputs,
            context.device_context,
            prepared_bytes=found["prepared_bytes"],
            limit_s=context.settings.measure.case_limit_s,
        )
    elif method.flush == "read":
        flush = context.device_context.flush()
    if rotation is not None:
        context.others = rotation.members[1:]
        found["flush_bytes"] = rotation.bytes_per_turn
    elif flush is not None:
        found["flush_bytes"] = flush.nbytes
    else:
        found["l2"] = "warm"
    others = [one.timed for one in context.others]
    return make_timer(method.timer, driver, prepared.timed, flush, others=others)
