"""The same inputs laid out otherwise: between NaN, as views with gaps, with scores far from 0.

A backend that reads past the end of a tensor, or takes strides for granted, is right on what
``inputs.make_inputs`` allocates and wrong here.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attnbench.measure.inputs import tensors_of
from attnbench.measure.poison import poison
from attnbench.plugin import Inputs

_MARGIN_BYTES = 4096  # on each side; what a tile of a kernel may read too far
_GAP = 16  # elements behind each row, so that rows keep their alignment
# Scores go to this far above or below 0: exp overflows fp32 at 89 and is 0 at -104.
_FAR = 120.0
_VIEWED = ("q", "k", "v", "k_pages", "v_pages", "k_new", "v_new", "grad_out", "page_table")
# V's tensors of a latent cache are views of these of K.
_LATENT = {"v": "k", "v_pages": "k_pages", "v_new": "k_new"}


def lay_out(inputs: Inputs, way: str, *, mild: bool = False) -> Inputs:
    """Copy inputs into memory laid out in this way of ``conformance.WAYS``.

    ``mild`` puts zeros where otherwise NaN stands, to tell a read that goes astray from a wrong
    result.
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
    """Give q and k a first column whose product moves every score by ``far``."""
    k = inputs.k if inputs.k is not None else inputs.k_pages
    assert k is not None
    size = math.sqrt(abs(far) / inputs.scale)
    with torch.no_grad():
        inputs.q[..., 0] = size
        k[..., 0] = math.copysign(size, far)


def _guarded(tensor: Tensor, *, mild: bool) -> Tensor:
    """Copy a tensor, its strides in the same order, into the middle of a buffer of NaN."""
    order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    dense = tensor.permute(order)
    margin = _MARGIN_BYTES // tensor.element_size()
    buffer = tensor.new_empty(dense.numel() + 2 * margin)
    _fill(buffer, mild=mild)
    inside = buffer[margin : margin + dense.numel()].view(dense.shape)
    inside.copy_(dense)
    return inside.permute(_inverse(order))


def _spread(tensor: Tensor, name: str, *, mild: bool) -> Tensor:
    """Copy a tensor into a view with a gap behind each row, each token and each sequence.

    Tokens come before heads in a dense tensor, as a projection leaves them; K and V pages lie in
    one buffer with others between them, as engines keep them.
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
    """Fill with NaN; lengths, tables and integer codes have none and get 0, codes their largest."""
    flat = buffer.view(-1)
    if mild or buffer.dtype == torch.int32:
        flat.view(torch.uint8).zero_()
    elif buffer.is_floating_point():
        poison(flat, ...)
    else:
        flat.fill_(torch.iinfo(buffer.dtype).max)


def _inverse(order: list[int]) -> list[int]:
    return [order.index(axis) for axis in range(len(order))]
