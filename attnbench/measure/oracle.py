"""Attention by its definition, in any arithmetic: fp64, or the dtype of the problem.

Row i of a request sits at key i + offset (bottom-right: kv_len - q_len, top-left: 0). Score: scale
times q·k, then softcap c·tanh(s/c), then ALiBi -slope·|i + offset - j| (Press et al. 2022, arXiv
2108.12409), then the mask; a sink logit joins the denominator; a row that sees no key is 0.

Linear attention (Katharopoulos et al. 2020, arXiv 2006.16236): with the feature map elu1, φ(x) =
elu(x) + 1, row i is Σ φ(q_i)·φ(k_j) v_j / Σ φ(q_i)·φ(k_j) over the keys that it sees; with the
feature map identity it is scale · Σ (q_i·k_j) v_j, not normalised. Additive attention (Bahdanau et
al. 2014, arXiv 1409.0473): the score is scale · w · tanh(q_i W_q + k_j W_k), followed by softmax. A
layer is x → q, k, v → softmax attention → o W_o.

Working block by block and row by row bounds the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attnbench.errors import Unsupported
from attnbench.measure import low_precision_reference
from attnbench.measure.sequences import (
    Block,
    Group,
    read_k,
    read_rows,
    read_v,
    rotate_keys,
    rotate_rows,
    rows_view,
)
from attnbench.planning.sizes import CHUNK_SCORES
from attnbench.plugin import Inputs
from attnbench.problem import Problem
from attnbench.problem.batch import Request
from attnbench.problem.pairs import alignment_offset, kept_blocks

NO_KEY = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of attention on some rows; the gradients are None in a forward.

    From a block: o, dq ``[n, h, group, q_len, dim]``, lse ``[n, h, group, q_len]``, dk, dv ``[n, h,
    kv_len, dim]``. From sampled rows: o, dq ``[rows, dim]``, lse ``[rows]``, no dk and dv.
    """

    o: Tensor
    lse: Tensor
    dq: Tensor | None = None
    dk: Tensor | None = None
    dv: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledRows:
    """Rows of one sequence under one KV head: the head of the group and the row of each."""

    block: Block
    heads: Tensor
    rows: Tensor


