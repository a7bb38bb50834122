"""The definitions of attention that is no softmax over products: linear, additive, a whole layer.

Linear (Katharopoulos et al. 2020, arXiv 2006.16236): with the feature map elu1, φ(x) = elu(x) + 1,
row i is Σ φ(q_i)·φ(k_j) v_j / Σ φ(q_i)·φ(k_j) over the keys that it sees; with the feature map
identity it is scale · Σ (q_i·k_j) v_j, not normalised. Additive (Bahdanau et al. 2014, arXiv
1409.0473): the score is scale · w · tanh(q_i W_q + k_j W_k), and from there on softmax. A layer is
x → q, k, v → softmax attention → o W_o.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attnbench.measure.sequences import Block
from attnbench.plugin import Inputs


def linear(inputs: Inputs, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
    """Return o of ``q [n, h, m, dim]`` over the keys ``[n, h, kv_len, dim]`` that each row sees.

    By its quadratic form, which needs no order of summation.
    """
    if inputs.problem.feature == "identity":
        weights = q @ k.mT * inputs.scale
        return (weights if seen is None else weights.masked_fill(~seen, 0)) @ v
    weights = elu1(q) @ elu1(k).mT
    if seen is not None:
        weights = weights.masked_fill(~seen, 0)
    return weights @ v / weights.sum(-1, keepdim=True)


def elu1(x: Tensor) -> Tensor:
    """Return elu(x) + 1, which is above 0."""
    return torch.nn.functional.elu(x) + 1


def additive(inputs: Inputs, block: Block, q: Tensor, k: Tensor, heads: Tensor) -> Tensor:
    """``w · tanh(q W_q + k W_k)`` for ``q [n, h, m, dim]``, whose rows are of these heads.

    One addend after the other, gathered in fp32 or better, so that no tensor is additive_dim times
    as large as the scores.
    """
    assert inputs.w_q is not None
    assert inputs.w_k is not None
    assert inputs.w_score is not None
    kind, wide = q.dtype, torch.promote_types(q.dtype, torch.float32)
    group = inputs.problem.group_size
    of_q = torch.unflatten(inputs.w_q, 0, (-1, group))[block.heads].to(kind)
    of_score = torch.unflatten(inputs.w_score, 0, (-1, group))[block.heads][:, heads].to(kind)
    hidden_k = k @ inputs.w_k[block.heads].to(kind)
    hidden_q = q.new_empty(*q.shape[:-1], hidden_k.shape[-1])
    for one in range(group):
        hidden_q[:, :, heads == one] = q[:, :, heads == one] @ of_q[:, one]
    scores = q.new_zeros(*q.shape[:-1], k.shape[-2], dtype=wide)
    for column in range(hidden_k.shape[-1]):
        bent = (hidden_q[..., column].unsqueeze(-1) + hidden_k[..., column].unsqueeze(-2)).tanh()
        scores += of_score[..., column].unsqueeze(-1) * bent
    return scores.to(kind)


def layer(
    inputs: Inputs, kind: torch.dtype, attend: Callable[[Inputs], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return o of a whole layer in ``kind``; ``attend`` computes its attention."""
    problem = inputs.problem
    assert inputs.w_o is not None
    x = inputs.q.transpose(1, 2).flatten(2).to(kind)
    projected: dict[str, Any] = {
        name: torch.unflatten(x @ weight.to(kind).mT, 2, (-1, problem.head_dim)).transpose(1, 2)
        for name, weight in (("q", inputs.w_q), ("k", inputs.w_k), ("v", inputs.w_v))
        if weight is not None
    }
    softmax = replace(problem, attention="softmax", mode="fwd")
    o = attend(replace(inputs, problem=softmax, **projected))["o"]
    joined = o.transpose(1, 2).flatten(2).to(kind) @ inputs.w_o.to(kind).mT
    return {"o": torch.unflatten(joined, 2, (-1, problem.head_dim)).transpose(1, 2)}
