"""Attention as its definition reads, one readable step after another: the readable truth.

Every score is written to memory in the problem's dtype (``upcast``: in fp32). The call itself
gathers pages, dequantizes the cache and appends new rows, because they are part of the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
_INT8_MAX, _INT4_MAX = 127, 15


def prepare(inputs: Inputs, *, upcast: bool = False) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return the call; masks, biases and cache slots are made here, untimed.

    Args:
        inputs: any float dtype and any cache layout.
        upcast: whether to compute in fp32.

    Returns:
        A call that gives o in q's dtype and layout, and lse (fp32, natural log).

    """
    import torch

    problem = inputs.problem
    # fp8 products need special hardware; bf16 holds every fp8 value exactly.
    kind = torch.bfloat16 if problem.dtype.startswith("fp8") else inputs.q.dtype
    kind = torch.float32 if upcast else kind
    parts = list(_parts_of(problem))
    cache = _Cache(inputs, parts, kind)
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
    """Bytes for scores and weights of the largest group of equal requests, and copies of K and V.

    Args:
        problem: dense, packed or paged.
        upcast: as in ``prepare``.

    """
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
    """Attention over one part: mask, bias, softmax and products."""

    def __init__(self, inputs: Inputs, part: _Part) -> None:
        import torch

        self.inputs, self.part, self.problem = inputs, part, inputs.problem
        request, device = part.request, inputs.q.device
        offset = alignment_offset(self.problem, request)
        rows = torch.arange(request.q_len, device=device).unsqueeze(1) + offset
        keys = torch.arange(request.kv_len, device=device)
        self.masked = _masked(self.problem, request, rows, keys)
        self.bias = None
        if inputs.alibi_slopes is not None:
            self.bias = -inputs.alibi_slopes.view(-1, 1, 1) * (rows - keys).abs()
        # Row i has the position of key i + offset; where that is below 0 the keys move up instead.
        self.row_positions = rows.squeeze(1) + max(0, -offset)
        self.key_positions = keys + max(0, -offset)

    def __call__(self, q: Tensor, cache: _Cache) -> tuple[Tensor, Tensor]:
        """Return o ``[count, q_heads, q_len, v_dim]`` and lse (fp32) without the last axis."""
        import torch

        problem, inputs = self.problem, self.inputs
        k, v = cache.read(self.part)
        if problem.rope != "none":
            q = _rotate(inputs, q, self.row_positions)
            if not problem.append:  # an append stores rotated keys
                k = _rotate(inputs, k, self.key_positions)
        # The query heads that share a KV head become rows of one product: K is not expanded.
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
        if self.masked is not None:
            scores = scores.masked_fill(self.masked, float("-inf"))
        if inputs.sink_logits is not None:
            sink = inputs.sink_logits.to(scores.dtype).view(-1, 1, 1).expand(*shape, 1)
            scores = torch.cat((scores, sink), -1)
        lse = scores.detach().float().logsumexp(-1)
        weights = scores.softmax(-1)[..., :keys]
        if self.masked is not None:
            # The softmax of a row without any key is 0 / 0; its output is defined as 0.
            weights = weights.masked_fill(self.masked.all(-1, keepdim=True), 0)
        return (weights.reshape(shared) @ v).view(*shape, v.shape[-1]), lse

    def _additive(self, q: Tensor, k: Tensor) -> Tensor:
        """``w · tanh(q W_q + k W_k)`` (Bahdanau 2014, 1409.0473), every sum written to memory."""
        inputs, kind = self.inputs, q.dtype
        assert inputs.w_q is not None
        assert inputs.w_k is not None
        assert inputs.w_score is not None
        of_q = q @ inputs.w_q.to(kind)
        of_k = (k @ inputs.w_k.to(kind)).repeat_interleave(self.problem.group_size, 1)
        activation = (of_q.unsqueeze(-2) + of_k.unsqueeze(-3)).tanh()
        return (
            activation @ inputs.w_score.to(kind).view(1, -1, 1, activation.shape[-1], 1)
        ).squeeze(-1)