def blocks_of(problem: Problem, group: Group) -> Iterator[Block]:
    """Cut a group into blocks of about CHUNK_SCORES scores and key elements."""
    heads, request = problem.n_kv_heads, group.request
    width = problem.head_dim + problem.v_dim + problem.group_size * request.q_len
    at_once = max(1, CHUNK_SCORES // (request.kv_len * width))
    if at_once < heads:
        for one in range(group.count):
            for start in range(0, heads, at_once):
                part = slice(start, min(start + at_once, heads))
                yield Block(group=group, batch=slice(one, one + 1), heads=part)
        return
    step = at_once // heads
    for start in range(0, group.count, step):
        batch = slice(start, min(start + step, group.count))
        yield Block(group=group, batch=batch, heads=slice(0, heads))


def answer_block(inputs: Inputs, block: Block, kind: torch.dtype) -> Answer:
    """Compute every row of a block in ``kind``, and its gradients in a backward mode."""
    problem, request = inputs.problem, block.group.request
    attention = _Attention(inputs, block, kind)
    q = read_rows(inputs, block, kind)
    step = max(1, CHUNK_SCORES // (request.kv_len * q.shape[0] * q.shape[1] * q.shape[2]))
    found: list[tuple[Tensor, ...]] = []
    for start in range(0, request.q_len, step):
        rows = torch.arange(start, min(start + step, request.q_len), device=q.device)
        heads = torch.arange(problem.group_size, device=q.device).repeat_interleave(len(rows))
        grad_out = _grad(inputs, block, rows)
        chunk = q[..., rows, :].flatten(2, 3)
        part = attention.answer(chunk, heads, rows.repeat(problem.group_size), grad_out)
        found.append(tuple(torch.unflatten(one, 2, (-1, len(rows))) for one in part))
    o, lse, *rest = (torch.cat(part, 3) for part in zip(*found, strict=True))
    return Answer(o=o, lse=lse, dq=rest[0] if rest else None, dk=attention.dk, dv=attention.dv)


def answer_rows(inputs: Inputs, sampled: SampledRows, kind: torch.dtype) -> Answer:
    """Compute a few rows of one sequence and KV head, and their dq in a backward mode."""
    attention = _Attention(inputs, sampled.block, kind, keys_too=False)
    at = (0, 0, sampled.heads, sampled.rows)
    q = read_rows(inputs, sampled.block, kind)[at].expand(1, 1, -1, -1)
    grad_out = None
    if inputs.grad_out is not None:
        block = sampled.block
        grads = rows_view(inputs.grad_out, inputs.problem, block.group)[block.batch, block.heads]
        grad_out = grads[at].expand(1, 1, -1, -1)
    o, lse, *rest = (
        one[0, 0] for one in attention.answer(q, sampled.heads, sampled.rows, grad_out)
    )
    return Answer(o=o, lse=lse, dq=rest[0] if rest else None)


def visible_keys(problem: Problem, request: Request, rows: Tensor) -> Tensor | None:
    """Return which keys these rows see, bool ``[rows, kv_len]``; None if they see every key."""
    visible = None
    keys = torch.arange(request.kv_len, device=rows.device)
    if problem.mask != "none":
        last = (rows + alignment_offset(problem, request)).unsqueeze(1)
        visible = keys <= last
        if problem.window is not None:
            visible &= (keys > last - problem.window) | (keys < problem.sinks)
    if problem.attention == "block_sparse":
        assert problem.block is not None
        shape = (-(-request.q_len // problem.block), -(-request.kv_len // problem.block))
        kept = torch.zeros(shape, dtype=torch.bool)
        for row, columns in kept_blocks(problem, request):
            kept[row, columns] = True
        in_block = kept.to(rows.device)[rows // problem.block][:, keys // problem.block]
        visible = in_block if visible is None else visible & in_block
    return visible


class _Attention:
    """Attention of one block in one arithmetic.

    Keys are read once; ``dk`` and ``dv`` accumulate over the rows that are asked for.
    """

    def __init__(
        self, inputs: Inputs, block: Block, kind: torch.dtype, *, keys_too: bool = True
    ) -> None:
        problem = inputs.problem
        if problem.attention == "linear" and problem.rope != "none":
            raise Unsupported("there is no reference for linear attention with rope")
        self.inputs, self.block, self.problem = inputs, block, problem
        self.k, self.v = read_k(inputs, block, kind), read_v(inputs, block, kind)
        self.low_precision = kind != torch.float64
        self.dk: Tensor | None = None
        self.dv: Tensor | None = None
        if problem.mode != "fwd" and keys_too:
            # Low-precision gradients accumulate in fp32, as in a library.
            wide = torch.float64 if kind == torch.float64 else torch.float32
            self.dk = torch.zeros_like(self.k, dtype=wide)
            self.dv = torch.zeros_like(self.v, dtype=wide)

    def answer(
        self, q: Tensor, heads: Tensor, rows: Tensor, grad_out: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Return o, lse and in a backward mode dq.

        Args:
            q: ``[n, h, m, dim]``, not yet rotated.
            heads: ``[m]``: the head of the group of each row.
            rows: ``[m]``: the row in its request.
            grad_out: ``[n, h, m, v_dim]``; None in a forward.

        """
        if grad_out is None:
            return self._attend(q, self.k, self.v, heads, rows)
        q, k, v = (one.detach() for one in (q, self.k, self.v))
        wanted = [q] if self.dk is None else [q, k, v]
        for leaf in wanted:
            leaf.requires_grad_()
        with torch.enable_grad():
            o, lse = self._attend(q, k, v, heads, rows)
        dq, *of_keys = torch.autograd.grad(o, wanted, grad_out.to(o.dtype))
        if self.dk is not None and self.dv is not None:
            self.dk += of_keys[0]
            self.dv += of_keys[1]
        return o.detach(), lse, dq

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, heads: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        kv_len = self.block.group.request.kv_len
        visible = visible_keys(self.problem, self.block.group.request, rows)
        if self.problem.attention == "linear":
            o = linear(self.inputs, q, k, v, visible)
            return o, o.new_zeros(o.shape[:-1])  # without a softmax there is no lse
        scores = self._scores(q, k, heads, rows)
        if visible is not None:
            scores = scores.masked_fill(~visible, NO_KEY)
        if self.inputs.sink_logits is not None:
            # The sink is one more column: it takes part in the softmax and has no value.
            sink = self._of_heads(self.inputs.sink_logits, heads).to(q.dtype)
            scores = torch.cat((scores, sink.expand(q.shape[0], -1, -1).unsqueeze(-1)), -1)
        if not self.low_precision:
            weights = _softmax(scores, visible)
            return weights[..., :kv_len] @ v, _lse(scores.detach(), weights.detach())
        # The weights carry no gradient here: ``weigh`` computes it the way that libraries do.
        weights = _softmax(scores.detach(), visible)[..., :kv_len]
        o = low_precision_reference.weigh(scores[..., :kv_len], v, weights, self.problem.group_size)
        return o, scores.detach().float().logsumexp(-1)

    def _scores(self, q: Tensor, k: Tensor, heads: Tensor, rows: Tensor) -> Tensor:
        """Return the scores ``[n, h, m, kv_len]`` before the mask."""
        inputs, problem = self.inputs, self.problem
        q, k = rotate_rows(inputs, self.block, q, rows), rotate_keys(inputs, self.block, k)
        scores = self._products(q, k, heads) * inputs.scale
        if problem.softcap is not None:
            scores = (scores / problem.softcap).tanh() * problem.softcap
        if inputs.alibi_slopes is not None:
            slope = self._of_heads(inputs.alibi_slopes, heads).to(q.dtype).unsqueeze(-1)
            position = rows + alignment_offset(problem, self.block.group.request)
            keys = torch.arange(k.shape[-2], device=q.device)
            scores = scores - slope * (position.unsqueeze(1) - keys).abs().to(q.dtype)
        return scores

    def _products(self, q: Tensor, k: Tensor, heads: Tensor) -> Tensor:
        if self.problem.attention == "additive":
            return additive(self.inputs, self.block, q, k, heads)
        return (
            low_precision_reference.product(q, k, self.problem.group_size)
            if self.low_precision
            else q @ k.mT
        )

    def _of_heads(self, per_head: Tensor, heads: Tensor) -> Tensor:
        """Select the value of each row's query head: ``[h, m]`` for m rows per KV head."""
        return per_head.view(-1, self.problem.group_size)[self.block.heads][:, heads]


def _softmax(scores: Tensor, visible: Tensor | None) -> Tensor:
    """Return the softmax over the last axis; 0, with gradient 0, in rows that see no key."""
    if visible is None or bool((some := visible.any(-1, keepdim=True)).all()):
        return scores.softmax(-1)
    # A row of only -inf would give NaN, so such rows are filled before and zeroed after.
    return scores.masked_fill(~some, 0).softmax(-1).masked_fill(~some, 0)


def _lse(scores: Tensor, weights: Tensor) -> Tensor:
    """Return the log-sum-exp from the largest score and its weight, which saves a pass.

    The largest weight is exp(largest score - lse). A row that sees no key has no weights; its lse
    is the sink logit, or -inf without one.
    """
    most, heaviest = scores.amax(-1), weights.amax(-1)
    return torch.where(heaviest == 0, most, most - heaviest.log())


def _grad(inputs: Inputs, block: Block, rows: Tensor) -> Tensor | None:
    """Return grad_out of these rows, ``[n, h, group * rows, v_dim]``; None in a forward."""
    if inputs.grad_out is None:
        return None
    grads = rows_view(inputs.grad_out, inputs.problem, block.group)[block.batch, block.heads]
    return grads[..., rows, :].flatten(2, 3)


def linear(inputs: Inputs, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
    """Return o ``[n, h, m, v_dim]`` of linear attention, by its quadratic form.

    Args:
        inputs: the feature map and the scale.
        q: ``[n, h, m, dim]``.
        k: ``[n, h, kv_len, dim]``.
        v: ``[n, h, kv_len, v_dim]``.
        visible: which keys each row sees, bool ``[m, kv_len]``; None for all.

    """
    if inputs.problem.feature == "identity":
        weights = q @ k.mT * inputs.scale
        return (weights if visible is None else weights.masked_fill(~visible, 0)) @ v
    weights = _elu1(q) @ _elu1(k).mT
    if visible is not None:
        weights = weights.masked_fill(~visible, 0)
    return weights @ v / weights.sum(-1, keepdim=True)


def _elu1(x: Tensor) -> Tensor:
    """Return elu(x) + 1, which is positive."""
    return torch.nn.functional.elu(x) + 1


def additive(inputs: Inputs, block: Block, q: Tensor, k: Tensor, heads: Tensor) -> Tensor:
    """Return the additive scores ``w · tanh(q W_q + k W_k)``, ``[n, h, m, kv_len]``.

    The sum over additive_dim goes column by column, in fp32 or better, so that no tensor is
    additive_dim times as large as the scores.

    Args:
        inputs: the weights.
        block: the KV heads h.
        q: ``[n, h, m, dim]``.
        k: ``[n, h, kv_len, dim]``.
        heads: ``[m]``: the head of the group of each row.

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
        hidden = (hidden_q[..., column].unsqueeze(-1) + hidden_k[..., column].unsqueeze(-2)).tanh()
        scores += of_score[..., column].unsqueeze(-1) * hidden
    return scores.to(kind)


def layer(
    inputs: Inputs, kind: torch.dtype, attend: Callable[[Inputs], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return the output of a whole layer, under the name o.

    Args:
        inputs: the layer's input x in place of q, and its weights.
        kind: the arithmetic of the projections.
        attend: computes the attention between the projections.

    """
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
