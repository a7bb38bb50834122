"""A paged cache: pages in any order, and a table that says which belong to which sequence.

A page holds ``page_size`` tokens, ``[page_size, kv_heads, ...]`` (nhd) or ``[kv_heads, page_size,
...]`` (hnd). Key j of a sequence lies in its page j // page_size at slot j % page_size. The last
page of the order belongs to nobody: table entries past a sequence's end name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from attnbench.errors import InputError


class Pages(NamedTuple):
    """A paged tensor: ``pages``, int32 ``table [batch, pages a sequence]``, int32 ``lens``."""

    pages: Tensor
    table: Tensor
    lens: Tensor
    page_format: str = "nhd"

    @property
    def page_size(self) -> int:
        """Tokens that a page holds."""
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
    """Cut ``[batch, kv_heads, kv_len, ...]`` into pages; works on values and on their scales.

    Args:
        rows: K, V or their codes ``[batch, kv_heads, kv_len, dim]``, or scales without dim.
        page_size: tokens a page.
        lens: how many tokens of each sequence count; all of them where it is None.
        page_format: nhd or hnd. Scales always lie as in hnd, ``[pages, kv_heads, page_size]``.
        order: a permutation of all pages, one more than are in use; in order where it is None.
        unused: what the slots hold that belong to no token; 0 where the dtype has no NaN.

    Raises:
        InputError: a length beyond the rows, a format or an order that is none.

    """
    lens = [rows.shape[2]] * rows.shape[0] if lens is None else list(lens)
    _check(rows, lens, page_format)
    needed = [-(-one // page_size) for one in lens]
    total = sum(needed) + 1
    order = torch.arange(total) if order is None else order
    if sorted(order.tolist()) != list(range(total)):
        raise InputError(f"order is no permutation of the {total} pages, the unused one included")
    kind = "hnd" if rows.dim() == 3 else page_format  # noqa: PLR2004  scales have no dim
    shape = (total, page_size, rows.shape[1], *rows.shape[3:])
    slots = _filled(shape, rows, unused)
    table = page_table(needed, order).to(rows.device)
    on_device = torch.tensor(lens, dtype=torch.int32, device=rows.device)
    at = slots_of(table, on_device, page_size)
    tokens = [rows[one, :, :length].transpose(0, 1) for one, length in enumerate(lens)]
    slots.view(-1, *slots.shape[2:])[at] = torch.cat(tokens)
    pages = slots if kind == "nhd" else slots.transpose(1, 2).contiguous()
    return Pages(pages, table, on_device, kind)


def unpage(paged: Pages) -> list[Tensor]:
    """Read every sequence back, ``[kv_heads, its length, ...]`` each."""
    tokens = by_slot(paged.pages, paged.page_format).flatten(0, 1)
    rows = tokens[slots_of(paged.table, paged.lens, paged.page_size)]
    return [one.transpose(0, 1) for one in rows.split(paged.lens.tolist())]


def page_table(needed: Sequence[int], order: Tensor) -> Tensor:
    """Give each sequence as many pages as it needs, in this order; the rest name the last one."""
    table = order[-1].repeat(len(needed), max(needed))
    for row, (first, count) in enumerate(zip(accumulate([0, *needed]), needed, strict=False)):
        table[row, :count] = order[first : first + count]
    return table.to(torch.int32)


def slots_of(table: Tensor, lens: Tensor, page_size: int, *, last: int | None = None) -> Tensor:
    """Places ``page * page_size + slot`` of all keys, sequence by sequence; or of each's last."""
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
    """Fill slots that belong to nobody; fp8 by way of fp32, because torch has no fill for it."""
    if not like.is_floating_point():
        return like.new_zeros(shape)
    if like.element_size() == 1:
        return torch.full(shape, unused, device=like.device).to(like.dtype)
    return like.new_full(shape, unused)


def _check(rows: Tensor, lens: list[int], page_format: str) -> None:
    if page_format not in ("nhd", "hnd"):
        raise InputError(f"page_format is one of nhd, hnd; got {page_format!r}")
    if len(lens) != rows.shape[0]:
        raise InputError(f"{len(lens)} lens for {rows.shape[0]} sequences")
    if any(not 1 <= one <= rows.shape[2] for one in lens):
        raise InputError(f"lens are 1 to {rows.shape[2]}, as many tokens as there are; got {lens}")
