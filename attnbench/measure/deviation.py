"""How far rows are from what they should be.

A row's error is measured by its own length. A gradient's row counts as at least of the rms length:
it is a difference of larger terms (a causal mask's first row has dq = 0 = dp - dp), so that what is
left of their rounding says nothing beside its own length.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

GRADIENTS = ("dq", "dk", "dv")
# Of the rms row norm: below it a row counts as that large.
_SMALLEST_NORM, _SMALLEST_GRADIENT = 1e-3, 1.0
_AT_ONCE = 2**20  # elements compared at a time, in fp64


def row_errors(
    got: Tensor, exact: Tensor, name: str, unit: float = 0.0, *, cancels: bool = False
) -> Tensor:
    """Relative error of each row of ``[rows, dim]``; NaN or inf where ``got`` is not finite.

    ``unit`` stands for the rms length where every row should be 0. ``cancels`` says that rows are
    sums of terms of both signs, as a gradient's are: linear attention without a feature map.
    """
    errors = torch.empty(exact.shape[0], dtype=torch.float64, device=exact.device)
    step = max(1, _AT_ONCE // exact.shape[1])
    smallest = _SMALLEST_GRADIENT if name in GRADIENTS or cancels else _SMALLEST_NORM
    least = smallest * rms_row_norm(exact) or unit
    for start in range(0, exact.shape[0], step):
        part = slice(start, start + step)
        r = exact[part].double()
        difference = (got[part].double() - r).norm(dim=-1)
        if name == "lse":
            # Already a logarithm: an absolute error, relative above 1; rows without a key pass.
            size = r.abs().squeeze(-1)
            errors[part] = torch.where(size.isfinite(), difference / size.clamp(min=1), 0.0)
        else:
            size = r.norm(dim=-1).clamp(min=least)
            errors[part] = torch.where((size == 0) & (difference == 0), 0.0, difference / size)
    return errors


def rms_row_norm(rows: Tensor) -> float:
    """Root of the mean squared norm of all rows."""
    step = max(1, _AT_ONCE // rows.shape[1])
    total = sum(float(part.double().square().sum()) for part in torch.split(rows, step))
    return math.sqrt(total / max(1, rows.shape[0]))
