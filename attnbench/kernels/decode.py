# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, PLR0912, PLR0917
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""Split-KV decode: a few query rows against a long cache, a program for each piece of the cache.

Flash-Decoding (Dao et al. 2023). The query heads that share a KV head are the rows of one tile, so
that K and V are read once for all of them (Ainslie et al. 2023, arXiv 2305.13245). Latent caches
(DeepSeek-V2, arXiv 2405.04434, absorbed form): V is K's first columns and is not read again.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attnbench.kernels.rope import NONE, turned, turned_products, turned_rows
from attnbench.kernels.softmax import (
    LN_2,
    LOG2_E,
    bent,
    log2_total,
    offsets,
    online_step,
    page_ids,
    seen,
    shown_tiles,
    tile_at,
)


@triton.jit
def cache_lengths(
    request, q_len, kv_len, cu_q, cu_k, kv_lens, RAGGED: tl.constexpr, PAGE: tl.constexpr
):  # fmt: skip
    """Return (first packed row, q_len, first packed key, kv_len) of a request."""
    first_row = 0
    first_key = 0
    if RAGGED:
        first_row = tl.load(cu_q + request)
        q_len = tl.load(cu_q + request + 1) - first_row
    if PAGE > 0:
        kv_len = tl.load(kv_lens + request)
    elif RAGGED:
        first_key = tl.load(cu_k + request)
        kv_len = tl.load(cu_k + request + 1) - first_key
    return first_row, q_len, first_key, kv_len


@triton.jit
def angles_from(token, shift, HALF: tl.constexpr):
    """Where the angles of query rows begin; row 0 stands at key ``shift``, or at 0.

    An offset, not two pointers: Triton 3.6 lets no function return what a problem lacks.
    """
    return (token + tl.maximum(shift, 0)).to(tl.int64)[:, None] * HALF


