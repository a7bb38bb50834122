# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, PLR0917
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""Joins what the splits of a sequence found: the second kernel of split-KV decode.

Flash-Decoding (Dao et al. 2023): o = sum w_s o_s / sum w_s with w_s = 2^(lse_s - max lse).
"""

from __future__ import annotations

import triton
import triton.language as tl

from attnbench.kernels.scores import LN_2, log2_total


@triton.jit
def combine_splits(
    part_o, part_lse, o, lse, n_splits,
    V_DIM: tl.constexpr, V_PAD: tl.constexpr, SPLITS_PAD: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """One program a row: part_o ``[rows, splits, v_dim]`` and part_lse in log2 into o and lse.

    A split that saw no key has lse -inf and so the weight 0; a row without any is 0.
    """
    row = tl.program_id(0).to(tl.int64)
    split = tl.arange(0, SPLITS_PAD)
    column = tl.arange(0, V_PAD)
    every = tl.load(part_lse + row * n_splits + split, mask=split < n_splits, other=float("-inf"))
    largest = tl.max(every, 0)
    base = tl.where(largest == float("-inf"), 0.0, largest)
    total = tl.sum(tl.exp2(every - base), 0)
    acc = tl.zeros([V_PAD], tl.float32)
    chunk = tl.arange(0, CHUNK)
    for start in range(0, n_splits, CHUNK):
        at = start + chunk
        held = at < n_splits
        weight = tl.exp2(
            tl.load(part_lse + row * n_splits + at, mask=held, other=float("-inf")) - base
        )
        address = part_o + (row * n_splits + at[:, None]) * V_DIM + column[None, :]
        part = tl.load(address, mask=held[:, None] & (column < V_DIM)[None, :], other=0.0)
        acc += tl.sum(part * weight[:, None], 0)
    acc = acc / tl.where(total > 0, total, 1.0)
    tl.store(o + row * V_DIM + column, acc.to(o.dtype.element_ty), mask=column < V_DIM)
    tl.store(lse + row, log2_total(largest, total) * LN_2)
