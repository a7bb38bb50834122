# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, PLR0912, PLR0917
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""Split-KV decode: few query rows, a long cache, one program per piece of it, then a combine.

Flash-Decoding (Dao et al. 2023): o = sum w_s o_s / sum w_s with w_s = 2^(lse_s - max lse), s being
the splits. The query heads that share a KV head are the rows of one tile, so that K and V are read
once for all of them (Ainslie et al. 2023, arXiv 2305.13245). Latent caches (DeepSeek-V2, arXiv
2405.04434, absorbed form): V is K's first columns and is not read again.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attnbench.kernels.rope import NONE, load_rotated, load_rotated_rows, rotated_products
from attnbench.kernels.softmax import (
    LN_2,
    LOG2_E,
    apply_softcap_bias,
    key_mask,
    log2_total,
    offsets,
    online_step,
    page_ids,
    tile_at,
    visible_tiles,
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
    """Offset of the query rows' angles; row 0 has the position of key ``shift``, at least 0.

    An offset, not two pointers: in Triton 3.6 no function can return an argument that is None.
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
    """Attend to one split of each sequence. Grid (kv_heads · M_TILES, splits, requests).

    q: ``[batch, q_heads, q_len, dim]``, or packed ``[tokens, q_heads, dim]``. k, v: dense, packed
    or paged. Strides are in elements (b: batch or page, h: head, t: token). page_table: int32
    ``[requests, pages]``; kv_lens: int32 ``[requests]``. Without SPLIT the program writes o
    (contiguous, q's layout) and lse (fp32, natural log); with SPLIT it writes part_o ``[rows,
    splits, v_dim]`` and part_lse ``[rows, splits]`` (fp32, log2) for ``combine_splits``.
    ``stride_r*`` count rows of o. ROPE rotates q; with PAIRS > 0 also the cache's keys.
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
    valid = packed < q_len * GROUP
    shift = kv_len - q_len
    if TOP_LEFT:
        shift = 0
    position = token + shift
    first = m_tile * BLOCK_M // GROUP + shift
    last = tl.minimum((m_tile * BLOCK_M + BLOCK_M - 1) // GROUP, q_len - 1) + shift
    n_sink, begin, n_tiles = visible_tiles(
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
    clamped = token
    if PAIRS > 0:
        clamped = tl.minimum(token, q_len - 1)  # rotated parts are loaded without a mask
    q_at = q + request.to(tl.int64) * stride_qb + head[:, None] * stride_qh
    q_at += (first_row + clamped).to(tl.int64)[:, None] * stride_qt
    cos_row = cos
    sin_row = sin
    if ROPE != NONE:
        angles = angles_from(clamped, shift, HALF)
        cos_row += angles
        sin_row += angles
    WHOLE: tl.constexpr = DIM + DIM_REST
    kind = q.dtype.element_ty
    if PAIRS > 0:
        rows = load_rotated_rows(
            q_at, cos_row, sin_row, ROPE, HALF, WHOLE, PAIRS, PAIRS_REST, FLAT, FLAT_REST
        )
        # If row 0 lies before key 0, keys move up by the difference.
        key_shift = tl.cast(tl.maximum(-shift, 0), tl.int64) * HALF
        cos += key_shift
        sin += key_shift
    else:
        q_tile = load_rotated(
            q_at, column[None, :], cos_row, sin_row, valid[:, None], ROPE, HALF
        ).to(kind)
    k += kv_head.to(tl.int64) * stride_kh
    v += kv_head.to(tl.int64) * stride_vh
    if PAGE == 0:
        k += request.to(tl.int64) * stride_kb + tl.cast(first_key, tl.int64) * stride_kt
        v += request.to(tl.int64) * stride_vb + tl.cast(first_key, tl.int64) * stride_vt
    v_column = tl.arange(0, V_DIM)
    if DIM_REST > 0 and PAIRS == 0:
        rest = DIM + tl.arange(0, DIM_REST)
        q_rest = load_rotated(q_at, rest[None, :], cos_row, sin_row, valid[:, None], ROPE, HALF).to(
            kind
        )
    if V_REST > 0:
        v_rest = V_DIM + tl.arange(0, V_REST)
        acc_rest = tl.zeros([BLOCK_M, V_REST], tl.float32)
    slope = 0.0
    if ALIBI:
        slope = tl.load(slopes + head, mask=valid, other=0.0)[:, None]

    m = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    if SINK_LOGITS:
        # A sink is one more key whose value is 0; only the first split counts it.
        logit = tl.load(sink_logits + head, mask=valid, other=0.0) * LOG2_E
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
        # Load K and V of this tile from their pages or rows.
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
            # Load page ids an iteration ahead: if an address came from a load of the same
            # iteration, the pipeliner would keep only one buffer for K and V.
            later = tile_at(step + 1, n_sink, begin, WINDOW) * BLOCK_N
            pages = page_ids(table, later, later + keys, kv_len, PAGE, BLOCK_N)
        if PAIRS > 0:
            angle = offsets(0, start, key, kv_len, 0, HALF, 0)[:, None]
            scores = rotated_products(
                rows, k_at, cos + angle, sin + angle,
                ROPE, HALF, WHOLE, PAIRS, PAIRS_REST, FLAT, FLAT_REST, PRECISION,
            )  # fmt: skip
        else:
            scores = tl.dot(q_tile, tl.trans(k_tile), input_precision=PRECISION)
            if DIM_REST > 0:
                scores = tl.dot(q_rest, tl.trans(k_rest), scores, input_precision=PRECISION)
        # Scale, cap and bias in fp32 log2 units, then hide keys.
        distance = position[:, None] - key[None, :]
        scores = apply_softcap_bias(
            scores, scale, softcap, slope, distance, SOFTCAP, ALIBI, PRECISION == "ieee"
        )
        mask = key_mask(position[:, None], key[None, :], kv_len, window, sinks, CAUSAL, WINDOW)
        scores = tl.where(mask, scores, float("-inf"))
        # Online softmax: alpha rescales what earlier tiles summed.
        m, alpha, p, total = online_step(m, total, scores, CAUSAL)
        if LATENT:
            v_tile = k_tile
        p = p.to(v_tile.dtype)
        acc = tl.dot(p, v_tile, acc * alpha[:, None], input_precision=PRECISION)
        if V_REST > 0:
            acc_rest = tl.dot(p, v_rest_tile, acc_rest * alpha[:, None], input_precision=PRECISION)

    # Normalise each split by its own sum, so that combine needs only lse as a weight.
    inverse = tl.where(total > 0, 1.0 / tl.where(total > 0, total, 1.0), 0.0)[:, None]
    log_total = log2_total(m, total)
    WIDTH: tl.constexpr = V_DIM + V_REST
    if SPLIT:
        part = row * n_splits + split
        out = part_o + part[:, None] * WIDTH
        tl.store(part_lse + part, log_total, mask=valid)
    else:
        out = o + row[:, None] * WIDTH
        tl.store(lse + row, log_total * LN_2, mask=valid)
    kind = out.dtype.element_ty
    tl.store(out + v_column[None, :], (acc * inverse).to(kind), mask=valid[:, None])
    if V_REST > 0:
        tl.store(out + v_rest[None, :], (acc_rest * inverse).to(kind), mask=valid[:, None])


@triton.jit
def combine_splits(
    part_o, part_lse, o, lse, n_splits,
    V_DIM: tl.constexpr, V_PAD: tl.constexpr, SPLITS_PAD: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Join the splits of each row. Grid (rows).

    part_o: fp32 ``[rows, splits, v_dim]``; part_lse: fp32 ``[rows, splits]``, log2. o: ``[rows,
    v_dim]``; lse: fp32 ``[rows]``, natural log. A split without any key has lse -inf and weight 0;
    a row without any key is 0.
    """
    row = tl.program_id(0).to(tl.int64)
    split = tl.arange(0, SPLITS_PAD)
    column = tl.arange(0, V_PAD)
    log_weights = tl.load(
        part_lse + row * n_splits + split, mask=split < n_splits, other=float("-inf")
    )
    # Subtract the largest lse, so that no weight overflows.
    largest = tl.max(log_weights, 0)
    base = tl.where(largest == float("-inf"), 0.0, largest)
    total = tl.sum(tl.exp2(log_weights - base), 0)
    # Sum CHUNK splits at a time, which bounds the registers.
    acc = tl.zeros([V_PAD], tl.float32)
    chunk = tl.arange(0, CHUNK)
    for start in range(0, n_splits, CHUNK):
        at = start + chunk
        mask = at < n_splits
        weight = tl.exp2(
            tl.load(part_lse + row * n_splits + at, mask=mask, other=float("-inf")) - base
        )
        address = part_o + (row * n_splits + at[:, None]) * V_DIM + column[None, :]
        part = tl.load(address, mask=mask[:, None] & (column < V_DIM)[None, :], other=0.0)
        acc += tl.sum(part * weight[:, None], 0)
    acc = acc / tl.where(total > 0, total, 1.0)
    tl.store(o + row * V_DIM + column, acc.to(o.dtype.element_ty), mask=column < V_DIM)
    tl.store(lse + row, log2_total(largest, total) * LN_2)
