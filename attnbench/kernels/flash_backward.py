# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, FBT003, PLR0912, PLR0917
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""FlashAttention-2 backward: scores are recomputed, so nothing of their size is stored.

Dao 2023 (arXiv 2307.08691), section 3.1.2. With p = exp(s - lse), dp = do · v and delta = sum(do ·
o): ds = p · (dp - delta), dv = sum p do, dk = sum ds q, dq = sum ds k. One kernel computes dK and
dV: a program owns a key tile of one KV head and walks over all query heads of its group, so that
nothing is expanded and every sum has a fixed order. Another computes dQ: a program owns a tile of
rows. With ATOMIC the first kernel computes all three, with atomic additions.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attnbench.kernels.softmax import (
    LOG2_E,
    apply_softcap_bias,
    key_mask,
    packed_lengths,
    tile_at,
    visible_tiles,
)


@triton.jit
def sum_of_products(
    o, do, delta, n_rows, V_DIM: tl.constexpr, V_PAD: tl.constexpr, BLOCK_M: tl.constexpr
):  # fmt: skip
    """Delta ``[rows]`` = sum over columns of o · do ``[rows, v_dim]``, fp32. Grid (row tiles)."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tl.arange(0, V_PAD)
    mask = (row < n_rows)[:, None] & (column < V_DIM)[None, :]
    at = row[:, None] * V_DIM + column[None, :]
    product = tl.load(o + at, mask=mask, other=0.0).to(tl.float32)
    product *= tl.load(do + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(delta + row, tl.sum(product, 1), mask=row < n_rows)


@triton.jit
def scale_sum(total, dq, gradient_scale, n_elements, BLOCK: tl.constexpr):
    """Scale the fp32 sum of dq and convert it to dq's dtype. Grid (blocks of BLOCK elements)."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n_elements
    scaled = tl.load(total + at, mask=mask) * gradient_scale
    tl.store(dq + at, scaled.to(dq.dtype.element_ty), mask=mask)


