"""Gradients as careful libraries compute them, for the low-precision twin of the reference.

PyTorch's own autograd happens to round less than every fused kernel must: its softmax cancels dp
exactly in rows of few keys, and one product over all heads that share a KV head rounds dk and dv
once. What is inherent in the usual way must not count as wrong, so the twin goes the usual way.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def product(q: Tensor, k: Tensor, group: int) -> Tensor:
    """``q k^T``; the rows of q lie one head of the group after another."""
    scores: Tensor = _Product.apply(q, k, group)  # type: ignore[no-untyped-call]
    return scores


def weigh(scores: Tensor, v: Tensor, weights: Tensor, group: int) -> Tensor:
    """``weights v``, where ``weights`` is the softmax of ``scores``, which gets the gradient."""
    o: Tensor = _Weighted.apply(scores, v, weights, group)  # type: ignore[no-untyped-call]
    return o


class _Product(torch.autograd.Function):
    """Its dk is rounded head by head, as where K is expanded to all heads."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, group: int) -> Tensor:
        """Rows of q lie one head of the group after another."""
        ctx.save_for_backward(q, k)
        ctx.group = group
        return q @ k.mT

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        """Give dq and dk."""
        q, k = ctx.saved_tensors
        return (
            grad @ k,
            _head_by_head(grad, q, ctx.group) if ctx.needs_input_grad[1] else None,
            None,
        )


class _Weighted(torch.autograd.Function):
    """Its dp are centred by the rounded output, its dv is rounded head by head."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, v: Tensor, weights: Tensor, group: int) -> Tensor:
        """Scores are an argument for their gradient alone."""
        del scores
        o = weights @ v
        ctx.save_for_backward(v, weights, o)
        ctx.group = group
        return o

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        """Give ds = p · (dp - sum(do · o)) and dv = p^T do."""
        v, weights, o = ctx.saved_tensors
        delta = (grad_out * o).sum(-1, keepdim=True)
        wants_dv = ctx.needs_input_grad[1]
        dv = _head_by_head(weights, grad_out, ctx.group) if wants_dv else None
        return weights * (grad_out @ v.mT - delta), dv, None, None


def _head_by_head(left: Tensor, right: Tensor, group: int) -> Tensor:
    """Sum ``left^T right`` over the heads of a group, each head's share rounded to the dtype."""
    pairs = zip(left.chunk(group, -2), right.chunk(group, -2), strict=True)
    shares = [(one.mT @ other).float() for one, other in pairs]
    return torch.stack(shares).sum(0).to(left.dtype)
