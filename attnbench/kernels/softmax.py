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
def apply_softcap_bias(
    scores, scale, softcap, slope, distance, SOFTCAP: tl.constexpr, ALIBI: tl.constexpr,
    EXACT: tl.constexpr,
):  # fmt: skip
    """Return log2 scores of raw products: scale, softcap, ALiBi (2108.12409), in this order.

    ``scale`` is the problem's scale times log2 e; with SOFTCAP it is the scale over softcap.
    """
    if SOFTCAP:
        scores = tanh(scores * scale, EXACT) * (softcap * LOG2_E)
    else:
        scores = scores * scale
    if ALIBI:
        scores -= slope * LOG2_E * tl.abs(distance).to(tl.float32)
    return scores


@triton.jit
def key_mask(position, key, kv_len, window, sinks, CAUSAL: tl.constexpr, WINDOW: tl.constexpr):
    """Mask of the keys that each row sees; ``position [rows, 1]`` counts in keys."""
    mask = key < kv_len
    if CAUSAL:
        mask = mask & (key <= position)
    if WINDOW:
        mask = mask & ((key > position - window) | (key < sinks))
    return mask


@triton.jit
def online_step(m, total, scores, GUARD: tl.constexpr):
    """Return the new maximum, the rescaling factor alpha, the weights p, and the new total.

    ``GUARD`` if a row may not have seen any key yet: -inf - -inf would be NaN.
    """
    larger = tl.maximum(m, tl.max(scores, 1))
    base = larger
    if GUARD:
        base = tl.where(larger == float("-inf"), 0.0, larger)
    # exp2, as scores carry log2 e; alpha moves earlier sums to the new maximum.
    alpha = tl.exp2(m - base)
    p = tl.exp2(scores - base[:, None])
    return larger, alpha, p, total * alpha + tl.sum(p, 1)


@triton.jit
def log2_total(m, total):
    """Log2 of the sum of weights; -inf for a row without any key."""
    safe = tl.where(total > 0, total, 1.0)
    return tl.where(total > 0, m + tl.log2(safe), float("-inf"))


@triton.jit
def visible_tiles(
    first, last, kv_len, window, sinks,
    BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr, WINDOW: tl.constexpr,
):  # fmt: skip
    """Return the key tiles that rows at positions ``first`` to ``last`` see any key of.

    Returns (sink tiles, first tile, number of tiles): one loop walks over the sink tiles from 0 and
    then from ``first tile`` on.
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
    """Return the key tile of a step of the walk."""
    if WINDOW:
        tile = tl.where(step < n_sink, step, step - n_sink + begin)
    else:
        tile = step + begin
    return tile


@triton.jit
def page_ids(table, start, key, kv_len, PAGE: tl.constexpr, BLOCK_N: tl.constexpr):
    """Pages of a tile's keys: one id if a page holds whole tiles, else one per key."""
    if PAGE % BLOCK_N == 0:
        pages = tl.load(table + tl.minimum(start, kv_len - 1) // PAGE)
    else:
        pages = tl.load(table + tl.minimum(key, kv_len - 1) // PAGE)
    return pages


@triton.jit
def offsets(
    pages, start, key, kv_len, stride_page, stride_token, PAGE: tl.constexpr
):  # fmt: skip
    """Offsets of a tile's keys from the head's first, in elements; clamped to the last key.

    Clamped addresses instead of masked loads: values are finite, their scores are masked, and the
    loop is a sixth shorter. 32 bits suffice within a tile; its start needs 64.
    """
    clamped = tl.minimum(key, kv_len - 1)
    if PAGE == 0:
        value = start.to(tl.int64) * stride_token + (clamped - start) * stride_token
    else:
        value = pages.to(tl.int64) * stride_page + (clamped % PAGE) * stride_token
    return value


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