@triton.jit
def softmax_weights(
    scores, lse, distance, slope, scale, softcap,
    SOFTCAP: tl.constexpr, ALIBI: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Return p = exp(s - lse) and the softcap's derivative from raw products; lse in log2 units."""
    scores = apply_softcap_bias(scores, scale, softcap, 0.0, distance, SOFTCAP, False, EXACT)
    cap_slope = 1.0
    if SOFTCAP:
        bend = scores / (softcap * LOG2_E)
        cap_slope = 1.0 - bend * bend
    if ALIBI:
        scores -= slope * LOG2_E * tl.abs(distance).to(tl.float32)
    return tl.exp2(scores - lse), cap_slope


@triton.jit
def flash_dkdv(
    q, k, v, do, lse, delta, dk, dv, dq_sum, cu_q, cu_k, slopes,
    scale, softcap, gradient_scale, q_len, kv_len, window, sinks,
    stride_qb, stride_qh, stride_qt, stride_kb, stride_kh, stride_kt,
    stride_vb, stride_vh, stride_vt, stride_rb, stride_rh, stride_rt,
    stride_gb, stride_gh, stride_gt,
    GROUP: tl.constexpr, KV_HEADS: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    DIM: tl.constexpr, DIM_REST: tl.constexpr, V_DIM: tl.constexpr, V_REST: tl.constexpr,
    RAGGED: tl.constexpr, CAUSAL: tl.constexpr, TOP_LEFT: tl.constexpr, WINDOW: tl.constexpr,
    SOFTCAP: tl.constexpr, ALIBI: tl.constexpr, PRECISION: tl.constexpr, ATOMIC: tl.constexpr,
):  # fmt: skip
    """Compute dk and dv. Grid (key tiles, kv_heads · requests).

    q, k, v: as in ``flash_forward``. do: contiguous in o's layout. lse, delta: fp32 per row of o.
    dk, dv: contiguous in k's and v's layout; ``stride_g*`` count their rows. ATOMIC also adds this
    tile's part of dq to dq_sum (fp32, q's layout, zeros before, not scaled) in no fixed order: five
    products instead of the seven that two kernels need.
    """
    WIDTH: tl.constexpr = V_DIM + V_REST
    kv_head = tl.program_id(1) % KV_HEADS
    request = (tl.program_id(1) // KV_HEADS).to(tl.int64)
    first_row, q_len, first_key, kv_len = packed_lengths(request, q_len, kv_len, cu_q, cu_k, RAGGED)
    start = tl.program_id(0) * BLOCK_N
    if start >= kv_len:
        return
    key = start + tl.arange(0, BLOCK_N)
    clamped = tl.minimum(key, kv_len - 1).to(tl.int64) + first_key
    column = tl.arange(0, DIM)[None, :]
    rest = DIM + tl.arange(0, DIM_REST if DIM_REST > 0 else 1)[None, :]
    v_column = tl.arange(0, V_DIM)[None, :]
    v_rest = V_DIM + tl.arange(0, V_REST if V_REST > 0 else 1)[None, :]
    k_at = k + request * stride_kb + kv_head.to(tl.int64) * stride_kh + clamped[:, None] * stride_kt
    v_at = v + request * stride_vb + kv_head.to(tl.int64) * stride_vh + clamped[:, None] * stride_vt
    k_tile = tl.load(k_at + column)
    v_tile = tl.load(v_at + v_column)
    dk_acc = tl.zeros([BLOCK_N, DIM], tl.float32)
    dv_acc = tl.zeros([BLOCK_N, V_DIM], tl.float32)
    if DIM_REST > 0:
        k_rest = tl.load(k_at + rest)
        dk_rest = tl.zeros([BLOCK_N, DIM_REST], tl.float32)
    if V_REST > 0:
        v_rest_tile = tl.load(v_at + v_rest)
        dv_rest = tl.zeros([BLOCK_N, V_REST], tl.float32)

    shift = kv_len - q_len
    if TOP_LEFT:
        shift = 0
    # Rows that see any key of this tile: from the diagonal to the end of the window.
    row_begin = 0
    row_stop = q_len
    if CAUSAL:
        row_begin = tl.maximum(start - shift, 0)
    if WINDOW:
        last_key = tl.minimum(start + BLOCK_N, kv_len) - 1
        past_window = tl.maximum(tl.minimum(q_len, last_key + window - shift), 0)
        row_stop = tl.where(start < sinks, q_len, past_window)
    tile_begin = row_begin // BLOCK_M
    steps = tl.maximum(tl.cdiv(row_stop, BLOCK_M) - tile_begin, 0)
    rows = tl.arange(0, BLOCK_M)
    for step in tl.range(0, steps * GROUP):
        head = kv_head * GROUP + step // steps
        token = (tile_begin + step % steps) * BLOCK_M + rows
        valid = token < q_len
        at = tl.minimum(token, q_len - 1).to(tl.int64) + first_row
        q_at = q + request * stride_qb + head.to(tl.int64) * stride_qh + at[:, None] * stride_qt
        row = request * stride_rb + head * stride_rh + at * stride_rt
        do_at = do + row[:, None] * WIDTH
        q_tile = tl.load(q_at + column)
        do_tile = tl.load(do_at + v_column)
        # Rows past the end get lse = inf, so that p = exp(s - inf) = 0.
        row_lse = tl.load(lse + row, mask=valid, other=float("inf")) * LOG2_E
        row_delta = tl.load(delta + row)
        # Recompute s^T = k q^T, and dp^T = v do^T.
        scores = tl.dot(k_tile, tl.trans(q_tile), input_precision=PRECISION)
        dp = tl.dot(v_tile, tl.trans(do_tile), input_precision=PRECISION)
        if DIM_REST > 0:
            q_rest = tl.load(q_at + rest)
            scores = tl.dot(k_rest, tl.trans(q_rest), scores, input_precision=PRECISION)
        if V_REST > 0:
            do_rest = tl.load(do_at + v_rest)
            dp = tl.dot(v_rest_tile, tl.trans(do_rest), dp, input_precision=PRECISION)
        slope = 0.0
        if ALIBI:
            slope = tl.load(slopes + head)
        position = (token + shift)[None, :]
        p, cap_slope = softmax_weights(
            scores, row_lse[None, :], position - key[:, None], slope, scale, softcap,
            SOFTCAP, ALIBI, PRECISION == "ieee",
        )  # fmt: skip
        # Keys past the end only matter to dq: their dk and dv are not stored.
        if CAUSAL or ATOMIC:
            p = tl.where(
                key_mask(position, key[:, None], kv_len, window, sinks, CAUSAL, WINDOW), p, 0.0
            )
        # Softmax backward; delta replaces the sum over keys of p · dp.
        ds = (p * (dp - row_delta[None, :]) * cap_slope).to(q_tile.dtype)
        p = p.to(q_tile.dtype)
        dv_acc = tl.dot(p, do_tile, dv_acc, input_precision=PRECISION)
        dk_acc = tl.dot(ds, q_tile, dk_acc, input_precision=PRECISION)
        if V_REST > 0:
            dv_rest = tl.dot(p, do_rest, dv_rest, input_precision=PRECISION)
        if DIM_REST > 0:
            dk_rest = tl.dot(ds, q_rest, dk_rest, input_precision=PRECISION)
        if ATOMIC:
            dq_at = dq_sum + row[:, None] * (DIM + DIM_REST)
            ds_t = tl.trans(ds)
            part = tl.dot(ds_t, k_tile, input_precision=PRECISION)
            tl.atomic_add(dq_at + column, part, mask=valid[:, None], sem="relaxed")
            if DIM_REST > 0:
                part_rest = tl.dot(ds_t, k_rest, input_precision=PRECISION)
                tl.atomic_add(dq_at + rest, part_rest, mask=valid[:, None], sem="relaxed")
    inside = (key < kv_len)[:, None]
    row = request * stride_gb + kv_head * stride_gh + (first_key + key) * stride_gt
    dk_at = dk + row[:, None] * (DIM + DIM_REST)
    dv_at = dv + row[:, None] * WIDTH
    kind = dk.dtype.element_ty
    tl.store(dk_at + column, (dk_acc * gradient_scale).to(kind), mask=inside)
    tl.store(dv_at + v_column, dv_acc.to(kind), mask=inside)
    if DIM_REST > 0:
        tl.store(dk_at + rest, (dk_rest * gradient_scale).to(kind), mask=inside)
    if V_REST > 0:
        tl.store(dv_at + v_rest, dv_rest.to(kind), mask=inside)


@triton.jit
def flash_dq(
    q, k, v, do, lse, delta, dq, cu_q, cu_k, slopes,
    scale, softcap, gradient_scale, q_len, kv_len, window, sinks, m_tiles,
    stride_qb, stride_qh, stride_qt, stride_kb, stride_kh, stride_kt,
    stride_vb, stride_vh, stride_vt, stride_rb, stride_rh, stride_rt,
    GROUP: tl.constexpr, KV_HEADS: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    DIM: tl.constexpr, DIM_REST: tl.constexpr, V_DIM: tl.constexpr, V_REST: tl.constexpr,
    RAGGED: tl.constexpr, CAUSAL: tl.constexpr, TOP_LEFT: tl.constexpr, WINDOW: tl.constexpr,
    SOFTCAP: tl.constexpr, ALIBI: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute dq. Grid (m_tiles · q_heads · requests), in the order of ``flash_forward``.

    Inputs as in ``flash_dkdv``; dq: contiguous in q's layout.
    """
    pid = tl.program_id(0)
    m_tile = m_tiles - 1 - pid // GROUP % m_tiles
    pair = pid // (GROUP * m_tiles)
    kv_head = pair % KV_HEADS
    request = (pair // KV_HEADS).to(tl.int64)
    head = (kv_head * GROUP + pid % GROUP).to(tl.int64)
    first_row, q_len, first_key, kv_len = packed_lengths(request, q_len, kv_len, cu_q, cu_k, RAGGED)
    if m_tile * BLOCK_M >= q_len:
        return
    token = m_tile * BLOCK_M + tl.arange(0, BLOCK_M)
    shift = kv_len - q_len
    if TOP_LEFT:
        shift = 0
    position = (token + shift)[:, None]
    first = m_tile * BLOCK_M + shift
    last = tl.minimum(m_tile * BLOCK_M + BLOCK_M, q_len) - 1 + shift
    n_sink, begin, n_tiles = visible_tiles(
        first, last, kv_len, window, sinks, BLOCK_N, CAUSAL, WINDOW
    )
    valid = token < q_len
    at = tl.minimum(token, q_len - 1).to(tl.int64) + first_row
    row = request * stride_rb + head * stride_rh + at * stride_rt
    column = tl.arange(0, DIM)[None, :]
    rest = DIM + tl.arange(0, DIM_REST if DIM_REST > 0 else 1)[None, :]
    v_column = tl.arange(0, V_DIM)[None, :]
    v_rest = V_DIM + tl.arange(0, V_REST if V_REST > 0 else 1)[None, :]
    q_at = q + request * stride_qb + head * stride_qh + at[:, None] * stride_qt
    do_at = do + row[:, None] * (V_DIM + V_REST)
    q_tile = tl.load(q_at + column)
    do_tile = tl.load(do_at + v_column)
    dq_acc = tl.zeros([BLOCK_M, DIM], tl.float32)
    if DIM_REST > 0:
        q_rest = tl.load(q_at + rest)
        dq_rest = tl.zeros([BLOCK_M, DIM_REST], tl.float32)
    if V_REST > 0:
        do_rest = tl.load(do_at + v_rest)
    row_lse = (tl.load(lse + row) * LOG2_E)[:, None]
    row_delta = tl.load(delta + row)[:, None]
    slope = 0.0
    if ALIBI:
        slope = tl.load(slopes + head)
    k += request * stride_kb + kv_head.to(tl.int64) * stride_kh + first_key * stride_kt
    v += request * stride_vb + kv_head.to(tl.int64) * stride_vh + first_key * stride_vt
    keys = tl.arange(0, BLOCK_N)
    for step in tl.range(0, n_tiles):
        start = tile_at(step, n_sink, begin, WINDOW) * BLOCK_N
        key = start + keys
        clamped = tl.minimum(key, kv_len - 1) - start
        k_at = k + start.to(tl.int64) * stride_kt + clamped[:, None] * stride_kt
        v_at = v + start.to(tl.int64) * stride_vt + clamped[:, None] * stride_vt
        k_tile = tl.load(k_at + column)
        v_tile = tl.load(v_at + v_column)
        # Recompute s = q k^T, and dp = do v^T.
        scores = tl.dot(q_tile, tl.trans(k_tile), input_precision=PRECISION)
        dp = tl.dot(do_tile, tl.trans(v_tile), input_precision=PRECISION)
        if DIM_REST > 0:
            k_rest = tl.load(k_at + rest)
            scores = tl.dot(q_rest, tl.trans(k_rest), scores, input_precision=PRECISION)
        if V_REST > 0:
            v_rest_tile = tl.load(v_at + v_rest)
            dp = tl.dot(do_rest, tl.trans(v_rest_tile), dp, input_precision=PRECISION)
        p, cap_slope = softmax_weights(
            scores, row_lse, position - key[None, :], slope, scale, softcap,
            SOFTCAP, ALIBI, PRECISION == "ieee",
        )  # fmt: skip
        p = tl.where(
            key_mask(position, key[None, :], kv_len, window, sinks, CAUSAL, WINDOW), p, 0.0
        )
        # Softmax backward, then dq += ds k.
        ds = (p * (dp - row_delta) * cap_slope).to(k_tile.dtype)
        dq_acc = tl.dot(ds, k_tile, dq_acc, input_precision=PRECISION)
        if DIM_REST > 0:
            dq_rest = tl.dot(ds, k_rest, dq_rest, input_precision=PRECISION)
    dq_at = dq + row[:, None] * (DIM + DIM_REST)
    kind = dq.dtype.element_ty
    valid = valid[:, None]
    tl.store(dq_at + column, (dq_acc * gradient_scale).to(kind), mask=valid)
    if DIM_REST > 0:
        tl.store(dq_at + rest, (dq_rest * gradient_scale).to(kind), mask=valid)
