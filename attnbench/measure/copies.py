"""Copies of a problem's inputs, for calls in a row that must not find their data in the cache."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from attnbench.measure.inputs import tensors_of
from attnbench.plugin import Inputs

# Every copy has these in common, as every layer of a model has: lengths, and tables of constants
# that no cost model counts. What a call is priced for, the page table included, each has its own.
SHARED_FIELDS = (
    *("cu_seqlens_q", "cu_seqlens_k", "kv_lens", "alibi_slopes", "sink_logits", "cos", "sin"),
)


def copy_inputs(inputs: Inputs) -> Inputs:
    """Copy the tensors that a call is priced for; a view of one stays a view of its copy."""
    storages: dict[int, torch.UntypedStorage] = {}
    copies: dict[str, Any] = {}
    for name, tensor in tensors_of(inputs).items():
        if name in SHARED_FIELDS:
            continue
        storage = tensor.detach().untyped_storage()
        place = storage.data_ptr()
        if place not in storages:
            storages[place] = storage.clone()
        empty = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
        layout = tensor.storage_offset(), tensor.size(), tensor.stride()
        copies[name] = empty.set_(storages[place], *layout).requires_grad_(tensor.requires_grad)
    return replace(inputs, **copies)
