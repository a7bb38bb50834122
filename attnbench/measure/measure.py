"""One case in one process: prepare, first call, check, memory, warm-up, samples, check again.

Nothing that a backend does escapes as an exception: the result is the status of a Measurement, and
no case has a latency unless its output passed the check.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from attnbench.case import Case
from attnbench.cost import compute_cost
from attnbench.errors import Unsupported
from attnbench.measure.calls import Outputs, Prepared
from attnbench.measure.check import check
from attnbench.measure.context import CaseContext, CaseSettings, DeviceContext, ProblemInputs
from attnbench.measure.inputs import checksum, input_bytes, matmul_precision, redraw
from attnbench.measure.outcome import Implausible, Incorrect, TooSlow, excess, is_resident, outcome
from attnbench.measure.probe import why_not
from attnbench.measure.reference import Reference
from attnbench.measure.sampling import sample
from attnbench.measurement import Measurement
from attnbench.stats.summary import summarize

_MICRO = 1e6
# A case takes about as long as sixteen calls: ten samples, three warm-up calls, the checks.
_CALLS_PER_CASE = 16
# A busy machine lowers its measured ceilings; a rate counts as impossible only above all of these.
_SECOND_LOOKS = 3
_CALIBRATION_CALLS, _CALIBRATION_S = 20, 0.15


def measure(case: Case, settings: CaseSettings, device_context: DeviceContext) -> Measurement:
    """Measure one case; never raises what a backend raises."""
    context = CaseContext(case, settings, device_context)
    method = settings.method
    context.found |= {"timer": method.timer, "l2": method.l2, "isolation": "worker"}
    context.found["started_at"] = time.time()
    status, reason = _run(context, _measure)
    if status != "ok":
        for name in ("samples_us", "stop_reason", "calls_per_sample"):
            context.found.pop(name, None)
    return Measurement(case=case, status=status, reason=reason, **context.found)


def rehearse(case: Case, settings: CaseSettings, device_context: DeviceContext) -> dict[str, Any]:
    """Call and check a case without timing it, for a run's calibration and ``attnbench check``.

    Returns:
        status, reason, ``call_s`` (seconds of the quickest call) and what else is known.

    """
    context = CaseContext(case, settings, device_context)
    status, reason = _run(context, _rehearse)
    names = ("notes", "error_rel", "error_ratio", "deterministic", "seconds", "first_call_us")
    known = {name: context.found[name] for name in names if name in context.found}
    return {"status": status, "reason": reason, "call_s": context.call_s, **known}


def _run(context: CaseContext, steps: Callable[[CaseContext], None]) -> tuple[str, str | None]:
    """Take the steps and turn whatever ends them into a status and a reason."""
    began = context.now_s()
    status, reason = "ok", None
    try:
        with matmul_precision(context.case.problem):
            steps(context)
    except Exception as error:  # noqa: BLE001  a backend may raise anything at all
        status, reason = outcome(error, context.driver)
        # The traceback holds tensors; the inputs may be what did not fit, or half overwritten.
        del error
        context.device_context.forget_inputs()
    _tear_down(context)
    context.driver.release()
    context.found["seconds"] = context.now_s() - began
    return status, reason


def _tear_down(context: CaseContext) -> None:
    bound = (*context.others, *([context.prepared] if context.prepared else []))
    context.prepared, context.others = None, ()
    for one in bound:
        with suppress(Exception):  # the case already has its status and reason
            one.teardown()


def _rehearse(context: CaseContext) -> None:
    prepared, problem_inputs, outputs = _start(context)
    if not context.settings.calibration:
        context.enter("check")
        _check(context, outputs, problem_inputs.reference())
        return
    # The quickest of a few calls, because a single one may share its core with another process.
    driver = context.driver
    assert context.call_s is not None
    began, quickest_s = context.now_s(), context.call_s
    for _ in range(_CALIBRATION_CALLS):
        if context.now_s() - began > _CALIBRATION_S:
            break
        driver.synchronize()
        start = context.now_s()
        prepared.timed()
        driver.synchronize()
        quickest_s = min(quickest_s, context.now_s() - start)
    context.call_s = quickest_s


def _measure(context: CaseContext) -> None:
    context.enter("prepare")
    if reason := context.module.capabilities.why_not_timer(context.settings.method.timer):
        raise Unsupported(reason)
    prepared, problem_inputs, outputs = _start(context)
    _refuse_if_too_slow(context)
    context.enter("check")
    start = context.now_s()
    _check(context, outputs, problem_inputs.reference())
    context.found["check_us"] = (context.now_s() - start) * _MICRO
    del outputs
    context.enter("memory")
    _measure_memory(context, prepared)
    sample(context, prepared, problem_inputs)
    context.enter("recheck")
    _check_redrawn(context, prepared, problem_inputs)
    context.note(*context.compiling.notes())
    _check_plausible(context)


def _start(context: CaseContext) -> tuple[Prepared, ProblemInputs, Outputs]:
    """Make inputs, prepare, and call twice: the first call compiles, both must agree to the bit."""
    case, device_context, found = context.case, context.device_context, context.found
    driver, options = context.driver, dict(case.options)
    context.enter("prepare")
    module = context.module
    if reason := why_not(module, case.problem, device_context.device, options):
        raise Unsupported(reason)
    problem_inputs = device_context.inputs_for(case.problem)
    found["input_bytes"] = input_bytes(problem_inputs.inputs)
    found["llc_bytes"] = device_context.device.llc_bytes
    start = context.now_s()
    profile = driver.memory_of(lambda: Prepared(module, problem_inputs.inputs, options))
    driver.synchronize()
    found["prepare_us"] = (context.now_s() - start) * _MICRO
    found["prepared_bytes"] = max(0, profile.left_bytes)
    prepared: Prepared = profile.result
    context.prepared = prepared
    context.enter("first_call")
    outputs, first_s = _timed_outputs(context, prepared)
    found["first_call_us"] = first_s * _MICRO
    context.enter("second_call")
    again, second_s = _timed_outputs(context, prepared)
    context.call_s = min(first_s, second_s)
    context.compiling.settle()
    found["deterministic"] = outputs.same_bits(again)
    # A backend may declare NONDETERMINISTIC; the note says what these two calls really did.
    declared = [code for code in prepared.notes if code != "NONDETERMINISTIC"]
    context.note(*declared, *([] if found["deterministic"] else ["NONDETERMINISTIC"]))
    return prepared, problem_inputs, outputs


def _timed_outputs(context: CaseContext, prepared: Prepared) -> tuple[Outputs, float]:
    context.driver.synchronize()
    start = context.now_s()
    outputs = prepared.outputs()
    context.driver.synchronize()
    return outputs, context.now_s() - start


def _refuse_if_too_slow(context: CaseContext) -> None:
    assert context.call_s is not None
    limit_s = context.settings.measure.case_limit_s
    needed_s = _CALLS_PER_CASE * context.call_s
    if needed_s > 2 * limit_s:
        raise TooSlow(
            f"one call takes {context.call_s:.2g} s, so the case about {needed_s:.3g} s; "
            f"case_limit_s is {limit_s:g}"
        )


def _check(context: CaseContext, outputs: Outputs, reference: Reference) -> None:
    result = check(outputs, reference)
    context.found["error_rel"] = result.error_rel
    context.found["error_ratio"] = result.error_ratio
    context.found["check"] = "passed" if result.passed else "failed"
    if not result.passed:
        raise Incorrect(result.reason)


def _check_redrawn(context: CaseContext, prepared: Prepared, problem_inputs: ProblemInputs) -> None:
    """Redraw an input in place and check again, which catches cached results.

    If the inputs have copies, the call on the last copy must be right too.
    """
    calls = [("", prepared, problem_inputs.inputs)]
    if context.others:
        copy = problem_inputs.copies[-1]
        calls.append((" (on a copy of the inputs)", context.others[-1], copy))
    for where, call, inputs in calls:
        redraw(inputs, call.redrawn)
        reference = Reference.few_rows(inputs, like=problem_inputs.reference())
        result = check(call.outputs(), reference)
        redraw(inputs, call.redrawn, back=True)
        if not result.passed:
            context.found["check"] = "failed"
            raise Incorrect(f"after {call.redrawn} was drawn again{where}: {result.reason}")
        if checksum(inputs) != problem_inputs.checksum:
            context.found["check"] = "failed"
            raise Incorrect(f"the call wrote its inputs{where}")


def _measure_memory(context: CaseContext, prepared: Prepared) -> None:
    """Store peak, workspace and executed kernels of one profiled call."""
    found = context.found
    profile = context.driver.profile(prepared.timed)
    output_bytes = Outputs.nbytes_of(profile.result)
    # An output that the call did not allocate, such as a buffer of prepare's, is not in its peak.
    allocated = min(output_bytes, profile.left_bytes)
    found["output_bytes"] = output_bytes
    found["workspace_bytes"] = max(0, profile.peak_bytes - allocated)
    found["peak_bytes"] = found["input_bytes"] + found["prepared_bytes"] + profile.peak_bytes
    found["kernels"] = profile.kernels


def _check_plausible(context: CaseContext) -> None:
    """Compare the rates with the device's ceilings; measure these again before rejecting a row."""
    device_context, found, l2 = context.device_context, context.found, context.found["l2"]
    cost = compute_cost(context.case.problem)
    latency_s = summarize(found["samples_us"]).latency / _MICRO
    llc = device_context.device.llc_bytes or 0
    resident = is_resident(found["input_bytes"] + found["output_bytes"], llc, l2)
    if resident:
        context.note("L2_RESIDENT")
    cached = None if resident else (llc if l2 == "warm" else 0)
    ceilings = device_context.ceilings or device_context.measure_ceilings()
    kind = device_context.device.kind
    reason = excess(cost, latency_s, ceilings, kind, cached_bytes=cached)
    for _ in range(_SECOND_LOOKS):
        if reason is None:
            break
        ceilings = device_context.measure_ceilings()
        reason = excess(cost, latency_s, ceilings, kind, cached_bytes=cached)
    if reason is not None:
        raise Implausible(reason)
    found["peak_bandwidth_gbps"] = ceilings.peak_bandwidth_gbps
    found["copy_gbps"] = ceilings.copy_gbps
    found["peak_tflops"] = ceilings.peak_tflops(context.case.problem.dtype, kind)
    found["ceilings_source"] = ceilings.source
