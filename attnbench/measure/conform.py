"""One trial of the conformance kit in a worker: is the output right, and does the call behave.

Every trial looks at the same things, in this order: the output against the reference; whether two
calls agree to the bit; whether the inputs are as they were, the memory around them included; the
output again after q was drawn anew. What fails is a fault with a word for its kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch

from attnbench.case import Case
from attnbench.errors import Unsupported
from attnbench.measure.calls import Outputs, Prepared
from attnbench.measure.check import CheckResult, check
from attnbench.measure.inputs import checksum, make_inputs, matmul_precision, redraw
from attnbench.measure.layout import lay_out
from attnbench.measure.outcome import outcome
from attnbench.measure.poison import poison_appended
from attnbench.measure.probe import is_interpreting, why_not
from attnbench.measure.reference import Reference
from attnbench.plugin import Inputs

if TYPE_CHECKING:
    from attnbench.measure.bench import DeviceContext

# A call that says this of itself adds up in no fixed order, and is not held to bits.
_UNORDERED = "NONDETERMINISTIC"
# Calls whose bits must agree: an order of sums may differ now and then. The interpreter, which is
# slow, has one thread and one order.
_CALLS, _CALLS_INTERPRETED = 4, 1
_NO_NUMBER = {"error_rel": None, "error_ratio": None, "notes": ()}


@dataclass(slots=True)
class _Trial:
    """One trial under way and what was found so far: (kind of fault, in words)."""

    case: Case
    way: str
    bench: DeviceContext
    faults: list[tuple[str, str]] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=lambda: dict(_NO_NUMBER))


def conform(case: Case, way: str, bench: DeviceContext) -> dict[str, Any]:
    """Put a backend to one trial; status ok, incorrect, unsupported, oom or failed.

    ``faults`` lists (kind, words): ``output``, or one of ``conformance.BEHAVIOURS``.
    """
    trial = _Trial(case, way, bench)
    status, reason = "ok", None
    try:
        with matmul_precision(case.problem), _one_thread():
            _try(trial)
    except Exception as error:  # noqa: BLE001  a backend may raise anything at all
        status, reason = outcome(error, bench.driver)
        del error
        bench.driver.release()
    if trial.faults and status == "ok":
        status, reason = "incorrect", "; ".join(words for _, words in trial.faults)
    return {"status": status, "reason": reason, "faults": trial.faults, **trial.found}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Trials are so small that threads would wait for each other longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _try(trial: _Trial) -> None:
    case, bench = trial.case, trial.bench
    bench.enter("prepare")
    module = bench.module_of(case)
    if reason := why_not(module, case.problem, bench.device, dict(case.options)):
        raise Unsupported(reason)
    inputs = lay_out(make_inputs(case.problem, bench.driver.torch_name), trial.way)
    prepared = Prepared(module, inputs, dict(case.options))
    try:
        _look(trial, prepared, inputs, module)
    finally:
        with suppress(Exception):
            prepared.teardown()


def _look(trial: _Trial, prepared: Prepared, inputs: Inputs, module: ModuleType) -> None:
    enter, before = trial.bench.enter, _fingerprint(inputs)
    enter("first_call")
    first = _copied(prepared.outputs())
    enter("second_call")
    calls = _CALLS_INTERPRETED if is_interpreting() else _CALLS
    agree = all(prepared.outputs().same_bits(first) for _ in range(calls - 1))
    trial.found["notes"] = prepared.notes
    if not agree and _UNORDERED not in prepared.notes:
        trial.faults.append(("calls", "calls on the same inputs differ in their bits"))
    if _fingerprint(inputs) != before:
        trial.faults.append(("inputs", _what_was_written(inputs)))
        inputs = lay_out(make_inputs(trial.case.problem, trial.bench.driver.torch_name), trial.way)
        redrawn = None
    else:
        redrawn = inputs
    enter("check")
    reference = Reference.of(inputs)
    result = check(first, reference)
    trial.found |= {"error_rel": result.error_rel, "error_ratio": result.error_ratio}
    if not result.passed:
        trial.faults.append(("output", _diagnosed(trial, result, module)))
    elif redrawn is not None:
        enter("recheck")
        redraw(redrawn, prepared.redrawn)
        again = Reference.of(redrawn).at_least_as_lenient_as(reference)
        result = check(prepared.outputs(), again)
        if not result.passed:
            words = f"after {prepared.redrawn} was drawn again in place: {result.reason}"
            trial.faults.append(("answers", words))


def _diagnosed(trial: _Trial, result: CheckResult, module: ModuleType) -> str:
    """Say whether it was the layout: try once more on plain tensors with no NaN around them."""
    problem = trial.case.problem
    torch_name = trial.bench.driver.torch_name
    if trial.way in ("high", "low"):
        return f"with every score near {'+' if trial.way == 'high' else '-'}120: {result.reason}"
    mild = lay_out(make_inputs(problem, torch_name, poison=False), trial.way, mild=True)
    if _is_right(trial, mild, module):
        return f"reads what is not its own (NaN in the result, none without it): {result.reason}"
    if trial.way == "strided" and _is_right(trial, make_inputs(problem, torch_name), module):
        return f"takes strides for granted (contiguous inputs are right): {result.reason}"
    return result.reason


def _is_right(trial: _Trial, inputs: Inputs, module: ModuleType) -> bool:
    with suppress(Exception):
        outputs = Prepared(module, inputs, dict(trial.case.options)).outputs()
        return check(outputs, Reference.of(inputs)).passed
    return False


def _copied(outputs: Outputs) -> Outputs:
    """Keep what a call returned, which may be a buffer that the next call fills."""
    gradients = outputs.gradients
    return Outputs(
        None if outputs.o is None else outputs.o.detach().clone(),
        None if outputs.lse is None else outputs.lse.detach().clone(),
        None if gradients is None else tuple(one.clone() for one in gradients),  # type: ignore[arg-type]
    )


def _fingerprint(inputs: Inputs) -> int:
    """Sum the bytes that a call must leave alone, the memory around the tensors included.

    What an append may write is filled again first, so that the rest of the cache is watched too;
    integer codes have no such filling and are left out.
    """
    poison_appended(inputs)
    return checksum(inputs, whole=True)


def _what_was_written(inputs: Inputs) -> str:
    if inputs.problem.append:
        return "the call wrote more than the slots that it appends to"
    return "the call wrote its inputs, or the memory around them"
