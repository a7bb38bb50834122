"""A packed cache: sequences of any lengths, one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor


def pack(sequences: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Lay ``[heads, length, ...]`` of each sequence one behind the other, tokens outermost.

    Returns:
        ``[total, heads, ...]`` and cu_seqlens, int32 ``[sequences + 1]``: where each begins.

    """
    packed = torch.cat([one.transpose(0, 1) for one in sequences])
    starts = [0, *accumulate(one.shape[1] for one in sequences)]
    return packed, torch.tensor(starts, dtype=torch.int32, device=packed.device)


def unpack(packed: Tensor, cu_seqlens: Tensor) -> list[Tensor]:
    """Read every sequence back, ``[heads, its length, ...]`` each."""
    starts = cu_seqlens.tolist()
    return [packed[start:end].transpose(0, 1) for start, end in pairwise(starts)]
