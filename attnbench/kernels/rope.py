# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, PLR0917
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""Rotary embedding (RoPE, Su et al. 2021, arXiv 2104.09864), fused into loads or as a kernel.

A rotation's transpose is the rotation by the opposite angle, so ``rotate_rows`` also turns the
gradients of rotated q and k back.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attnbench.kernels.softmax import packed_lengths

# What a kernel is compiled for; the numbers are the kernels' constants.
ROPES = {"none": 0, "neox": 1, "gptj": 2}
NONE: tl.constexpr = tl.constexpr(0)
NEOX: tl.constexpr = tl.constexpr(1)


@triton.jit
def load_rotated(row, column, cos_row, sin_row, mask, ROPE: tl.constexpr, HALF: tl.constexpr):
    """Load columns of a row in fp32, the first 2 · HALF of them rotated; 0 outside ``mask``.

    ``cos_row`` and ``sin_row`` are the HALF cosines and sines of the row's position. neox rotates
    the pairs (p, p + HALF), gptj (2p, 2p + 1). The partner of a column is loaded again rather than
    shuffled: rows are few, and it is in L1.
    """
    value = tl.load(row + column, mask=mask, other=0.0).to(tl.float32)
    if ROPE != NONE:
        if ROPE == NEOX:
            is_first = column < HALF
            pair = column % HALF
            partner = tl.where(is_first, column + HALF, column - HALF)
        else:
            is_first = column % 2 == 0
            pair = column // 2
            partner = tl.where(is_first, column + 1, column - 1)
        rotates = mask & (column < 2 * HALF)
        other = tl.load(row + partner, mask=rotates, other=0.0).to(tl.float32)
        cos = tl.load(cos_row + pair, mask=rotates, other=1.0)
        sin = tl.load(sin_row + pair, mask=rotates, other=0.0)
        value = value * cos + tl.where(is_first, -other, other) * sin
    return value


@triton.jit
def load_part(at, column, STOP: tl.constexpr, END: tl.constexpr):
    """Load columns of rows; a last part that extends to ``STOP`` is 0 from ``END`` on."""
    if STOP > END:
        value = tl.load(at + column, mask=column < END, other=0.0)
    else:
        value = tl.load(at + column)
    return value


@triton.jit
def load_pairs(
    at, FIRST: tl.constexpr, WIDTH: tl.constexpr, ROPE: tl.constexpr, HALF: tl.constexpr
):
    """Load WIDTH pairs of rows from pair FIRST on: their first elements, and their second.

    gptj's adjacent elements come with one wide load and are split in registers.
    """
    STOP: tl.constexpr = FIRST + WIDTH
    if ROPE == NEOX:
        pair = FIRST + tl.arange(0, WIDTH)[None, :]
        one = load_part(at, pair, STOP, HALF)
        two = load_part(at + HALF, pair, STOP, HALF)
    else:
        column = 2 * FIRST + tl.arange(0, 2 * WIDTH)[None, :]
        both = load_part(at, column, 2 * STOP, 2 * HALF)
        one, two = tl.split(tl.reshape(both, [both.shape[0], WIDTH, 2]))
    return one, two


@triton.jit
def load_rotated_pairs(
    at, cos_at, sin_at, FIRST: tl.constexpr, WIDTH: tl.constexpr, ROPE: tl.constexpr,
    HALF: tl.constexpr,
):  # fmt: skip
    """``load_pairs``, rotated; with both elements of a pair loaded, nothing is read twice."""
    one, two = load_pairs(at, FIRST, WIDTH, ROPE, HALF)
    pair = FIRST + tl.arange(0, WIDTH)[None, :]
    cos = load_part(cos_at, pair, FIRST + WIDTH, HALF)
    sin = load_part(sin_at, pair, FIRST + WIDTH, HALF)
    kind = one.dtype
    one = one.to(tl.float32)
    two = two.to(tl.float32)
    return (one * cos - two * sin).to(kind), (two * cos + one * sin).to(kind)


@triton.jit
def load_rotated_rows(
    at, cos_at, sin_at, ROPE: tl.constexpr, HALF: tl.constexpr, WIDTH: tl.constexpr,
    PAIRS: tl.constexpr, PAIRS_REST: tl.constexpr, FLAT: tl.constexpr, FLAT_REST: tl.constexpr,
):  # fmt: skip
    """Load whole rows in parts, in the order in which ``rotated_products`` multiplies them.

    PAIRS and PAIRS_REST are the parts of the HALF pairs, FLAT and FLAT_REST those of the WIDTH - 2
    · HALF columns behind them, which are not rotated; a part of width 0 repeats another.
    """
    one, two = load_rotated_pairs(at, cos_at, sin_at, 0, PAIRS, ROPE, HALF)
    one_rest, two_rest, flat, flat_rest = one, two, one, one
    if PAIRS_REST > 0:
        one_rest, two_rest = load_rotated_pairs(at, cos_at, sin_at, PAIRS, PAIRS_REST, ROPE, HALF)
    BEHIND: tl.constexpr = 2 * HALF
    if FLAT > 0:
        flat = load_part(at, BEHIND + tl.arange(0, FLAT)[None, :], BEHIND + FLAT, WIDTH)
    if FLAT_REST > 0:
        NEXT: tl.constexpr = BEHIND + FLAT
        flat_rest = load_part(at, NEXT + tl.arange(0, FLAT_REST)[None, :], NEXT + FLAT_REST, WIDTH)
    return one, two, one_rest, two_rest, flat, flat_rest


