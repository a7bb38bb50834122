"""One trial of the conformance kit in a worker: is the output right, and does the call behave.

Every trial checks whether repeated calls agree to the bit; whether the inputs, and the memory
around them, are unchanged; the output against the reference; and the output again after q was
redrawn in place. What fails is a fault, with a word for its kind.

Inputs are laid out between NaN, as views with gaps, or with scores far from 0. A backend that reads
past the end of a tensor, or assumes strides, is right on what ``inputs.make_inputs`` allocates and
wrong here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attnbench.case import Case
from attnbench.errors import Unsupported
from attnbench.measure.calls import Outputs, Prepared
from attnbench.measure.check import CheckResult, check
from attnbench.measure.inputs import (
    checksum,
    make_inputs,
    matmul_precision,
    poison,
    poison_appended,
    redraw,
    tensors_of,
)
from attnbench.measure.outcome import outcome
from attnbench.measure.probe import is_interpreting, why_not
from attnbench.measure.reference import Reference
from attnbench.plugin import Inputs

if TYPE_CHECKING:
    from attnbench.measure.context import DeviceContext

# A call with this note adds up in no fixed order, so its bits may differ.
_UNORDERED = "NONDETERMINISTIC"
# Calls whose bits must agree: an order of sums may differ now and then. The interpreter, which is
# slow, has one thread and one order.
_CALLS, _CALLS_INTERPRETED = 4, 1
_NO_NUMBER = {"error_rel": None, "error_ratio": None, "notes": ()}


@dataclass(slots=True)
class _Trial:
    """One running trial and its faults so far: (kind, words)."""

    case: Case
    way: str
    device_context: DeviceContext
    faults: list[tuple[str, str]] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=lambda: dict(_NO_NUMBER))


def check_trial(case: Case, way: str, device_context: DeviceContext) -> dict[str, Any]:
    """Run one trial of a backend; status ok, incorrect, unsupported, oom or failed.

    ``faults`` lists (kind, words): ``output``, or one of ``conformance.BEHAVIOURS``.
    """
    trial = _Trial(case, way, device_context)
    status, reason = "ok", None
    try:
        with matmul_precision(case.problem), _one_thread():
            _try(trial)
    except Exception as error:  # noqa: BLE001  a backend may raise anything at all
        status, reason = outcome(error, device_context.driver)
        del error
        device_context.driver.release()
    if trial.faults and status == "ok":
        status, reason = "incorrect", "; ".join(words for _, words in trial.faults)
    return {"status": status, "reason": reason, "faults": trial.faults, **trial.found}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: in trials this small, threads wait longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _try(trial: _Trial) -> None:
    case, device_context = trial.case, trial.device_context
    device_context.enter("prepare")
    module = device_context.module_of(case)
    if reason := why_not(module, case.problem, device_context.device, dict(case.options)):
        raise Unsupported(reason)
    inputs = lay_out(make_inputs(case.problem, device_context.driver.torch_name), trial.way)
    prepared = Prepared(module, inputs, dict(case.options))
    try:
        _look(trial, prepared, inputs, module)
    finally:
        with suppress(Exception):
            prepared.teardown()


def _look(trial: _Trial, prepared: Prepared, inputs: Inputs, module: ModuleType) -> None:
    enter, before = trial.device_context.enter, _fingerprint(inputs)
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
        inputs = lay_out(
            make_inputs(trial.case.problem, trial.device_context.driver.torch_name), trial.way
        )
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
    """Explain a wrong output: try again without NaN around the tensors, then without gaps."""
    problem = trial.case.problem
    torch_name = trial.device_context.driver.torch_name
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
    """Copy the outputs, because they may be a buffer that the next call overwrites."""
    gradients = outputs.gradients
    return Outputs(
        None if outputs.o is None else outputs.o.detach().clone(),
        None if outputs.lse is None else outputs.lse.detach().clone(),
        None if gradients is None else tuple(one.clone() for one in gradients),  # type: ignore[arg-type]
    )


def _fingerprint(inputs: Inputs) -> int:
    """Sum the bytes that a call must not change, including the memory around the tensors.

    The slots that an append may write are filled with NaN again first, so that the rest of the
    cache is included; integer values have no NaN and are left out.
    """
    poison_appended(inputs)
    return checksum(inputs, whole=True)


def _what_was_written(inputs: Inputs) -> str:
    if inputs.problem.append:
        return "the call wrote more than the slots that it appends to"
    return "the call wrote its inputs, or the memory around them"


_MARGIN_BYTES = 4096  # on each side; what a tile of a kernel may read too far
_GAP = 16  # elements behind each row, so that rows keep their alignment
# Scores go to this far above or below 0: exp overflows fp32 at 89 and is 0 at -104.
_FAR = 120.0
_VIEWED = ("q", "k", "v", "k_pages", "v_pages", "k_new", "v_new", "grad_out", "page_table")
# V's tensors of a latent cache are views of these of K.
_LATENT = {"v": "k", "v_pages": "k_pages", "v_new": "k_new"}


def lay_out(inputs: Inputs, way: str, *, mild: bool = False) -> Inputs:
    """Copy inputs into memory laid out in a way of ``conformance.WAYS``.

    ``mild`` uses zeros in place of NaN, to distinguish an out-of-bounds read from a wrong result.
    """
    problem = inputs.problem
    if way in ("high", "low"):
        _push_scores(inputs, _FAR if way == "high" else -_FAR)
    laid: dict[str, Any] = {}
    for name, tensor in tensors_of(inputs).items():
        if problem.latent and name in _LATENT:
            continue
        plain = tensor.detach()
        spread = way == "strided" and name in _VIEWED
        laid[name] = _spread(plain, name, mild=mild) if spread else _guarded(plain, mild=mild)
    if problem.latent:
        for name, source in _LATENT.items():
            if getattr(inputs, name) is not None:
                laid[name] = laid[source][..., : getattr(inputs, name).shape[-1]]
    if problem.mode != "fwd":
        for name in ("q", "k", "v"):
            laid[name].requires_grad_()
    return replace(inputs, **laid)


def _push_scores(inputs: Inputs, far: float) -> None:
    """Set the first column of q and k so that every score moves by ``far``."""
    k = inputs.k if inputs.k is not None else inputs.k_pages
    assert k is not None
    size = math.sqrt(abs(far) / inputs.scale)
    with torch.no_grad():
        inputs.q[..., 0] = size
        k[..., 0] = math.copysign(size, far)


def _guarded(tensor: Tensor, *, mild: bool) -> Tensor:
    """Copy a tensor into the middle of a buffer of NaN, with the same order of strides."""
    order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    dense = tensor.permute(order)
    margin = _MARGIN_BYTES // tensor.element_size()
    buffer = tensor.new_empty(dense.numel() + 2 * margin)
    _fill(buffer, mild=mild)
    inside = buffer[margin : margin + dense.numel()].view(dense.shape)
    inside.copy_(dense)
    return inside.permute(_inverse(order))


def _spread(tensor: Tensor, name: str, *, mild: bool) -> Tensor:
    """Copy a tensor into a view with a gap after each row, each token and each sequence.

    Tokens come before heads in a dense tensor, as after a projection; K and V pages are in one
    buffer with gaps between them, as in inference engines.
    """
    order = list(range(tensor.dim()))
    if tensor.dim() == 4 and "pages" not in name:  # noqa: PLR2004  batch, head, token, dim
        order = [0, 2, 1, 3]
    outer = tensor.permute(order)
    gaps = [2 if axis == 0 else 1 for axis in range(outer.dim())]
    gaps[-1] = _GAP
    buffer = tensor.new_empty([size + gap for size, gap in zip(outer.shape, gaps, strict=True)])
    _fill(buffer, mild=mild)
    inside = buffer[1:-1] if outer.dim() > 1 else buffer[:-_GAP]
    for axis, size in enumerate(outer.shape[1:], start=1):
        inside = inside.narrow(axis, 0, size)
    inside.copy_(outer)
    return inside.permute(_inverse(order))


def _fill(buffer: Tensor, *, mild: bool) -> None:
    """Fill with NaN; int32 has none and becomes 0, quantized integers become their largest."""
    flat = buffer.view(-1)
    if mild or buffer.dtype == torch.int32:
        flat.view(torch.uint8).zero_()
    elif buffer.is_floating_point():
        poison(flat, ...)
    else:
        flat.fill_(torch.iinfo(buffer.dtype).max)


def _inverse(order: list[int]) -> list[int]:
    return [order.index(axis) for axis in range(len(order))]
