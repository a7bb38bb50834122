"""Correctness before time: is an output right, and how large is its error.

An output is right if its shape and dtype are as asked, if it has no NaN or inf where the reference
is finite, if rows without a key are exactly 0, and if no row's error exceeds 2.5 times (gradients:
4 times) the worst error of plain PyTorch in the same dtype, or a floor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from attnbench.measure.calls import Outputs
from attnbench.measure.reference import GRADIENTS, Expected, Reference, row_errors
from attnbench.problem import Problem

# The relative error that even the simplest implementation in this dtype may have.
FLOORS = {
    "fp32": 1.2e-7,
    "bf16": 2e-3,
    "fp16": 2.5e-4,
    "tf32": 5e-4,
    "fp8_e4m3": 0.06,
    "fp8_e5m2": 0.06,
}
MAX_RATIO, MAX_GRADIENT_RATIO = 2.5, 4.0
_FP32_ROUNDING = 2.0**-24
_AT_ONCE = 2**24  # elements searched for NaN at once


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """Whether an output is right. The errors are the largest of all its tensors.

    ``error_rel`` is the worst row's relative error, ``error_ratio`` that divided by the error of
    plain PyTorch; None if the output could not be compared at all.
    """

    passed: bool
    reason: str = ""
    error_rel: float | None = None
    error_ratio: float | None = None


def check(outputs: Outputs, reference: Reference) -> CheckResult:
    """Compare the output of a backend with the reference of the same inputs."""
    problem = reference.problem
    reasons, errors, ratios = [], [], []
    floor = error_floor(problem)
    for name, got in _named(outputs).items():
        expected = reference.expected.get(name)
        if expected is None:
            continue
        if wrong := _wrong_form(got, expected) or _not_finite(got, expected, problem):
            return CheckResult(passed=False, reason=wrong)
        rows = _compared_rows(got, expected)
        cancels = problem.feature == "identity"
        error = row_errors(rows, expected.exact, name, expected.unit, cancels=cancels)
        worst = float(error.max())
        ratio = worst / max(expected.plain_error, floor)
        errors.append(worst)
        ratios.append(ratio)
        if wrong := _wrong_empty_rows(rows, expected, problem):
            reasons.append(wrong)
        elif ratio > (limit := MAX_GRADIENT_RATIO if name in GRADIENTS else MAX_RATIO):
            at = _position(int(error.argmax()), expected, problem)
            reasons.append(
                f"{name} is off by {worst:.2g} at {at}: {ratio:.3g} times what plain PyTorch "
                f"{problem.dtype} is off by (at most {limit:g})"
            )
    if not errors:
        return CheckResult(passed=False, reason="the call returned nothing that can be checked")
    return CheckResult(
        passed=not reasons,
        reason="; ".join(reasons),
        error_rel=max(errors),
        error_ratio=max(ratios),
    )


def error_floor(problem: Problem) -> float:
    """Return the error that no backend is required to beat.

    It is at least that of a plain fp32 sum over the longest axis, a random walk of its roundings
    (2^-24 · sqrt(n / 3)), because PyTorch may add up in a better order (3 times at 8192 keys).
    """
    terms = max(request.kv_len for _, request in problem.request_groups)
    if problem.mode != "fwd":
        rows = max(request.q_len for _, request in problem.request_groups)
        terms = max(terms, rows * problem.group_size)
    return max(FLOORS[problem.dtype], _FP32_ROUNDING * math.sqrt(terms / 3))


def _named(outputs: Outputs) -> dict[str, Tensor]:
    dq, dk, dv = outputs.gradients or (None, None, None)
    every = {"o": outputs.o, "lse": outputs.lse, "dq": dq, "dk": dk, "dv": dv}
    return {name: tensor.detach() for name, tensor in every.items() if tensor is not None}


def _wrong_form(got: Tensor, expected: Expected) -> str | None:
    name = expected.name
    if tuple(got.shape) != expected.shape:
        return f"{name} has the shape {tuple(got.shape)}, not {expected.shape}"
    if got.dtype != expected.dtype:
        return f"{name} is {_word(got.dtype)}, not {_word(expected.dtype)}"
    if got.device != expected.exact.device:
        return f"{name} is on {got.device}, not on {expected.exact.device}"
    return None


def _not_finite(got: Tensor, expected: Expected, problem: Problem) -> str | None:
    """Find NaN or inf in any row, compared or not, because the reference is finite.

    The lse of a row without a key is -inf by definition, and +inf in some libraries.
    """
    if expected.name == "lse":
        rows = _compared_rows(got, expected)
        bad = ~rows.isfinite() & expected.exact.isfinite()
        count, total = int(bad.sum()), bad.shape[0]
        if not count:
            return None
        at = _position(int(bad.flatten().nonzero()[0]), expected, problem)
        return f"lse is NaN or inf in {count} of {total} rows, first at {at}"
    rows = got.reshape(-1, got.shape[-1])
    step = max(1, _AT_ONCE // rows.shape[1])
    bad = torch.cat([~part.float().isfinite().all(-1) for part in torch.split(rows, step)])
    count = int(bad.sum())
    if not count:
        return None
    index = [int(one) for one in torch.unravel_index(bad.nonzero()[0, 0], got.shape[:-1])]
    words = _words(index, expected.name, problem)
    return f"{expected.name} has NaN or inf in {count} of {rows.shape[0]} rows, first at {words}"


def _wrong_empty_rows(rows: Tensor, expected: Expected, problem: Problem) -> str | None:
    """Find rows of o that see no key and are not exactly 0; gradients may have rounding."""
    if expected.name != "o":
        return None
    bad = (expected.exact == 0).all(-1) & (rows.float() != 0).any(-1)
    if not bool(bad.any()):
        return None
    at = _position(int(bad.nonzero()[0]), expected, problem)
    return f"o is not 0 in {int(bad.sum())} rows that see no key, first at {at}"


def _compared_rows(got: Tensor, expected: Expected) -> Tensor:
    """Return the rows of the output that the reference has, ``[rows, dim]``."""
    rows = got if expected.where is None else got[expected.where]
    return rows.reshape(-1, 1 if expected.name == "lse" else got.shape[-1])


def _position(row: int, expected: Expected, problem: Problem) -> str:
    """Return in words where a row of the reference is."""
    if expected.where is not None:
        index = [int(axis[row]) for axis in expected.where]
    else:
        lead = expected.shape if expected.name == "lse" else expected.shape[:-1]
        index = [int(one) for one in torch.unravel_index(torch.tensor(row), lead)]
    return _words(index, expected.name, problem)


def _words(index: list[int], name: str, problem: Problem) -> str:
    of_keys = name in ("dk", "dv")
    token, head = ("key", "KV head") if of_keys else ("row", "head")
    if not problem.is_ragged:
        return f"batch {index[0]}, {head} {index[1]}, {token} {index[2]}"
    place, sequence = index[0], 0
    for sequence, request in enumerate(problem.request_list):  # noqa: B007  read below
        length = request.kv_len if of_keys else request.q_len
        if place < length:
            break
        place -= length
    return f"request {sequence}, {head} {index[1]}, {token} {place}"


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
