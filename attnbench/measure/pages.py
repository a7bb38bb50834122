"""Where the keys of a paged cache lie."""

from __future__ import annotations

import torch
from torch import Tensor

from attnbench.plugin import Inputs
from attnbench.problem import Problem


def page_slots(inputs: Inputs, *, last: int | None = None) -> Tensor:
    """Places ``page * page_size + slot`` of all keys, request after request; or of each's last."""
    assert inputs.page_table is not None
    assert inputs.kv_lens is not None
    size = inputs.problem.page_size
    assert size is not None
    token = torch.arange(inputs.max_kv_len, device=inputs.q.device)
    slots = inputs.page_table[:, token // size].long() * size + token % size
    lengths = inputs.kv_lens.unsqueeze(1)
    wanted = token < lengths
    if last is not None:
        wanted &= token >= lengths - last
    return slots[wanted]


def by_slot(pages: Tensor, problem: Problem) -> Tensor:
    """View a page tensor as ``[pages, page_size, kv_heads, ...]``, whatever its format."""
    return pages if problem.page_format == "nhd" else pages.transpose(1, 2)
