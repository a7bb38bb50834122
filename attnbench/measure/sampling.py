"""The samples of one case: a cold or a warm cache, a timer, a warm-up, and the device watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.measure.attempt import CaseContext
from attnbench.measure.calls import Prepared
from attnbench.measure.energy import joules_a_call
from attnbench.measure.rotation import Rotation, rotate
from attnbench.measure.telemetry import Watch
from attnbench.measure.timers import SEE_ONE_STREAM, Timer, make_timer, refuse_stray_work
from attnbench.measure.warmup import warm_up
from attnbench.method import ROTATE
from attnbench.planning.stop_rule import MIN_SAMPLES, Stopping
from attnbench.stats.summary import summarize

if TYPE_CHECKING:
    from attnbench.measure.bench import ProblemInputs

_MICRO = 1e6


def sample(attempt: CaseContext, prepared: Prepared, shared: ProblemInputs) -> None:
    """Warm up, then take samples until the stop rule ends them, watching the device around them."""
    bench, method, found = attempt.bench, attempt.orders.method, attempt.found
    driver, settings = bench.driver, attempt.orders.settings
    timer = _timer(attempt, prepared, shared)
    bench.enter("warmup")
    found["warmup_s"] = warm_up(timer.sample, driver.clock_ns, method.warmup_s)
    timer.launches.clear()
    assert attempt.call_s is not None
    watch = Watch(driver, prepared.timed, attempt.call_s)
    watch.begin()
    bench.enter("sample")
    samples, stop = Stopping.of(settings).take(timer.sample, driver.clock_ns)
    columns, notes = watch.end(samples, calls=timer.calls)
    found |= {"samples_us": tuple(one * _MICRO for one in samples), "stop_reason": stop, **columns}
    found["calls_per_sample"] = timer.calls
    if settings.energy_s:
        bench.enter("energy")
        calls = [prepared.timed, *(one.timed for one in attempt.others)]
        call_s = summarize(samples).latency
        found["energy_j_per_call"] = joules_a_call(driver, calls, call_s, settings.energy_s)
    _remark(attempt, samples, timer)
    attempt.note(*notes)


def _timer(attempt: CaseContext, prepared: Prepared, shared: ProblemInputs) -> Timer:
    """Make the caches cold as the method says, and the timer over what that leaves to call."""
    bench, method, found = attempt.bench, attempt.orders.method, attempt.found
    bench.enter("rotate")
    if method.timer in SEE_ONE_STREAM and bench.driver.kind == "cuda":
        refuse_stray_work(bench.driver, prepared.timed)
    rotation = _rotation(attempt, prepared, shared) if method.flush == ROTATE else None
    flush = bench.flush() if method.flush == "read" else None
    if rotation is not None:
        attempt.others = rotation.others
        found["flush_bytes"] = rotation.bytes_a_turn
    elif flush is not None:
        found["flush_bytes"] = flush.nbytes
    else:
        found["l2"] = "warm"
    others = [one.timed for one in attempt.others]
    return make_timer(method.timer, bench.driver, prepared.timed, flush, others=others)


def _rotation(attempt: CaseContext, prepared: Prepared, shared: ProblemInputs) -> Rotation | None:
    module, options = attempt.bench.module_of(attempt.case), dict(attempt.case.options)
    return rotate(
        prepared,
        lambda inputs: Prepared(module, inputs, options),
        shared,
        attempt.bench,
        prepared_bytes=attempt.found["prepared_bytes"],
        limit_s=attempt.orders.settings.case_limit_s,
    )


def _remark(attempt: CaseContext, samples: list[float], timer: Timer) -> None:
    """Note what the samples say of themselves."""
    summary = summarize(samples)
    if timer.host_s is not None:
        attempt.found["launch_overhead_us"] = timer.host_s * _MICRO
    if summary.noise is not None and summary.noise > attempt.orders.settings.max_noise:
        attempt.note("NOISY")
    if len(samples) < MIN_SAMPLES:
        attempt.note("FEW_SAMPLES")
    if timer.is_launch_bound(summary.latency):
        attempt.note("LAUNCH_BOUND")
