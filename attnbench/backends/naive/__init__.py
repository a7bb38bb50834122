"""Attention as its definition reads, one readable step after another: the readable truth.

Every score is written to memory in the problem's dtype (``upcast``: in fp32). Pages are gathered,
codes are dequantised, new rows are appended inside the call, because they are part of the work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attnbench.backends.naive.cache import Cache, Part, parts_of, rotate
from attnbench.plugin import Capabilities, Inputs
from attnbench.problem import Problem
from attnbench.problem.pairs import alignment_offset, kept_blocks

if TYPE_CHECKING:
    from torch import Tensor

    from attnbench.problem.batch import Request

capabilities = Capabilities(
    modes={"fwd", "bwd", "fwd_bwd"},
    dtypes={"fp32", "tf32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2"},
    kv_dtypes={"fp32", "tf32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "int8", "int4"},
    masks={"none", "causal", "window"},
    mask_aligns={"bottom_right", "top_left"},
    ragged=True,
    paged=True,
    page_formats={"nhd", "hnd"},
    softcap=True,
    alibi=True,
    sinks=True,
    sink_logits=True,
    rope=True,
    append=True,
    attentions={"softmax", "block_sparse", "additive"},
    graph=False,  # an append indexes with tensors that a capture would have to copy
)
_FP32_BYTES = 4


def prepare(inputs: Inputs, *, upcast: bool = False) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return the call; masks, biases and the slots of the cache are made here, untimed."""
    import torch

    problem = inputs.problem
    # There are no products of fp8 matrices outside special hardware: bf16 holds the same values.
    kind = torch.bfloat16 if problem.dtype.startswith("fp8") else inputs.q.dtype
    kind = torch.float32 if upcast else kind
    parts = list(parts_of(problem))
    cache = Cache(inputs, parts, kind)
    steps = [_Attention(inputs, part) for part in parts]

    def attend() -> tuple[Tensor, Tensor]:
        if problem.append:
            cache.append()
        found = [step(step.part.rows_of(inputs.q).to(kind), cache) for step in steps]
        o = torch.cat([step.part.packed(o) for step, (o, _) in zip(steps, found, strict=True)])
        lse = torch.cat(
            [step.part.packed(lse) for step, (_, lse) in zip(steps, found, strict=True)]
        )
        return o.to(inputs.q.dtype), lse

    return attend


def workspace_bytes(problem: Problem, *, upcast: bool = False) -> int:
    """Scores and weights of the largest group of equal requests, and K and V once more."""
    size = _FP32_BYTES if upcast or problem.dtype in ("fp32", "tf32") else 2
    largest = 0
    for count, request in problem.request_groups:
        scores = count * problem.q_heads * request.q_len * request.kv_len
        copied = problem.is_ragged or problem.kv_layout == "paged" or upcast
        copied = copied or problem.kv_dtype != problem.dtype
        keys = count * problem.n_kv_heads * request.kv_len * (problem.head_dim + problem.v_dim)
        # Scores, scaled scores and weights; a backward keeps them and makes their gradients.
        copies = 3 if problem.mode == "fwd" else 6
        copies += 2 * (problem.additive_dim or 0)  # a sum and its tanh for every pair
        largest = max(largest, copies * scores * size + (2 * keys * size if copied else 0))
    return largest


class _Attention:
    """The mathematics of one part."""

    def __init__(self, inputs: Inputs, part: Part) -> None:
        import torch

        self.inputs, self.part, self.problem = inputs, part, inputs.problem
        request, device = part.request, inputs.q.device
        offset = alignment_offset(self.problem, request)
        rows = torch.arange(request.q_len, device=device).unsqueeze(1) + offset
        keys = torch.arange(request.kv_len, device=device)
        self.hidden = _hidden(self.problem, request, rows, keys)
        self.bias = None
        if inputs.alibi_slopes is not None:
            self.bias = -inputs.alibi_slopes.view(-1, 1, 1) * (rows - keys).abs()
        # Row i stands at key i + offset; where that is below 0 the keys move up instead.
        self.row_places = rows.squeeze(1) + max(0, -offset)
        self.key_places = keys + max(0, -offset)

    def __call__(self, q: Tensor, cache: Cache) -> tuple[Tensor, Tensor]:
        """Give back o ``[count, q_heads, q_len, v_dim]`` and lse without the last axis, in fp32."""
        import torch

        problem, inputs = self.problem, self.inputs
        k, v = cache.read(self.part)
        if problem.rope != "none":
            q = rotate(inputs, q, self.row_places)
            if not problem.append:  # else the cache holds keys that were rotated when they came
                k = rotate(inputs, k, self.key_places)
        # The query heads that share a KV head are rows of one product.
        shape, keys = q.shape[:-1], k.shape[-2]
        shared = (len(q), problem.n_kv_heads, problem.group_size * q.shape[2], -1)
        if problem.attention == "additive":
            scores = self._additive(q, k) * inputs.scale
        else:
            scores = (q.reshape(shared) @ k.mT).view(*shape, keys) * inputs.scale
        if problem.softcap is not None:
            scores = (scores / problem.softcap).tanh() * problem.softcap
        if self.bias is not None:
            scores = scores + self.bias.to(scores.dtype)
        if self.hidden is not None:
            scores = scores.masked_fill(self.hidden, float("-inf"))
        if inputs.sink_logits is not None:
            sink = inputs.sink_logits.to(scores.dtype).view(-1, 1, 1).expand(*shape, 1)
            scores = torch.cat((scores, sink), -1)
        lse = scores.detach().float().logsumexp(-1)
        weights = scores.softmax(-1)[..., :keys]
        if self.hidden is not None:
            # A row that sees no key is 0 / 0 so far.
            weights = weights.masked_fill(self.hidden.all(-1, keepdim=True), 0)
        return (weights.reshape(shared) @ v).view(*shape, v.shape[-1]), lse

    def _additive(self, q: Tensor, k: Tensor) -> Tensor:
        """``w · tanh(q W_q + k W_k)``: the sum of every row with every key is written to memory."""
        inputs, kind = self.inputs, q.dtype
        assert inputs.w_q is not None
        assert inputs.w_k is not None
        assert inputs.w_score is not None
        of_q = q @ inputs.w_q.to(kind)
        of_k = (k @ inputs.w_k.to(kind)).repeat_interleave(self.problem.group_size, 1)
        bent = (of_q.unsqueeze(-2) + of_k.unsqueeze(-3)).tanh()
        return (bent @ inputs.w_score.to(kind).view(1, -1, 1, bent.shape[-1], 1)).squeeze(-1)


def _hidden(problem: Problem, request: Request, rows: Tensor, keys: Tensor) -> Tensor | None:
    """Which keys a row does not see, ``[q_len, kv_len]``; None where all see all."""
    import torch

    hidden = torch.zeros(len(rows), len(keys), dtype=torch.bool, device=rows.device)
    if problem.mask != "none":
        hidden |= keys > rows
    if problem.window is not None:
        hidden |= (keys <= rows - problem.window) & (keys >= problem.sinks)
    if problem.block is not None:
        kept = torch.zeros_like(hidden)
        for row, columns in kept_blocks(problem, request):
            for column in columns:
                kept[_span(row, problem.block), _span(column, problem.block)] = True
        hidden |= ~kept
    return hidden if bool(hidden.any()) else None


def _span(index: int, size: int) -> slice:
    return slice(index * size, (index + 1) * size)
