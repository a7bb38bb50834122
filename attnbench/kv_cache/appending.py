"""What a cache needs to be told before a call that appends to it: lengths, and turns of rope."""

from __future__ import annotations

import torch
from torch import Tensor

from attnbench.plugin import Inputs


def lengths_before(inputs: Inputs) -> Tensor | None:
    """Keys in the cache before the call appends, int32 ``[batch]``; None if it is full."""
    problem = inputs.problem
    if inputs.kv_lens is not None:
        return inputs.kv_lens - problem.append
    if not problem.append:
        return None
    length = inputs.max_kv_len - problem.append
    return torch.full((inputs.q.shape[0],), length, dtype=torch.int32, device=inputs.q.device)


def turns_of_slots(inputs: Inputs, k: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Cos and sin in q's dtype, with a row for each slot of the cache, as libraries demand.

    ``k`` is the cache as ``[batch or pages, tokens, kv_heads, dim]``; None without rope.
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