def _masked(problem: Problem, request: Request, rows: Tensor, keys: Tensor) -> Tensor | None:
    """Mask of the keys that a row must not see, ``[q_len, kv_len]``; None where all see all."""
    import torch

    masked = torch.zeros(len(rows), len(keys), dtype=torch.bool, device=rows.device)
    if problem.mask != "none":
        masked |= keys > rows
    if problem.window is not None:
        masked |= (keys <= rows - problem.window) & (keys >= problem.sinks)
    if problem.block is not None:
        kept = torch.zeros_like(masked)
        for row, columns in kept_blocks(problem, request):
            for column in columns:
                kept[_span(row, problem.block), _span(column, problem.block)] = True
        masked |= ~kept
    return masked if bool(masked.any()) else None


def _span(index: int, size: int) -> slice:
    return slice(index * size, (index + 1) * size)


@dataclass(frozen=True)
class _Part:
    """Adjacent requests of equal lengths, computed together as one dense batch."""

    problem: Problem
    request: Request
    count: int
    first: int
    first_row: int
    first_key: int

    def rows_of(self, tensor: Tensor) -> Tensor:
        """Q of these requests, ``[count, q_heads, q_len, dim]``."""
        return self._dense(tensor, self.first_row, self.request.q_len)

    def keys_of(self, tensor: Tensor) -> Tensor:
        """A contiguous cache tensor of these requests, ``[count, kv_heads, kv_len, ...]``."""
        return self._dense(tensor, self.first_key, self.request.kv_len)

    def new_of(self, tensor: Tensor) -> Tensor:
        """Rows to append to these requests, ``[count, kv_heads, append, dim]``."""
        if not self.problem.is_ragged:
            return tensor
        return self._dense(tensor, self.first * self.problem.append, self.problem.append)

    def packed(self, rows: Tensor) -> Tensor:
        """Return ``[count, q_heads, q_len, ...]`` in q's layout."""
        return rows.transpose(1, 2).flatten(0, 1) if self.problem.is_ragged else rows

    def _dense(self, tensor: Tensor, start: int, length: int) -> Tensor:
        if not self.problem.is_ragged:
            return tensor
        packed = tensor[start : start + self.count * length]
        return packed.view(self.count, length, *tensor.shape[1:]).transpose(1, 2)


def _parts_of(problem: Problem) -> Iterator[_Part]:
    """Split a problem into its groups of equal requests."""
    first = row = key = 0
    for count, request in problem.request_groups:
        yield _Part(problem, request, count, first, row, key)
        first += count
        row += count * request.q_len
        key += count * request.kv_len