@triton.jit
def decode(
    q, k, v, o, lse, part_o, part_lse, page_table, kv_lens, cu_q, cu_k, slopes, sink_logits,
    cos, sin, scale, softcap, q_len, kv_len, window, sinks, n_splits,
    stride_qb, stride_qh, stride_qt, stride_kb, stride_kh, stride_kt,
    stride_vb, stride_vh, stride_vt, stride_rb, stride_rh, stride_rt, stride_table,
    GROUP: tl.constexpr, M_TILES: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    DIM: tl.constexpr, DIM_REST: tl.constexpr, V_DIM: tl.constexpr, V_REST: tl.constexpr,
    PAGE: tl.constexpr, RAGGED: tl.constexpr, LATENT: tl.constexpr, CAUSAL: tl.constexpr,
    TOP_LEFT: tl.constexpr, WINDOW: tl.constexpr, SOFTCAP: tl.constexpr, ALIBI: tl.constexpr,
    SINK_LOGITS: tl.constexpr, SPLIT: tl.constexpr, PRECISION: tl.constexpr, ROPE: tl.constexpr,
    HALF: tl.constexpr, PAIRS: tl.constexpr, PAIRS_REST: tl.constexpr, FLAT: tl.constexpr,
    FLAT_REST: tl.constexpr,
):  # fmt: skip
    """Grid (kv_heads · M_TILES, splits, requests).

    Dense q ``[batch, q_heads, q_len, dim]``, packed q ``[tokens, q_heads, dim]``; k, v dense,
    packed or in pages, told by their strides (b: batch or page, h: head, t: token); o contiguous in
    q's layout. ``stride_r*`` count rows of o. Without SPLIT the program writes o and lse, with it
    part_o ``[rows, splits, v_dim]`` and part_lse ``[rows, splits]`` (log2) for ``combine_splits``.
    ROPE turns q; PAIRS > 0 says that the cache's keys are still to be turned, too.
    """
    kv_head = tl.program_id(0) // M_TILES
    m_tile = tl.program_id(0) % M_TILES
    split = tl.program_id(1)
    request = tl.program_id(2)
    first_row, q_len, first_key, kv_len = cache_lengths(
        request, q_len, kv_len, cu_q, cu_k, kv_lens, RAGGED, PAGE
    )
    packed = m_tile * BLOCK_M + tl.arange(0, BLOCK_M)
    token = packed // GROUP
    head = kv_head * GROUP + packed % GROUP
    real = packed < q_len * GROUP
    shift = kv_len - q_len
    if TOP_LEFT:
        shift = 0
    place = token + shift
    first = m_tile * BLOCK_M // GROUP + shift
    last = tl.minimum((m_tile * BLOCK_M + BLOCK_M - 1) // GROUP, q_len - 1) + shift
    n_sink, begin, n_tiles = shown_tiles(
        first, last, kv_len, window, sinks, BLOCK_N, CAUSAL, WINDOW
    )
    step_begin = n_tiles * split // n_splits
    step_end = n_tiles * (split + 1) // n_splits

    row = (
        request.to(tl.int64) * stride_rb
        + head * stride_rh
        + (first_row + token).to(tl.int64) * stride_rt
    )
    column = tl.arange(0, DIM)
    held = token
    if PAIRS > 0:
        held = tl.minimum(token, q_len - 1)  # its parts are loaded without a mask
    q_at = q + request.to(tl.int64) * stride_qb + head[:, None] * stride_qh
    q_at += (first_row + held).to(tl.int64)[:, None] * stride_qt
    cos_row = cos
    sin_row = sin
    if ROPE != NONE:
        angles = angles_from(held, shift, HALF)
        cos_row += angles
        sin_row += angles
    WHOLE: tl.constexpr = DIM + DIM_REST
    kind = q.dtype.element_ty
    if PAIRS > 0:
        rows = turned_rows(
            q_at, cos_row, sin_row, ROPE, HALF, WHOLE, PAIRS, PAIRS_REST, FLAT, FLAT_REST
        )
        # Where row 0 stands above key 0, the keys move up by it.
        moved = tl.cast(tl.maximum(-shift, 0), tl.int64) * HALF
        cos += moved
        sin += moved
    else:
        q_tile = turned(q_at, column[None, :], cos_row, sin_row, real[:, None], ROPE, HALF).to(kind)
    k += kv_head.to(tl.int64) * stride_kh
    v += kv_head.to(tl.int64) * stride_vh
    if PAGE == 0:
        k += request.to(tl.int64) * stride_kb + tl.cast(first_key, tl.int64) * stride_kt
        v += request.to(tl.int64) * stride_vb + tl.cast(first_key, tl.int64) * stride_vt
    v_column = tl.arange(0, V_DIM)
    if DIM_REST > 0 and PAIRS == 0:
        rest = DIM + tl.arange(0, DIM_REST)
        q_rest = turned(q_at, rest[None, :], cos_row, sin_row, real[:, None], ROPE, HALF).to(kind)
    if V_REST > 0:
        v_rest = V_DIM + tl.arange(0, V_REST)
        acc_rest = tl.zeros([BLOCK_M, V_REST], tl.float32)
    slope = 0.0
    if ALIBI:
        slope = tl.load(slopes + head, mask=real, other=0.0)[:, None]

    m = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    if SINK_LOGITS:
        # One more key whose value is 0: it belongs to exactly one split.
        logit = tl.load(sink_logits + head, mask=real, other=0.0) * LOG2_E
        m = tl.where(split == 0, logit, m)
        total += tl.where(split == 0, 1.0, 0.0)
    acc = tl.zeros([BLOCK_M, V_DIM], tl.float32)
    keys = tl.arange(0, BLOCK_N)
    pages = 0
    if PAGE > 0:
        table = page_table + request.to(tl.int64) * stride_table
        start = tile_at(step_begin, n_sink, begin, WINDOW) * BLOCK_N
        pages = page_ids(table, start, start + keys, kv_len, PAGE, BLOCK_N)
    for step in tl.range(step_begin, step_end):
        start = tile_at(step, n_sink, begin, WINDOW) * BLOCK_N
        key = start + keys
        k_at = k + offsets(pages, start, key, kv_len, stride_kb, stride_kt, PAGE)[:, None]
        if PAIRS == 0:
            k_tile = tl.load(k_at + column[None, :])
        if not LATENT:
            v_at = v + offsets(pages, start, key, kv_len, stride_vb, stride_vt, PAGE)[:, None]
            v_tile = tl.load(v_at + v_column[None, :])
        if DIM_REST > 0 and PAIRS == 0:
            k_rest = tl.load(k_at + rest[None, :])
        if V_REST > 0:
            v_rest_tile = tl.load(v_at + v_rest[None, :])
        if PAGE > 0:
            # Loaded an iteration ahead: a load whose address another load of the same iteration
            # gives would leave the pipeliner with a single buffer for K and V.
            later = tile_at(step + 1, n_sink, begin, WINDOW) * BLOCK_N
            pages = page_ids(table, later, later + keys, kv_len, PAGE, BLOCK_N)
        if PAIRS > 0:
            angle = offsets(0, start, key, kv_len, 0, HALF, 0)[:, None]
            scores = turned_products(
                rows, k_at, cos + angle, sin + angle,
                ROPE, HALF, WHOLE, PAIRS, PAIRS_REST, FLAT, FLAT_REST, PRECISION,
            )  # fmt: skip
        else:
            scores = tl.dot(q_tile, tl.trans(k_tile), input_precision=PRECISION)
            if DIM_REST > 0:
                scores = tl.dot(q_rest, tl.trans(k_rest), scores, input_precision=PRECISION)
        distance = place[:, None] - key[None, :]
        scores = bent(scores, scale, softcap, slope, distance, SOFTCAP, ALIBI, PRECISION == "ieee")
        shown = seen(place[:, None], key[None, :], kv_len, window, sinks, CAUSAL, WINDOW)
        scores = tl.where(shown, scores, float("-inf"))
        m, alpha, p, total = online_step(m, total, scores, CAUSAL)
        if LATENT:
            v_tile = k_tile
        p = p.to(v_tile.dtype)
        acc = tl.dot(p, v_tile, acc * alpha[:, None], input_precision=PRECISION)
        if V_REST > 0:
            acc_rest = tl.dot(p, v_rest_tile, acc_rest * alpha[:, None], input_precision=PRECISION)

    inverse = tl.where(total > 0, 1.0 / tl.where(total > 0, total, 1.0), 0.0)[:, None]
    log_total = log2_total(m, total)
    WIDTH: tl.constexpr = V_DIM + V_REST
    if SPLIT:
        part = row * n_splits + split
        out = part_o + part[:, None] * WIDTH
        tl.store(part_lse + part, log_total, mask=real)
    else:
        out = o + row[:, None] * WIDTH
        tl.store(lse + row, log_total * LN_2, mask=real)
    kind = out.dtype.element_ty
    tl.store(out + v_column[None, :], (acc * inverse).to(kind), mask=real[:, None])
    if V_REST > 0:
        tl.store(out + v_rest[None, :], (acc_rest * inverse).to(kind), mask=real[:, None])


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
