"""One case in one process: prepare, first call, check, memory, warm-up, samples, check again.

Nothing a backend does escapes as an exception; what came of it is the status of a Measurement, and
no case has a latency unless its output passed.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attnbench.case import Case
from attnbench.cost import compute_cost
from attnbench.errors import Unsupported
from attnbench.measure.attempt import CaseContext, CaseSettings
from attnbench.measure.calls import Outputs, Prepared
from attnbench.measure.check import check
from attnbench.measure.inputs import checksum, input_bytes, matmul_precision, redraw
from attnbench.measure.outcome import Implausible, Incorrect, TooSlow, outcome
from attnbench.measure.physics import excess, is_resident
from attnbench.measure.probe import why_not
from attnbench.measure.reference import Reference
from attnbench.measure.sampling import sample
from attnbench.measurement import Measurement
from attnbench.stats.summary import summarize

if TYPE_CHECKING:
    from attnbench.measure.bench import DeviceContext, ProblemInputs

__all__ = ["CaseSettings", "measure", "rehearse"]

_MICRO = 1e6
# A case is about sixteen calls long: ten samples, three warm-up calls, the checks.
_CALLS_A_CASE = 16
# A busy machine lowers what its ceilings seem to be; only a rate above all of these is accused.
_SECOND_LOOKS = 3
_CALIBRATION_CALLS, _CALIBRATION_S = 20, 0.15


def measure(case: Case, orders: CaseSettings, bench: DeviceContext) -> Measurement:
    """Run one case and say what came of it."""
    attempt = CaseContext(case, orders, bench)
    method = orders.method
    attempt.found |= {"timer": method.timer, "l2": method.l2, "isolation": "worker"}
    attempt.found["started_at"] = time.time()
    status, reason = _settle(attempt, _measure_all)
    if status != "ok":
        for name in ("samples_us", "stop_reason", "calls_per_sample"):
            attempt.found.pop(name, None)
    return Measurement(case=case, status=status, reason=reason, **attempt.found)


def rehearse(case: Case, orders: CaseSettings, bench: DeviceContext) -> dict[str, Any]:
    """Call and check a case without timing it: calibration, and ``attnbench check``."""
    attempt = CaseContext(case, orders, bench)
    status, reason = _settle(attempt, _rehearse)
    names = ("notes", "error_rel", "error_ratio", "deterministic", "seconds", "first_call_us")
    known = {name: attempt.found[name] for name in names if name in attempt.found}
    return {"status": status, "reason": reason, "call_s": attempt.call_s, **known}


def _settle(attempt: CaseContext, steps: Any) -> tuple[str, str | None]:
    """Take the steps and turn whatever ends them into a status and a reason."""
    bench = attempt.bench
    began = attempt.now_s()
    status, reason = "ok", None
    try:
        with matmul_precision(attempt.case.problem):
            steps(attempt)
    except Exception as error:  # noqa: BLE001  a backend may raise anything at all
        status, reason = outcome(error, bench.driver)
        # The traceback holds tensors; the inputs may be what did not fit, or half written.
        del error
        bench.forget_inputs()
    _tear_down(attempt)
    bench.driver.release()
    attempt.found["seconds"] = attempt.now_s() - began
    return status, reason


def _tear_down(attempt: CaseContext) -> None:
    """A backend that fails while undoing has already said what it had to say."""
    bound = (*attempt.others, *([attempt.prepared] if attempt.prepared else []))
    attempt.prepared, attempt.others = None, ()
    for one in bound:
        with suppress(Exception):
            one.teardown()


def _rehearse(attempt: CaseContext) -> None:
    prepared, shared, outputs = _start(attempt)
    if attempt.orders.calibrate:
        attempt.call_s = _quickest(attempt, prepared)
    else:
        attempt.bench.enter("check")
        _check(attempt, outputs, shared.reference())


def _quickest(attempt: CaseContext, prepared: Prepared) -> float:
    """The quickest of a few calls: one alone may have met another process on its core."""
    driver = attempt.bench.driver
    assert attempt.call_s is not None
    began, best = attempt.now_s(), attempt.call_s
    for _ in range(_CALIBRATION_CALLS):
        if attempt.now_s() - began > _CALIBRATION_S:
            break
        driver.synchronize()
        start = attempt.now_s()
        prepared.timed()
        driver.synchronize()
        best = min(best, attempt.now_s() - start)
    return best


def _measure_all(attempt: CaseContext) -> None:
    attempt.bench.enter("prepare")
    capabilities = attempt.bench.module_of(attempt.case).capabilities
    if reason := capabilities.why_not_timer(attempt.orders.method.timer):
        raise Unsupported(reason)
    prepared, shared, outputs = _start(attempt)
    _stop_if_slow(attempt)
    attempt.bench.enter("check")
    start = attempt.now_s()
    _check(attempt, outputs, shared.reference())
    attempt.found["check_us"] = (attempt.now_s() - start) * _MICRO
    del outputs
    attempt.bench.enter("memory")
    _memory(attempt, prepared)
    sample(attempt, prepared, shared)
    attempt.bench.enter("recheck")
    _check_redrawn(attempt, prepared, shared)
    attempt.note(*attempt.compiling.notes())
    _physics(attempt)


def _start(attempt: CaseContext) -> tuple[Prepared, ProblemInputs, Outputs]:
    """Inputs, prepare, and two calls: the first pays for compilers, both must agree to the bit."""
    case, bench, found = attempt.case, attempt.bench, attempt.found
    options = dict(case.options)
    bench.enter("prepare")
    module = bench.module_of(case)
    if reason := why_not(module, case.problem, bench.device, options):
        raise Unsupported(reason)
    shared = bench.shared_for(case.problem)
    found["input_bytes"] = input_bytes(shared.inputs)
    found["llc_bytes"] = bench.device.llc_bytes
    start = attempt.now_s()
    profile = bench.driver.memory_of(lambda: Prepared(module, shared.inputs, options))
    bench.driver.synchronize()
    found["prepare_us"] = (attempt.now_s() - start) * _MICRO
    found["prepared_bytes"] = max(0, profile.left_bytes)
    prepared: Prepared = profile.result
    attempt.prepared = prepared
    bench.enter("first_call")
    outputs, first_s = _timed_outputs(attempt, prepared)
    found["first_call_us"] = first_s * _MICRO
    bench.enter("second_call")
    again, second_s = _timed_outputs(attempt, prepared)
    attempt.call_s = min(first_s, second_s)
    attempt.compiling.settle()
    found["deterministic"] = outputs.same_bits(again)
    # A backend may say that its sums have no fixed order; here stands what they did.
    claimed = [code for code in prepared.notes if code != "NONDETERMINISTIC"]
    attempt.note(*claimed, *([] if found["deterministic"] else ["NONDETERMINISTIC"]))
    return prepared, shared, outputs


def _timed_outputs(attempt: CaseContext, prepared: Prepared) -> tuple[Outputs, float]:
    driver = attempt.bench.driver
    driver.synchronize()
    start = attempt.now_s()
    outputs = prepared.outputs()
    driver.synchronize()
    return outputs, attempt.now_s() - start


def _stop_if_slow(attempt: CaseContext) -> None:
    assert attempt.call_s is not None
    limit_s, needed_s = attempt.orders.settings.case_limit_s, _CALLS_A_CASE * attempt.call_s
    if needed_s > 2 * limit_s:
        raise TooSlow(
            f"one call takes {attempt.call_s:.2g} s, so the case about {needed_s:.3g} s; "
            f"case_limit_s is {limit_s:g}"
        )


def _check(attempt: CaseContext, outputs: Outputs, reference: Reference) -> None:
    result = check(outputs, reference)
    attempt.found["error_rel"] = result.error_rel
    attempt.found["error_ratio"] = result.error_ratio
    attempt.found["check"] = "passed" if result.passed else "failed"
    if not result.passed:
        raise Incorrect(result.reason)


def _check_redrawn(attempt: CaseContext, prepared: Prepared, shared: ProblemInputs) -> None:
    """Draw an input again in place: a call that remembered its answer is found out.

    Where the inputs had copies, the call on the last of them must be right, too.
    """
    looked_at = [("", prepared, shared.inputs)]
    if attempt.others:
        looked_at.append((" (on a copy of the inputs)", attempt.others[-1], shared.copies[-1]))
    for where, call, inputs in looked_at:
        redraw(inputs, call.redrawn)
        result = check(call.outputs(), Reference.few_rows(inputs, like=shared.reference()))
        redraw(inputs, call.redrawn, back=True)
        if not result.passed:
            attempt.found["check"] = "failed"
            raise Incorrect(f"after {call.redrawn} was drawn again{where}: {result.reason}")
        if checksum(inputs) != shared.checksum:
            attempt.found["check"] = "failed"
            raise Incorrect(f"the call wrote its inputs{where}")


def _memory(attempt: CaseContext, prepared: Prepared) -> None:
    """Peak, workspace and executed kernels of one profiled call."""
    found = attempt.found
    profile = attempt.bench.driver.profile(prepared.timed)
    output_bytes = Outputs.nbytes_of(profile.result)
    # What the call returned but did not allocate (a buffer of prepare's) is no part of its peak.
    allocated = min(output_bytes, profile.left_bytes)
    found["output_bytes"] = output_bytes
    found["workspace_bytes"] = max(0, profile.peak_bytes - allocated)
    found["peak_bytes"] = found["input_bytes"] + found["prepared_bytes"] + profile.peak_bytes
    found["kernels"] = profile.kernels


def _physics(attempt: CaseContext) -> None:
    """Compare the rates with the device's ceilings; measure those afresh before accusing."""
    bench, found, l2 = attempt.bench, attempt.found, attempt.found["l2"]
    cost = compute_cost(attempt.case.problem)
    latency_s = summarize(found["samples_us"]).latency / _MICRO
    llc = bench.device.llc_bytes or 0
    resident = is_resident(found["input_bytes"] + found["output_bytes"], llc, l2)
    if resident:
        attempt.note("L2_RESIDENT")
    cached = None if resident else (llc if l2 == "warm" else 0)
    ceilings = bench.ceilings or bench.measure_ceilings()
    kind = bench.device.kind
    reason = excess(cost, latency_s, ceilings, kind, cached_bytes=cached)
    for _ in range(_SECOND_LOOKS):
        if reason is None:
            break
        ceilings = bench.measure_ceilings()
        reason = excess(cost, latency_s, ceilings, kind, cached_bytes=cached)
    if reason is not None:
        raise Implausible(reason)
    found["peak_bandwidth_gbps"] = ceilings.peak_bandwidth_gbps
    found["copy_gbps"] = ceilings.copy_gbps
    found["peak_tflops"] = ceilings.peak_tflops(attempt.case.problem.dtype, kind)
    found["ceilings_source"] = ceilings.source