@triton.jit
def rotated_products(
    rows, at, cos_at, sin_at, ROPE: tl.constexpr, HALF: tl.constexpr, WIDTH: tl.constexpr,
    PAIRS: tl.constexpr, PAIRS_REST: tl.constexpr, FLAT: tl.constexpr, FLAT_REST: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Return q·k of rotated ``rows`` and the keys ``at``, rotated as they are loaded.

    A dot product does not depend on the order of its columns: the first elements of all pairs times
    those of q, plus the same for the second, is q·k for either kind of rope. Rotating in column
    order would read each key and each angle twice, and hold four tiles of K in fp32.
    """
    one, two, one_rest, two_rest, flat, flat_rest = load_rotated_rows(
        at, cos_at, sin_at, ROPE, HALF, WIDTH, PAIRS, PAIRS_REST, FLAT, FLAT_REST
    )
    scores = tl.dot(rows[0], tl.trans(one), input_precision=PRECISION)
    scores = tl.dot(rows[1], tl.trans(two), scores, input_precision=PRECISION)
    if PAIRS_REST > 0:
        scores = tl.dot(rows[2], tl.trans(one_rest), scores, input_precision=PRECISION)
        scores = tl.dot(rows[3], tl.trans(two_rest), scores, input_precision=PRECISION)
    if FLAT > 0:
        scores = tl.dot(rows[4], tl.trans(flat), scores, input_precision=PRECISION)
    if FLAT_REST > 0:
        scores = tl.dot(rows[5], tl.trans(flat_rest), scores, input_precision=PRECISION)
    return scores


@triton.jit
def rotate_rows(
    rows, to, cos, sin, cu_q, cu_k, q_len, kv_len, factor,
    stride_xb, stride_xh, stride_xt, stride_yb, stride_yh, stride_yt,
    HEADS: tl.constexpr, BLOCK: tl.constexpr, DIM: tl.constexpr, HALF: tl.constexpr,
    PAIRS: tl.constexpr, BEHIND: tl.constexpr, ROPE: tl.constexpr, RAGGED: tl.constexpr,
    TOP_LEFT: tl.constexpr, KEYS: tl.constexpr, BACK: tl.constexpr,
):  # fmt: skip
    """Write ``factor`` times the rotated rows. Grid (tiles of rows, HEADS · requests).

    rows, to: ``[batch, heads, tokens, dim]`` or packed, strides x and y in elements. cos, sin: fp32
    ``[positions, HALF]``. KEYS: the rows are keys, else queries. BACK rotates backwards.
    PAIRS and BEHIND are HALF and DIM - 2 · HALF, padded to powers of two. Never in place: two
    threads may load the same element.
    """
    head = (tl.program_id(1) % HEADS).to(tl.int64)
    request = (tl.program_id(1) // HEADS).to(tl.int64)
    first_row, q_len, first_key, kv_len = packed_lengths(request, q_len, kv_len, cu_q, cu_k, RAGGED)
    shift = kv_len - q_len
    if TOP_LEFT:
        shift = 0
    # Row 0 has the position of key ``shift``; if that is below 0, keys move up instead.
    if KEYS:
        length, first, key_shift = kv_len, first_key, tl.maximum(-shift, 0)
    else:
        length, first, key_shift = q_len, first_row, tl.maximum(shift, 0)
    start = tl.program_id(0) * BLOCK
    if start >= length:
        return
    index = start + tl.arange(0, BLOCK)
    valid = (index < length)[:, None]
    index = tl.minimum(index, length - 1).to(tl.int64)[:, None]
    at = rows + request * stride_xb + head * stride_xh + (first + index) * stride_xt
    out = to + request * stride_yb + head * stride_yh + (first + index) * stride_yt
    kind = to.dtype.element_ty

    one, two = load_pairs(at, 0, PAIRS, ROPE, HALF)
    pair = tl.arange(0, PAIRS)[None, :]
    angle = (index + key_shift) * HALF
    cosine = load_part(cos + angle, pair, PAIRS, HALF)
    sine = load_part(sin + angle, pair, PAIRS, HALF)
    if BACK:
        sine = -sine
    one = one.to(tl.float32) * factor
    two = two.to(tl.float32) * factor
    first_of_pair = (one * cosine - two * sine).to(kind)
    second_of_pair = (two * cosine + one * sine).to(kind)
    if ROPE == NEOX:
        mask = valid & (pair < HALF)
        tl.store(out + pair, first_of_pair, mask=mask)
        tl.store(out + HALF + pair, second_of_pair, mask=mask)
    else:
        column = tl.arange(0, 2 * PAIRS)[None, :]
        both = tl.interleave(first_of_pair, second_of_pair)
        tl.store(out + column, both, mask=valid & (column < 2 * HALF))
    if BEHIND > 0:
        column = 2 * HALF + tl.arange(0, BEHIND)[None, :]
        flat = load_part(at, column, 2 * HALF + BEHIND, DIM).to(tl.float32) * factor
        tl.store(out + column, flat.to(kind), mask=valid & (column < DIM))
