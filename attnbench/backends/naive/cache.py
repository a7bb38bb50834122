"""K and V of the naive backend, wherever they lie: dense, packed or paged, in any dtype."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.plugin import Inputs
from attnbench.problem import Problem
from attnbench.problem.pairs import alignment_offset

if TYPE_CHECKING:
    from torch import Tensor

    from attnbench.problem.batch import Request

_INT8_MAX, _INT4_MAX = 127, 15


@dataclass(frozen=True)
class Part:
    """Equal neighbouring requests: they are computed together, as one dense batch."""

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
        """Bring ``[count, q_heads, q_len, ...]`` back into q's layout."""
        return rows.transpose(1, 2).flatten(0, 1) if self.problem.is_ragged else rows

    def _dense(self, tensor: Tensor, start: int, length: int) -> Tensor:
        if not self.problem.is_ragged:
            return tensor
        packed = tensor[start : start + self.count * length]
        return packed.view(self.count, length, *tensor.shape[1:]).transpose(1, 2)


def parts_of(problem: Problem) -> Iterator[Part]:
    """Cut a problem into its groups of equal requests."""
    first = row = key = 0
    for count, request in problem.request_groups:
        yield Part(problem, request, count, first, row, key)
        first += count
        row += count * request.q_len
        key += count * request.kv_len


class Cache:
    """Reads K and V of a part in the computing dtype, and appends rows."""

    def __init__(self, inputs: Inputs, parts: list[Part], kind: Any) -> None:
        self.inputs, self.problem, self.kind = inputs, inputs.problem, kind
        self.parts = parts
        self.slots = [self._slots(part) for part in parts] if self.problem.append else []

    def read(self, part: Part) -> tuple[Tensor, Tensor]:
        """K and V of a part, ``[count, kv_heads, kv_len, dim]`` in the computing dtype."""
        k = self._values(part, "k")
        return k, k[..., : self.problem.v_dim] if self.problem.latent else self._values(part, "v")

    def append(self) -> None:
        """Write k_new and v_new behind each sequence, rotated and quantised as the cache is."""
        inputs, problem = self.inputs, self.problem
        new = {"k": inputs.k_new} if problem.latent else {"k": inputs.k_new, "v": inputs.v_new}
        for part, (slots, places) in zip(self.parts, self.slots, strict=True):
            for name, tensor in new.items():
                assert tensor is not None
                rows = part.new_of(tensor)
                if name == "k" and problem.rope != "none":
                    rows = rotate(inputs, rows.to(self.kind), places)
                if problem.is_quantized:
                    written = _quantise(rows.float(), problem.stored_dtype, self._tensor(name))
                else:
                    written = (rows,)
                for suffix, one in zip(("", "_scale", "_zero"), written, strict=False):
                    tokens = self._by_token(f"{name}{suffix}")
                    tokens[slots] = one.transpose(1, 2).flatten(0, 1).to(tokens.dtype)

    def _values(self, part: Part, name: str) -> Tensor:
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

    def _read(self, part: Part, name: str) -> Tensor:
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
        """View a cache tensor with its token axes first and the KV heads behind them."""
        tensor = self._tensor(name)
        paged = self.inputs.page_table is not None
        if paged and name in ("k", "v") and self.problem.page_format == "nhd":
            return tensor
        return tensor if self.problem.is_ragged and not paged else tensor.transpose(1, 2)

    def _slots(self, part: Part) -> tuple[tuple[Tensor, ...], Tensor]:
        """Indices of a part's new tokens into the token axes of the cache; their places."""
        import torch

        inputs, problem, request = self.inputs, self.problem, part.request
        device = inputs.q.device
        token = torch.arange(request.kv_len - problem.append, request.kv_len, device=device)
        places = token + max(0, -alignment_offset(problem, request))
        if inputs.page_table is not None:
            size = problem.page_size or 1
            table = inputs.page_table[part.first : part.first + part.count]
            return (
                table[:, token // size].long().flatten(),
                token.repeat(part.count) % size,
            ), places
        sequence = torch.arange(part.count, device=device).repeat_interleave(problem.append)
        token = token.repeat(part.count)
        if problem.is_ragged:
            return (part.first_key + sequence * request.kv_len + token,), places
        return (sequence, token), places


def rotate(inputs: Inputs, x: Tensor, places: Tensor) -> Tensor:
    """Rotate pairs of ``x [..., len(places), dim]`` by the angles of their places."""
    import torch

    assert inputs.cos is not None
    assert inputs.sin is not None
    cos, sin = inputs.cos[places].to(x.dtype), inputs.sin[places].to(x.dtype)
    width = 2 * cos.shape[-1]
    turned, rest = x[..., :width], x[..., width:]
    if inputs.problem.rope == "neox":
        a, b = turned.chunk(2, -1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), -1)
    a, b = turned[..., 0::2], turned[..., 1::2]
    return torch.cat(
        (torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2), rest), -1
    )


def _quantise(rows: Tensor, dtype: str, like: Tensor) -> tuple[Tensor, ...]:
    """Codes, scale and (int4) zero of rows ``[..., dim]``: ``x = (code - zero) * scale``."""
    import torch

    if dtype == "int4":
        low, high = rows.aminmax(dim=-1)
        scale = ((high - low) / _INT4_MAX).where(high > low, torch.ones_like(low))
        zero = -low / scale
        codes = (rows / scale.unsqueeze(-1) + zero.unsqueeze(-1)).round().clamp(0, _INT4_MAX)
        codes = codes.to(torch.uint8)
        return codes[..., 0::2] | codes[..., 1::2] << 4, scale, zero
    largest = _INT8_MAX if dtype == "int8" else torch.finfo(like.dtype).max
    most = rows.abs().amax(-1)
    scale = (most / largest).where(most > 0, torch.ones_like(most))
    codes = rows / scale.unsqueeze(-1)
    codes = codes.round() if dtype == "int8" else codes
    return codes.clamp(-largest, largest), scale
