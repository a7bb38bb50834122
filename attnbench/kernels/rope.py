# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""Rotary embedding (Su et al. 2021, arXiv 2104.09864) while a row is loaded."""

from __future__ import annotations

import triton
import triton.language as tl

# What a kernel is compiled for; the numbers are the kernels' constants.
ROPES = {"none": 0, "neox": 1, "gptj": 2}
NONE: tl.constexpr = tl.constexpr(0)
NEOX: tl.constexpr = tl.constexpr(1)


@triton.jit
def turned(row, column, cos_row, sin_row, held, ROPE: tl.constexpr, HALF: tl.constexpr):
    """Load columns of a row in fp32, the first 2 · HALF of them turned; 0 where not ``held``.

    ``cos_row`` and ``sin_row`` are the HALF cosines and sines of the row's position. neox turns the
    pairs (p, p + HALF), gptj (2p, 2p + 1). The partner of a column is loaded again rather than
    shuffled: rows are few, and it is in L1.
    """
    found = tl.load(row + column, mask=held, other=0.0).to(tl.float32)
    if ROPE != NONE:
        if ROPE == NEOX:
            is_first = column < HALF
            pair = column % HALF
            partner = tl.where(is_first, column + HALF, column - HALF)
        else:
            is_first = column % 2 == 0
            pair = column // 2
            partner = tl.where(is_first, column + 1, column - 1)
        turns = held & (column < 2 * HALF)
        other = tl.load(row + partner, mask=turns, other=0.0).to(tl.float32)
        cos = tl.load(cos_row + pair, mask=turns, other=1.0)
        sin = tl.load(sin_row + pair, mask=turns, other=0.0)
        found = found * cos + tl.where(is_first, -other, other) * sin
    return found
