# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, PLR2004, SIM108
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""What all softmax kernels share: masks, caps and biases, and one step of the online softmax.

Scores are kept in log2 units (times log2 e), so that one FFMA and one EX2 make a weight. Milakov
and Gimelshein 2018 (arXiv 1805.02867) for the online softmax; Dao 2023 (arXiv 2307.08691) for its
use tile by tile.
"""

from __future__ import annotations

import triton
import triton.language as tl

LOG2_E: tl.constexpr = tl.constexpr(1.4426950408889634)
LN_2: tl.constexpr = tl.constexpr(0.6931471805599453)


@triton.jit
def tanh(x, EXACT: tl.constexpr):
    """Hyperbolic tangent through one EX2; ``EXACT`` keeps fp32's relative precision near 0.

    1 - exp(-2|x|) loses every leading bit of a small x; there the odd series takes over.
    """
    e = tl.exp2(tl.abs(x) * (-2.0 * LOG2_E))
    big = (1.0 - e) / (1.0 + e)
    big = tl.where(x < 0, -big, big)
    if EXACT:
        s = x * x
        series = s * (-0.008863235529902197 + s * 0.003592128036572481)
        series = s * (-0.05396825396825397 + s * 0.021869488536155203 + s * series)
        series = s * (-0.3333333333333333 + s * 0.13333333333333333 + s * series)
        big = tl.where(s < 0.25, x + x * series, big)
    return big


@triton.jit
def bent(
    scores, scale, softcap, slope, distance, SOFTCAP: tl.constexpr, ALIBI: tl.constexpr,
    EXACT: tl.constexpr,
):  # fmt: skip
    """Turn raw products into log2 scores: scale, softcap, ALiBi, in this order.

    ``scale`` is the problem's times log2 e, or without it divided by softcap where SOFTCAP.
    """
    if SOFTCAP:
        scores = tanh(scores * scale, EXACT) * (softcap * LOG2_E)
    else:
        scores = scores * scale
    if ALIBI:
        scores -= slope * LOG2_E * tl.abs(distance).to(tl.float32)
    return scores


@triton.jit
def seen(place, key, kv_len, window, sinks, CAUSAL: tl.constexpr, WINDOW: tl.constexpr):
    """Which keys a row sees; ``place`` is the key that the row stands at, ``[rows, 1]``."""
    shown = key < kv_len
    if CAUSAL:
        shown = shown & (key <= place)
    if WINDOW:
        shown = shown & ((key > place - window) | (key < sinks))
    return shown


@triton.jit
def online_step(m, total, scores, GUARD: tl.constexpr):
    """Return the new maximum, the factor for what was summed before, the weights, the new total.

    ``GUARD`` where a row may have seen no key yet: -inf - -inf would be NaN.
    """
    larger = tl.maximum(m, tl.max(scores, 1))
    base = larger
    if GUARD:
        base = tl.where(larger == float("-inf"), 0.0, larger)
    alpha = tl.exp2(m - base)
    p = tl.exp2(scores - base[:, None])
    return larger, alpha, p, total * alpha + tl.sum(p, 1)


@triton.jit
def log2_total(m, total):
    """Log2 of the sum of weights; -inf for a row that saw no key."""
    safe = tl.where(total > 0, total, 1.0)
    return tl.where(total > 0, m + tl.log2(safe), float("-inf"))


@triton.jit
def shown_tiles(
    first, last, kv_len, window, sinks,
    BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr, WINDOW: tl.constexpr,
):  # fmt: skip
    """Tiles that rows standing at keys ``first`` to ``last`` see any key of.

    Returns (sink tiles, first tile, tiles in all): the walk is over ``sink tiles`` from 0 and then
    on from ``first tile``, so that one loop does both.
    """
    end = kv_len
    if CAUSAL:
        end = tl.maximum(tl.minimum(kv_len, last + 1), 0)
    stop = tl.cdiv(end, BLOCK_N)
    begin = 0
    n_sink = 0
    if WINDOW:
        begin = tl.minimum(tl.maximum(first - window + 1, 0) // BLOCK_N, stop)
        n_sink = tl.minimum(tl.cdiv(tl.minimum(sinks, end), BLOCK_N), begin)
    return n_sink, begin, n_sink + stop - begin


@triton.jit
def tile_at(step, n_sink, begin, WINDOW: tl.constexpr):
    """Return the tile of keys that a step of the walk is at."""
    if WINDOW:
        tile = tl.where(step < n_sink, step, step - n_sink + begin)
    else:
        tile = step + begin
    return tile


@triton.jit
def page_ids(table, start, key, kv_len, PAGE: tl.constexpr, BLOCK_N: tl.constexpr):
    """Pages of a tile's keys: one id where a page holds whole tiles, else one a key."""
    if PAGE % BLOCK_N == 0:
        pages = tl.load(table + tl.minimum(start, kv_len - 1) // PAGE)
    else:
        pages = tl.load(table + tl.minimum(key, kv_len - 1) // PAGE)
    return pages


@triton.jit
def offsets(
    pages, start, key, kv_len, stride_page, stride_token, PAGE: tl.constexpr
):  # fmt: skip
    """Where a tile's keys lie, in elements from the head's first; keys past the end are the last.

    Clamped addresses instead of masked loads: what is read is finite, its score is masked, and the
    loop is a sixth shorter. Within a tile 32 bits are enough; its start needs 64.
    """
    held = tl.minimum(key, kv_len - 1)
    if PAGE == 0:
        found = start.to(tl.int64) * stride_token + (held - start) * stride_token
    else:
        found = pages.to(tl.int64) * stride_page + (held % PAGE) * stride_token
    return found


@triton.jit
def packed_lengths(request, q_len, kv_len, cu_q, cu_k, RAGGED: tl.constexpr):
    """Return (first packed row, q_len, first packed key, kv_len) of a request."""
    first_row = 0
    first_key = 0
    if RAGGED:
        first_row = tl.load(cu_q + request)
        first_key = tl.load(cu_k + request)
        q_len = tl.load(cu_q + request + 1) - first_row
        kv_len = tl.load(cu_k + request + 1) - first_key
    return tl.cast(first_row, tl.int64), q_len, tl.cast(first_key, tl.int64), kv_len
