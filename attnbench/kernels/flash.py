# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, FBT003, PLR0917
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""FlashAttention-2 forward: a program holds a tile of query rows and walks over the keys.

Dao 2023 (arXiv 2307.08691). The first loop covers key tiles that every row sees, without a mask;
the second covers the few edge tiles (diagonal, window, sinks, end of the keys), with a mask.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attnbench.kernels.rope import load_rotated_rows, rotated_products
from attnbench.kernels.softmax import (
    LN_2,
    LOG2_E,
    apply_softcap_bias,
    key_mask,
    log2_total,
    online_step,
    packed_lengths,
)


@triton.jit
def edges(
    first, last, kv_len, window, sinks,
    BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr, WINDOW: tl.constexpr,
):  # fmt: skip
    """Split the key tiles that rows at positions ``first`` to ``last`` see.

    Returns (sink tiles, begin, full_begin, full_end, stop): from 0, sink tiles; from begin, masked;
    from full_begin, seen whole by every row; from full_end to stop, masked again.
    """
    end = kv_len
    full = kv_len
    if CAUSAL:
        end = tl.maximum(tl.minimum(kv_len, last + 1), 0)
        full = tl.maximum(tl.minimum(kv_len, first + 1), 0)
    stop = tl.cdiv(end, BLOCK_N)
    full_end = full // BLOCK_N
    begin = 0
    full_begin = 0
    n_sink = 0
    if WINDOW:
        begin = tl.minimum(tl.maximum(first - window + 1, 0) // BLOCK_N, stop)
        full_begin = tl.minimum(tl.cdiv(tl.maximum(last - window + 1, 0), BLOCK_N), stop)
        full_end = tl.maximum(full_end, full_begin)
        n_sink = tl.minimum(tl.cdiv(tl.minimum(sinks, end), BLOCK_N), begin)
    return n_sink, begin, full_begin, full_end, stop


@triton.jit
def walk(
    acc, acc_rest, m, total, rows, k, v, cos, sin, position, slope,
    scale, softcap, kv_len, window, sinks, stride_kt, stride_vt,
    n_sink, n_left, left, right, n_steps,
    BLOCK_N: tl.constexpr, DIM: tl.constexpr, DIM_REST: tl.constexpr, V_DIM: tl.constexpr,
    V_REST: tl.constexpr, MASKED: tl.constexpr, CAUSAL: tl.constexpr, WINDOW: tl.constexpr,
    SOFTCAP: tl.constexpr, ALIBI: tl.constexpr, PRECISION: tl.constexpr,
    ROPE: tl.constexpr, HALF: tl.constexpr, PAIRS: tl.constexpr, PAIRS_REST: tl.constexpr,
    FLAT: tl.constexpr, FLAT_REST: tl.constexpr,
):  # fmt: skip
    """Attend to n_steps tiles: n_sink from 0, n_left from ``left``, the others from ``right``.

    ``rows`` are the parts of q; ``cos`` and ``sin`` begin at the angles of the first key.
    """
    keys = tl.arange(0, BLOCK_N)
    column = tl.arange(0, DIM)
    v_column = tl.arange(0, V_DIM)
    for step in tl.range(0, n_steps):
        if MASKED:
            tile = right + step - n_sink - n_left
            if WINDOW:
                tile = tl.where(step < n_sink + n_left, left + step - n_sink, tile)
                tile = tl.where(step < n_sink, step, tile)
        else:
            tile = right + step
        # Address the tile: 64 bits for its start, 32 bits within it.
        start = tile * BLOCK_N
        key = start + keys
        clamped = keys
        if MASKED:
            # Clamped addresses instead of masked loads: a masked score needs no masked value.
            clamped = tl.minimum(key, kv_len - 1) - start
        k_at = k + start.to(tl.int64) * stride_kt + clamped[:, None] * stride_kt
        v_at = v + start.to(tl.int64) * stride_vt + clamped[:, None] * stride_vt
        # Scores: q k^T, with a head dim that is no power of two in two parts.
        if PAIRS == 0:
            k_tile = tl.load(k_at + column[None, :])
            scores = tl.dot(rows[0], tl.trans(k_tile), input_precision=PRECISION)
            if DIM_REST > 0:
                k_rest = tl.load(k_at + (DIM + tl.arange(0, DIM_REST))[None, :])
                scores = tl.dot(rows[1], tl.trans(k_rest), scores, input_precision=PRECISION)
        else:
            angle = start.to(tl.int64) * HALF + clamped[:, None] * HALF
            scores = rotated_products(
                rows, k_at, cos + angle, sin + angle,
                ROPE, HALF, DIM + DIM_REST, PAIRS, PAIRS_REST, FLAT, FLAT_REST, PRECISION,
            )  # fmt: skip
        # Scale after the dot, in fp32: scaling a bf16 q would round it once more.
        distance = position[:, None] - key[None, :]
        scores = apply_softcap_bias(
            scores, scale, softcap, slope, distance, SOFTCAP, ALIBI, PRECISION == "ieee"
        )
        if MASKED:
            # Hidden keys get -inf, so that their weight is exactly 0.
            mask = key_mask(position[:, None], key[None, :], kv_len, window, sinks, CAUSAL, WINDOW)
            scores = tl.where(mask, scores, float("-inf"))
        # Online softmax: new row maximum, and alpha that rescales everything summed so far.
        m, alpha, p, total = online_step(m, total, scores, MASKED and CAUSAL)
        # Accumulate p v in fp32; p is rounded to v's dtype for the tensor cores.
        v_tile = tl.load(v_at + v_column[None, :])
        p = p.to(v_tile.dtype)
        acc = tl.dot(p, v_tile, acc * alpha[:, None], input_precision=PRECISION)
        if V_REST > 0:
            v_rest = tl.load(v_at + (V_DIM + tl.arange(0, V_REST))[None, :])
            acc_rest = tl.dot(p, v_rest, acc_rest * alpha[:, None], input_precision=PRECISION)
    return acc, acc_rest, m, total


@triton.jit
def flash_forward(
    q, k, v, o, lse, cu_q, cu_k, slopes, sink_logits, cos, sin,
    scale, softcap, q_len, kv_len, window, sinks, m_tiles,
    stride_qb, stride_qh, stride_qt, stride_kb, stride_kh, stride_kt,
    stride_vb, stride_vh, stride_vt, stride_rb, stride_rh, stride_rt,
    GROUP: tl.constexpr, KV_HEADS: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    DIM: tl.constexpr, DIM_REST: tl.constexpr, V_DIM: tl.constexpr, V_REST: tl.constexpr,
    RAGGED: tl.constexpr, CAUSAL: tl.constexpr, TOP_LEFT: tl.constexpr, WINDOW: tl.constexpr,
    SOFTCAP: tl.constexpr, ALIBI: tl.constexpr, SINK_LOGITS: tl.constexpr, PRECISION: tl.constexpr,
    ROPE: tl.constexpr, HALF: tl.constexpr, PAIRS: tl.constexpr, PAIRS_REST: tl.constexpr,
    FLAT: tl.constexpr, FLAT_REST: tl.constexpr,
):  # fmt: skip
    """Compute o and lse. Grid (m_tiles · q_heads · requests).

    q: ``[batch, q_heads, q_len, dim]``, or packed ``[tokens, q_heads, dim]``; k and v likewise with
    kv_heads. Strides are in elements (b: batch, h: head, t: token).
    o: contiguous, q's layout, v_dim columns. lse: fp32, natural log. ``stride_r*`` count rows of
    o and lse. cu_q, cu_k: int32 ``[requests + 1]``. slopes, sink_logits: fp32 ``[q_heads]``. cos,
    sin: fp32 ``[positions, HALF]``.
    """
    # The heads of a group run side by side, then the row tiles of their KV head, so that its K and
    # V stay in L2; the longest tiles of a causal mask come first, the short ones fill the tail.
    pid = tl.program_id(0)
    in_group = pid % GROUP
    m_tile = m_tiles - 1 - pid // GROUP % m_tiles
    pair = pid // (GROUP * m_tiles)
    kv_head = pair % KV_HEADS
    request = (pair // KV_HEADS).to(tl.int64)
    # 64 bits: 128 heads of 128k rows of 192 columns are more than 2^31 elements.
    head = (kv_head * GROUP + in_group).to(tl.int64)
    first_row, q_len, first_key, kv_len = packed_lengths(request, q_len, kv_len, cu_q, cu_k, RAGGED)
    if m_tile * BLOCK_M >= q_len:
        return
    token = m_tile * BLOCK_M + tl.arange(0, BLOCK_M)
    shift = kv_len - q_len
    if TOP_LEFT:
        shift = 0
    position = token + shift
    first = m_tile * BLOCK_M + shift
    last = tl.minimum(m_tile * BLOCK_M + BLOCK_M, q_len) - 1 + shift
    n_sink, begin, full_begin, full_end, stop = edges(
        first, last, kv_len, window, sinks, BLOCK_N, CAUSAL, WINDOW
    )
    valid = token < q_len
    clamped = tl.minimum(token, q_len - 1).to(tl.int64) + first_row
    q_at = q + request * stride_qb + head * stride_qh + clamped[:, None] * stride_qt
    if PAIRS == 0:
        q_tile = tl.load(q_at + tl.arange(0, DIM)[None, :])
        q_rest = q_tile
        if DIM_REST > 0:
            q_rest = tl.load(q_at + (DIM + tl.arange(0, DIM_REST))[None, :])
        rows = (q_tile, q_rest)
    else:
        # Row 0 has the position of key ``shift``; if that is below 0, keys move up instead.
        angle = (tl.minimum(token, q_len - 1) + tl.maximum(shift, 0)).to(tl.int64)[:, None] * HALF
        rows = load_rotated_rows(
            q_at, cos + angle, sin + angle,
            ROPE, HALF, DIM + DIM_REST, PAIRS, PAIRS_REST, FLAT, FLAT_REST,
        )  # fmt: skip
        key_shift = tl.cast(tl.maximum(-shift, 0), tl.int64) * HALF
        cos += key_shift
        sin += key_shift
    k += request * stride_kb + kv_head.to(tl.int64) * stride_kh + first_key * stride_kt
    v += request * stride_vb + kv_head.to(tl.int64) * stride_vh + first_key * stride_vt
    slope = 0.0
    if ALIBI:
        slope = tl.load(slopes + head)
    # Running row maximum, sum of weights and output; a sink logit is one more key with value 0.
    m = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    if SINK_LOGITS:
        m = tl.zeros([BLOCK_M], tl.float32) + tl.load(sink_logits + head) * LOG2_E
        total += 1.0
    acc = tl.zeros([BLOCK_M, V_DIM], tl.float32)
    acc_rest = acc
    if V_REST > 0:
        acc_rest = tl.zeros([BLOCK_M, V_REST], tl.float32)
    # First loop: tiles that every row sees, without a mask.
    acc, acc_rest, m, total = walk(
        acc, acc_rest, m, total, rows, k, v, cos, sin, position, slope,
        scale, softcap, kv_len, window, sinks, stride_kt, stride_vt,
        0, 0, 0, full_begin, full_end - full_begin,
        BLOCK_N, DIM, DIM_REST, V_DIM, V_REST, False, CAUSAL, WINDOW, SOFTCAP, ALIBI, PRECISION,
        ROPE, HALF, PAIRS, PAIRS_REST, FLAT, FLAT_REST,
    )  # fmt: skip
    # Second loop: sinks, the window's left edge, then the diagonal and the end, with a mask.
    n_left = full_begin - begin
    acc, acc_rest, m, total = walk(
        acc, acc_rest, m, total, rows, k, v, cos, sin, position, slope,
        scale, softcap, kv_len, window, sinks, stride_kt, stride_vt,
        n_sink, n_left, begin, full_end, n_sink + n_left + tl.maximum(stop - full_end, 0),
        BLOCK_N, DIM, DIM_REST, V_DIM, V_REST, True, CAUSAL, WINDOW, SOFTCAP, ALIBI, PRECISION,
        ROPE, HALF, PAIRS, PAIRS_REST, FLAT, FLAT_REST,
    )  # fmt: skip
    # Divide once at the end; a row that saw no key is 0.
    inverse = tl.where(total > 0, 1.0 / tl.where(total > 0, total, 1.0), 0.0)[:, None]
    row = request * stride_rb + head * stride_rh + (first_row + token) * stride_rt
    tl.store(lse + row, log2_total(m, total) * LN_2, mask=valid)
    out = o + row[:, None] * (V_DIM + V_REST)
    kind = o.dtype.element_ty
    tl.store(out + tl.arange(0, V_DIM)[None, :], (acc * inverse).to(kind), mask=valid[:, None])
    if V_REST > 0:
        v_rest = V_DIM + tl.arange(0, V_REST)
        tl.store(out + v_rest[None, :], (acc_rest * inverse).to(kind), mask=valid[:, None])
