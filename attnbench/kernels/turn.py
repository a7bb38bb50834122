# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, PLR0917
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""Turns whole rows on their own: q and k before a backward needs them, and their gradients back.

A rotation's transpose is the rotation by the opposite angle, so that dq and dk of turned rows are
turned back by the same kernel.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attnbench.kernels.flash import lengths_of
from attnbench.kernels.rope import NEOX, pairs_of, part_of


@triton.jit
def turn_rows(
    rows, to, cos, sin, cu_q, cu_k, q_len, kv_len, factor,
    stride_xb, stride_xh, stride_xt, stride_yb, stride_yh, stride_yt,
    HEADS: tl.constexpr, BLOCK: tl.constexpr, DIM: tl.constexpr, HALF: tl.constexpr,
    PAIRS: tl.constexpr, BEHIND: tl.constexpr, ROPE: tl.constexpr, RAGGED: tl.constexpr,
    TOP_LEFT: tl.constexpr, KEYS: tl.constexpr, BACK: tl.constexpr,
):  # fmt: skip
    """Grid (tiles of rows, HEADS · requests). Strides x: rows, y: to; ``factor`` times rows.

    KEYS says that the rows are keys, else they are queries. PAIRS and BEHIND are HALF and DIM - 2 ·
    HALF, padded to powers of two. Never in place: two threads may hold the same number.
    """
    head = (tl.program_id(1) % HEADS).to(tl.int64)
    request = (tl.program_id(1) // HEADS).to(tl.int64)
    first_row, q_len, first_key, kv_len = lengths_of(request, q_len, kv_len, cu_q, cu_k, RAGGED)
    shift = kv_len - q_len
    if TOP_LEFT:
        shift = 0
    # Row 0 stands at key ''shift''; where that is below 0, the keys move up instead.
    if KEYS:
        length, first, moved = kv_len, first_key, tl.maximum(-shift, 0)
    else:
        length, first, moved = q_len, first_row, tl.maximum(shift, 0)
    start = tl.program_id(0) * BLOCK
    if start >= length:
        return
    number = start + tl.arange(0, BLOCK)
    real = (number < length)[:, None]
    number = tl.minimum(number, length - 1).to(tl.int64)[:, None]
    at = rows + request * stride_xb + head * stride_xh + (first + number) * stride_xt
    out = to + request * stride_yb + head * stride_yh + (first + number) * stride_yt
    kind = to.dtype.element_ty

    one, two = pairs_of(at, 0, PAIRS, ROPE, HALF)
    pair = tl.arange(0, PAIRS)[None, :]
    angle = (number + moved) * HALF
    cosine = part_of(cos + angle, pair, PAIRS, HALF)
    sine = part_of(sin + angle, pair, PAIRS, HALF)
    if BACK:
        sine = -sine
    one = one.to(tl.float32) * factor
    two = two.to(tl.float32) * factor
    first_of_pair = (one * cosine - two * sine).to(kind)
    second_of_pair = (two * cosine + one * sine).to(kind)
    if ROPE == NEOX:
        held = real & (pair < HALF)
        tl.store(out + pair, first_of_pair, mask=held)
        tl.store(out + HALF + pair, second_of_pair, mask=held)
    else:
        column = tl.arange(0, 2 * PAIRS)[None, :]
        both = tl.interleave(first_of_pair, second_of_pair)
        tl.store(out + column, both, mask=real & (column < 2 * HALF))
    if BEHIND > 0:
        column = 2 * HALF + tl.arange(0, BEHIND)[None, :]
        flat = part_of(at, column, 2 * HALF + BEHIND, DIM).to(tl.float32) * factor
        tl.store(out + column, flat.to(kind), mask=real & (column < DIM))
