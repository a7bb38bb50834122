"""Gradients with the rounding of careful libraries, for the low-precision reference.

PyTorch's autograd rounds less than any fused kernel can: its softmax cancels dp exactly in rows of
few keys, and one product over all heads that share a KV head rounds dk and dv only once. Rounding
that the usual algorithm cannot avoid must not count as an error, so the low-precision reference
uses the usual algorithm (FlashAttention-2, arXiv 2307.08691, section 3.1).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def product(q: Tensor, k: Tensor, group: int) -> Tensor:
    """Return ``q k^T``; q holds the rows of one head of the group after another."""
    scores: Tensor = _Product.apply(q, k, group)  # type: ignore[no-untyped-call]
    return scores


def weigh(scores: Tensor, v: Tensor, weights: Tensor, group: int) -> Tensor:
    """Return ``weights v``; the gradient goes to ``scores``, whose softmax ``weights`` is."""
    o: Tensor = _Weighted.apply(scores, v, weights, group)  # type: ignore[no-untyped-call]
    return o


class _Product(torch.autograd.Function):
    """Rounds dk head by head, as a library does that expands K to all heads."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, group: int) -> Tensor:
        """Return the scores."""
        ctx.save_for_backward(q, k)
        ctx.group = group
        return q @ k.mT

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        """Return dq and dk."""
        q, k = ctx.saved_tensors
        return (
            grad @ k,
            _head_by_head(grad, q, ctx.group) if ctx.needs_input_grad[1] else None,
            None,
        )


class _Weighted(torch.autograd.Function):
    """Centres dp by the rounded output, and rounds dv head by head."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, v: Tensor, weights: Tensor, group: int) -> Tensor:
        """Return o; scores are an argument only so that they get a gradient."""
        del scores
        o = weights @ v
        ctx.save_for_backward(v, weights, o)
        ctx.group = group
        return o

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        """Return ds = p · (dp - sum(do · o)) and dv = p^T do."""
        v, weights, o = ctx.saved_tensors
        delta = (grad_out * o).sum(-1, keepdim=True)
        wants_dv = ctx.needs_input_grad[1]
        dv = _head_by_head(weights, grad_out, ctx.group) if wants_dv else None
        return weights * (grad_out @ v.mT - delta), dv, None, None


def _head_by_head(left: Tensor, right: Tensor, group: int) -> Tensor:
    """Sum ``left^T right`` over the heads of a group; each head's share is rounded first."""
    pairs = zip(left.chunk(group, -2), right.chunk(group, -2), strict=True)
    shares = [(one.mT @ other).float() for one, other in pairs]
    return torch.stack(shares).sum(0).to(left.dtype)
