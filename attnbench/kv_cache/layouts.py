"""Packed and paged caches, and what libraries need to know before they append to one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from attnbench.errors import InputError
from attnbench.plugin import Inputs


def pack(sequences: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Concatenate sequences along their tokens.

    Args:
        sequences: ``[heads, length, ...]`` each; lengths may differ.

    Returns:
        ``[total, heads, ...]``, and cu_seqlens, int32 ``[sequences + 1]``: where each begins.

    """
    packed = torch.cat([one.transpose(0, 1) for one in sequences])
    starts = [0, *accumulate(one.shape[1] for one in sequences)]
    return packed, torch.tensor(starts, dtype=torch.int32, device=packed.device)


def unpack(packed: Tensor, cu_seqlens: Tensor) -> list[Tensor]:
    """Read every sequence back, ``[heads, its length, ...]`` each."""
    starts = cu_seqlens.tolist()
    return [packed[start:end].transpose(0, 1) for start, end in pairwise(starts)]


class Pages(NamedTuple):
    """A paged tensor.

    A page holds ``page_size`` tokens: ``[page_size, kv_heads, ...]`` (nhd) or ``[kv_heads,
    page_size, ...]`` (hnd). ``table`` is int32 ``[batch, pages per sequence]``, ``lens`` int32
    ``[batch]``. Key j of a sequence is in its page j // page_size at slot j % page_size. Table
    entries past the end of a sequence name the last page of the order, which no sequence owns.
    """

    pages: Tensor
    table: Tensor
    lens: Tensor
    page_format: str = "nhd"

    @property
    def page_size(self) -> int:
        """Tokens per page."""
        return by_slot(self.pages, self.page_format).shape[1]


def page(
    rows: Tensor,
    *,
    page_size: int,
    lens: Sequence[int] | None = None,
    page_format: str = "nhd",
    order: Tensor | None = None,
    unused: float = float("nan"),
) -> Pages:
    """Cut rows into pages; works on plain or quantized values and on their scales.

    Args:
        rows: K, V or their quantized values ``[batch, kv_heads, kv_len, dim]``, or scales
            ``[batch, kv_heads, kv_len]``.
        page_size: tokens per page.
        lens: how many tokens of each sequence count; None means all of them.
        page_format: nhd or hnd. Scales are always laid out as in hnd, ``[pages, kv_heads,
            page_size]``.
        order: a permutation of all pages, one more than are in use; None keeps them in order.
        unused: fills the slots that belong to no token; 0 where the dtype has no NaN.

    Raises:
        InputError: a length beyond the rows, an unknown format, or an order that is not a
            permutation.

    """
    lens = [rows.shape[2]] * rows.shape[0] if lens is None else list(lens)
    if page_format not in ("nhd", "hnd"):
        raise InputError(f"page_format is one of nhd, hnd; got {page_format!r}")
    if len(lens) != rows.shape[0]:
        raise InputError(f"{len(lens)} lens for {rows.shape[0]} sequences")
    if any(not 1 <= one <= rows.shape[2] for one in lens):
        raise InputError(f"lens are 1 to {rows.shape[2]}, as many tokens as there are; got {lens}")
    needed = [-(-one // page_size) for one in lens]
    total = sum(needed) + 1
    order = torch.arange(total) if order is None else order
    if sorted(order.tolist()) != list(range(total)):
        raise InputError(
            f"order is not a permutation of the {total} pages, the unused one included"
        )
    layout = "hnd" if rows.dim() == 3 else page_format  # noqa: PLR2004  scales have no dim
    slots = _filled((total, page_size, rows.shape[1], *rows.shape[3:]), rows, unused)
    table = page_table(needed, order).to(rows.device)
    on_device = torch.tensor(lens, dtype=torch.int32, device=rows.device)
    tokens = [rows[one, :, :length].transpose(0, 1) for one, length in enumerate(lens)]
    slots.view(-1, *slots.shape[2:])[slots_of(table, on_device, page_size)] = torch.cat(tokens)
    pages = slots if layout == "nhd" else slots.transpose(1, 2).contiguous()
    return Pages(pages, table, on_device, layout)


def unpage(paged: Pages) -> list[Tensor]:
    """Read every sequence back, ``[kv_heads, its length, ...]`` each."""
    tokens = by_slot(paged.pages, paged.page_format).flatten(0, 1)
    rows = tokens[slots_of(paged.table, paged.lens, paged.page_size)]
    return [one.transpose(0, 1) for one in rows.split(paged.lens.tolist())]


def page_table(needed: Sequence[int], order: Tensor) -> Tensor:
    """Return an int32 table ``[sequences, most pages]`` that deals out pages in this order.

    Args:
        needed: pages of each sequence.
        order: all pages; the last one fills the entries past a sequence's end.

    """
    table = order[-1].repeat(len(needed), max(needed))
    for row, (first, count) in enumerate(zip(accumulate([0, *needed]), needed, strict=False)):
        table[row, :count] = order[first : first + count]
    return table.to(torch.int32)


def slots_of(table: Tensor, lens: Tensor, page_size: int, *, last: int | None = None) -> Tensor:
    """Return the slot ``page * page_size + offset`` of every key, sequence by sequence.

    With ``last``, only the slots of the last so many keys of each sequence.
    """
    token = torch.arange(int(lens.max()), device=table.device)
    slots = table[:, token // page_size].long() * page_size + token % page_size
    lengths = lens.unsqueeze(1)
    wanted = token < lengths
    if last is not None:
        wanted &= token >= lengths - last
    return slots[wanted]


def by_slot(pages: Tensor, page_format: str | None) -> Tensor:
    """View pages as ``[pages, page_size, kv_heads, ...]``, whatever their format."""
    return pages if page_format == "nhd" else pages.transpose(1, 2)


def _filled(shape: tuple[int, ...], like: Tensor, unused: float) -> Tensor:
    """Allocate slots that hold ``unused``; fp8 through fp32, because torch cannot fill fp8."""
    if not like.is_floating_point():
        return like.new_zeros(shape)
    if like.element_size() == 1:
        return torch.full(shape, unused, device=like.device).to(like.dtype)
    return like.new_full(shape, unused)


def lengths_before(inputs: Inputs) -> Tensor | None:
    """Return the cache lengths before the call appends, int32 ``[batch]``; None if it is full."""
    problem = inputs.problem
    if inputs.kv_lens is not None:
        return inputs.kv_lens - problem.append
    if not problem.append:
        return None
    length = inputs.max_kv_len - problem.append
    return torch.full((inputs.q.shape[0],), length, dtype=torch.int32, device=inputs.q.device)


def rope_tables_by_slot(inputs: Inputs, k: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Return cos and sin with a row for each slot of the cache, as some libraries demand.

    Args:
        inputs: the inputs of the call.
        k: the cache as ``[batch or pages, tokens, kv_heads, dim]``.

    Returns:
        cos and sin ``[slots, rope_dim / 2]`` in the dtype of q; None without rope.

    """
    if inputs.cos is None or inputs.sin is None:
        return None, None
    slots = k.shape[1] * (1 if inputs.page_table is None else inputs.page_table.shape[1])
    missing = max(0, slots - inputs.cos.shape[0])
    cos, sin = (
        torch.nn.functional.pad(one, (0, 0, 0, missing)).to(inputs.q.dtype)
        for one in (inputs.cos, inputs.sin)
    )
    return cos, sin
