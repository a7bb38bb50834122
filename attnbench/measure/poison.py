"""NaN where no correct backend reads: unused pages, page tails, slots that an append must write."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnbench.kv_cache import by_slot, slots_of
from attnbench.planning import sizes
from attnbench.plugin import Inputs

NAN = float("nan")
_FP8_NAN = 0x7F  # in e4m3fn and in e5m2
CACHE_FIELDS = ("k", "v", "k_pages", "v_pages", "k_scale", "v_scale", "k_zero", "v_zero")


def poison_pages(inputs: Inputs) -> None:
    """Fill with NaN what no sequence owns: unused pages, and the tails of last pages."""
    pages = inputs.k_pages
    assert pages is not None
    owned = torch.zeros(
        pages.shape[0], inputs.problem.page_size or 1, dtype=torch.bool, device=pages.device
    )
    owned.view(-1)[_slots(inputs)] = True
    _poison(inputs, ~owned)


def poison_appended(inputs: Inputs) -> None:
    """Fill with NaN the slots that the call has to write before it reads them."""
    problem, device = inputs.problem, inputs.q.device
    count = problem.append
    if not count:
        return
    if inputs.k_pages is not None:
        places = torch.zeros(
            inputs.k_pages.shape[0], problem.page_size or 1, dtype=torch.bool, device=device
        )
        places.view(-1)[_slots(inputs, last=count)] = True
    elif inputs.cu_seqlens_k is not None:
        ends = inputs.cu_seqlens_k[1:].long().unsqueeze(1)
        places = torch.zeros(sizes.count_slots(problem), dtype=torch.bool, device=device)
        places[(ends - 1 - torch.arange(count, device=device)).flatten()] = True
    else:
        assert problem.batch is not None
        places = torch.arange(inputs.max_kv_len, device=device) >= inputs.max_kv_len - count
        places = places.expand(problem.batch, -1)
    _poison(inputs, places)


def _poison(inputs: Inputs, places: Tensor) -> None:
    """Write NaN at ``places``, a bool over the token axes; integer codes have it in their scale."""
    paged, dense = inputs.k_pages is not None, inputs.cu_seqlens_k is None
    for name in CACHE_FIELDS:
        tensor = getattr(inputs, name)
        if tensor is None or not tensor.is_floating_point():
            continue
        by_token = tensor
        if paged:
            # Scales of pages are always [pages, kv_heads, page_size].
            by_token = by_slot(tensor, inputs.problem.page_format) if "pages" in name else tensor.mT
        elif dense:
            by_token = tensor.transpose(1, 2)
        poison(by_token, places)


def _slots(inputs: Inputs, *, last: int | None = None) -> Tensor:
    assert inputs.page_table is not None
    assert inputs.kv_lens is not None
    assert inputs.problem.page_size is not None
    return slots_of(inputs.page_table, inputs.kv_lens, inputs.problem.page_size, last=last)


def poison(tensor: Tensor, places: Any) -> None:
    """Write NaN into a floating-point tensor at an index, fp8 included."""
    if tensor.element_size() == 1:  # fp8: torch fills its bytes, not its numbers
        tensor.view(torch.uint8)[places] = _FP8_NAN
    else:
        tensor[places] = NAN
