# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, PLR0917
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""Rotary embedding (Su et al. 2021, arXiv 2104.09864) while a row is loaded."""

from __future__ import annotations

import triton
import triton.language as tl

from attnbench.kernels.softmax import packed_lengths

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


@triton.jit
def part_of(at, column, STOP: tl.constexpr, END: tl.constexpr):
    """Load columns of rows; 0 from ``END`` on, where the last part reaches past it to ``STOP``."""
    if STOP > END:
        found = tl.load(at + column, mask=column < END, other=0.0)
    else:
        found = tl.load(at + column)
    return found


@triton.jit
def pairs_of(at, FIRST: tl.constexpr, WIDTH: tl.constexpr, ROPE: tl.constexpr, HALF: tl.constexpr):
    """Load WIDTH pairs of rows from pair FIRST on: their first numbers, and their second.

    gptj's neighbours come with one wide load and part in registers.
    """
    STOP: tl.constexpr = FIRST + WIDTH
    if ROPE == NEOX:
        pair = FIRST + tl.arange(0, WIDTH)[None, :]
        one = part_of(at, pair, STOP, HALF)
        two = part_of(at + HALF, pair, STOP, HALF)
    else:
        column = 2 * FIRST + tl.arange(0, 2 * WIDTH)[None, :]
        both = part_of(at, column, 2 * STOP, 2 * HALF)
        one, two = tl.split(tl.reshape(both, [both.shape[0], WIDTH, 2]))
    return one, two


@triton.jit
def turned_pairs(
    at, cos_at, sin_at, FIRST: tl.constexpr, WIDTH: tl.constexpr, ROPE: tl.constexpr,
    HALF: tl.constexpr,
):  # fmt: skip
    """``pairs_of``, turned; both halves of a pair are at hand, so that nothing is read twice."""
    one, two = pairs_of(at, FIRST, WIDTH, ROPE, HALF)
    pair = FIRST + tl.arange(0, WIDTH)[None, :]
    cos = part_of(cos_at, pair, FIRST + WIDTH, HALF)
    sin = part_of(sin_at, pair, FIRST + WIDTH, HALF)
    kind = one.dtype
    one = one.to(tl.float32)
    two = two.to(tl.float32)
    return (one * cos - two * sin).to(kind), (two * cos + one * sin).to(kind)


@triton.jit
def turned_rows(
    at, cos_at, sin_at, ROPE: tl.constexpr, HALF: tl.constexpr, WIDTH: tl.constexpr,
    PAIRS: tl.constexpr, PAIRS_REST: tl.constexpr, FLAT: tl.constexpr, FLAT_REST: tl.constexpr,
):  # fmt: skip
    """Load whole rows in parts, in the order in which ``turned_products`` multiplies them.

    PAIRS and PAIRS_REST are the parts of the HALF pairs, FLAT and FLAT_REST those of the WIDTH - 2
    · HALF columns behind them, which are not turned; a part that is 0 wide repeats another.
    """
    one, two = turned_pairs(at, cos_at, sin_at, 0, PAIRS, ROPE, HALF)
    one_rest, two_rest, flat, flat_rest = one, two, one, one
    if PAIRS_REST > 0:
        one_rest, two_rest = turned_pairs(at, cos_at, sin_at, PAIRS, PAIRS_REST, ROPE, HALF)
    BEHIND: tl.constexpr = 2 * HALF
    if FLAT > 0:
        flat = part_of(at, BEHIND + tl.arange(0, FLAT)[None, :], BEHIND + FLAT, WIDTH)
    if FLAT_REST > 0:
        NEXT: tl.constexpr = BEHIND + FLAT
        flat_rest = part_of(at, NEXT + tl.arange(0, FLAT_REST)[None, :], NEXT + FLAT_REST, WIDTH)
    return one, two, one_rest, two_rest, flat, flat_rest


@triton.jit
def turned_products(
    rows, at, cos_at, sin_at, ROPE: tl.constexpr, HALF: tl.constexpr, WIDTH: tl.constexpr,
    PAIRS: tl.constexpr, PAIRS_REST: tl.constexpr, FLAT: tl.constexpr, FLAT_REST: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """q·k of turned ``rows`` and the keys that lie ``at``, turned as they are loaded.

    A product does not ask for the order of its columns: the first numbers of all pairs times those
    of q, plus the second ones, is q·k for either kind of rope. Turning in the order of the columns
    would read each key, and each angle, twice, and hold four tiles of K in fp32.
    """
    one, two, one_rest, two_rest, flat, flat_rest = turned_rows(
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
    first_row, q_len, first_key, kv_len = packed_lengths(request, q_len, kv_len, cu_q, cu_k, RAGGED)
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