class _Cache:
    """K and V, dense, packed or paged: read in the compute dtype, or extended by new rows."""

    def __init__(self, inputs: Inputs, parts: list[_Part], kind: Any) -> None:
        self.inputs, self.problem, self.kind = inputs, inputs.problem, kind
        self.parts = parts
        self.slots = [self._slots(part) for part in parts] if self.problem.append else []

    def read(self, part: _Part) -> tuple[Tensor, Tensor]:
        """K and V of a part, ``[count, kv_heads, kv_len, dim]`` in the compute dtype."""
        k = self._values(part, "k")
        return k, k[..., : self.problem.v_dim] if self.problem.latent else self._values(part, "v")

    def append(self) -> None:
        """Append k_new and v_new to each sequence, rotated and quantized like the cache."""
        inputs, problem = self.inputs, self.problem
        new = {"k": inputs.k_new} if problem.latent else {"k": inputs.k_new, "v": inputs.v_new}
        for part, (slots, positions) in zip(self.parts, self.slots, strict=True):
            for name, tensor in new.items():
                assert tensor is not None
                rows = part.new_of(tensor)
                if name == "k" and problem.rope != "none":
                    rows = _rotate(inputs, rows.to(self.kind), positions)
                if problem.is_quantized:
                    written = _quantize(rows.float(), problem.stored_dtype, self._tensor(name))
                else:
                    written = (rows,)
                for suffix, one in zip(("", "_scale", "_zero"), written, strict=False):
                    tokens = self._by_token(f"{name}{suffix}")
                    tokens[slots] = one.transpose(1, 2).flatten(0, 1).to(tokens.dtype)

    def _values(self, part: _Part, name: str) -> Tensor:
        values = self._read(part, name)
        if not self.problem.is_quantized:
            return values.to(self.kind)
        if self.problem.kv_dtype == "int4":
            import torch

            values = torch.stack((values & _INT4_MAX, values >> 4), -1).flatten(-2)
            zero = self._read(part, f"{name}_zero").to(self.kind)
            values = values.to(self.kind) - zero.unsqueeze(-1)
        scale = self._read(part, f"{name}_scale").to(self.kind)
        return values.to(self.kind) * scale.unsqueeze(-1)

    def _read(self, part: _Part, name: str) -> Tensor:
        """One tensor of the cache as ``[count, kv_heads, kv_len, ...]``."""
        table = self.inputs.page_table
        if table is None:
            return part.keys_of(self._tensor(name))
        pages = self._by_token(name)[table[part.first : part.first + part.count].long()]
        return pages.flatten(1, 2)[:, : part.request.kv_len].transpose(1, 2)

    def _tensor(self, name: str) -> Tensor:
        paged = self.inputs.page_table is not None and name in ("k", "v")
        tensor: Tensor = getattr(self.inputs, f"{name}_pages" if paged else name)
        return tensor

    def _by_token(self, name: str) -> Tensor:
        """View a cache tensor with its token axes first, followed by the KV heads."""
        tensor = self._tensor(name)
        paged = self.inputs.page_table is not None
        if paged and name in ("k", "v") and self.problem.page_format == "nhd":
            return tensor
        return tensor if self.problem.is_ragged and not paged else tensor.transpose(1, 2)

    def _slots(self, part: _Part) -> tuple[tuple[Tensor, ...], Tensor]:
        """Indices of a part's new tokens into the token axes of the cache, and their positions."""
        import torch

        inputs, problem, request = self.inputs, self.problem, part.request
        device = inputs.q.device
        token = torch.arange(request.kv_len - problem.append, request.kv_len, device=device)
        positions = token + max(0, -alignment_offset(problem, request))
        if inputs.page_table is not None:
            size = problem.page_size or 1
            table = inputs.page_table[part.first : part.first + part.count]
            return (
                table[:, token // size].long().flatten(),
                token.repeat(part.count) % size,
            ), positions
        sequence = torch.arange(part.count, device=device).repeat_interleave(problem.append)
        token = token.repeat(part.count)
        if problem.is_ragged:
            return (part.first_key + sequence * request.kv_len + token,), positions
        return (sequence, token), positions


def _rotate(inputs: Inputs, x: Tensor, positions: Tensor) -> Tensor:
    """Rotate pairs of ``x [..., len(positions), dim]`` (RoPE, Su et al. 2021, 2104.09864)."""
    import torch

    assert inputs.cos is not None
    assert inputs.sin is not None
    cos, sin = inputs.cos[positions].to(x.dtype), inputs.sin[positions].to(x.dtype)
    width = 2 * cos.shape[-1]
    rotated, rest = x[..., :width], x[..., width:]
    if inputs.problem.rope == "neox":
        a, b = rotated.chunk(2, -1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), -1)
    a, b = rotated[..., 0::2], rotated[..., 1::2]
    return torch.cat(
        (torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2), rest), -1
    )


def _quantize(rows: Tensor, dtype: str, like: Tensor) -> tuple[Tensor, ...]:
    """Quantize rows ``[..., dim]``: ``x = (quantized - zero) * scale``, zero only for int4."""
    import torch

    if dtype == "int4":
        low, high = rows.aminmax(dim=-1)
        scale = ((high - low) / _INT4_MAX).where(high > low, torch.ones_like(low))
        zero = -low / scale
        quantized = (rows / scale.unsqueeze(-1) + zero.unsqueeze(-1)).round().clamp(0, _INT4_MAX)
        quantized = quantized.to(torch.uint8)
        return quantized[..., 0::2] | quantized[..., 1::2] << 4, scale, zero
    largest = _INT8_MAX if dtype == "int8" else torch.finfo(like.dtype).max
    most = rows.abs().amax(-1)
    scale = (most / largest).where(most > 0, torch.ones_like(most))
    quantized = rows / scale.unsqueeze(-1)
    quantized = quantized.round() if dtype == "int8" else quantized
    return quantized.clamp(-largest, largest), scale
