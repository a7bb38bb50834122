# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, FBT003, PLR0917
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""FlashAttention forward over a list of kept blocks: others are neither read nor computed.

Dao et al. 2022 (arXiv 2205.14135, section 3.3) for block-sparse attention by tiles. Each block row
has two lists of kept block columns: blocks that every row sees whole are walked without a mask,
blocks on an edge (diagonal, window, end of the keys) with one.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attnbench.kernels.softmax import LN_2, apply_softcap_bias, key_mask, log2_total, online_step


@triton.jit
def walk_blocks(
    acc, acc_rest, m, total, q_tile, q_rest, k, v, position,
    scale, kv_len, window, stride_kt, stride_vt, columns, first, n_blocks,
    BLOCK: tl.constexpr, BLOCK_N: tl.constexpr, DIM: tl.constexpr, DIM_REST: tl.constexpr,
    V_DIM: tl.constexpr, V_REST: tl.constexpr, MASKED: tl.constexpr, CAUSAL: tl.constexpr,
    WINDOW: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Attend to n_blocks blocks, whose columns are listed from ``columns + first`` on."""
    keys = tl.arange(0, BLOCK_N)
    column = tl.arange(0, DIM)
    v_column = tl.arange(0, V_DIM)
    tiles: tl.constexpr = BLOCK // BLOCK_N
    for step in tl.range(0, n_blocks * tiles):
        start = tl.load(columns + first + step // tiles) * BLOCK + step % tiles * BLOCK_N
        key = start + keys
        clamped = keys
        if MASKED:
            # Clamped addresses instead of masked loads: a masked score needs no masked value.
            clamped = tl.maximum(tl.minimum(key, kv_len - 1) - start, -start)
        k_at = k + start.to(tl.int64) * stride_kt + clamped[:, None] * stride_kt
        v_at = v + start.to(tl.int64) * stride_vt + clamped[:, None] * stride_vt
        # Scores: q k^T, with a head dim that is no power of two in two parts.
        k_tile = tl.load(k_at + column[None, :])
        scores = tl.dot(q_tile, tl.trans(k_tile), input_precision=PRECISION)
        if DIM_REST > 0:
            k_rest = tl.load(k_at + (DIM + tl.arange(0, DIM_REST))[None, :])
            scores = tl.dot(q_rest, tl.trans(k_rest), scores, input_precision=PRECISION)
        scores = apply_softcap_bias(scores, scale, 0.0, 0.0, 0, False, False, False)
        if MASKED:
            # Hidden keys get -inf, so that their weight is exactly 0.
            mask = key_mask(position[:, None], key[None, :], kv_len, window, 0, CAUSAL, WINDOW)
            scores = tl.where(mask, scores, float("-inf"))
        # Online softmax: alpha rescales what earlier tiles summed; p v accumulates in fp32.
        m, alpha, p, total = online_step(m, total, scores, MASKED)
        v_tile = tl.load(v_at + v_column[None, :])
        p = p.to(v_tile.dtype)
        acc = tl.dot(p, v_tile, acc * alpha[:, None], input_precision=PRECISION)
        if V_REST > 0:
            v_rest = tl.load(v_at + (V_DIM + tl.arange(0, V_REST))[None, :])
            acc_rest = tl.dot(p, v_rest, acc_rest * alpha[:, None], input_precision=PRECISION)
    return acc, acc_rest, m, total


@triton.jit
def block_sparse_forward(
    q, k, v, o, lse, whole_starts, whole_columns, edge_starts, edge_columns,
    scale, q_len, kv_len, window, m_tiles,
    stride_qb, stride_qh, stride_qt, stride_kb, stride_kh, stride_kt,
    stride_vb, stride_vh, stride_vt, stride_rb, stride_rh, stride_rt,
    GROUP: tl.constexpr, KV_HEADS: tl.constexpr, BLOCK: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, DIM: tl.constexpr, DIM_REST: tl.constexpr, V_DIM: tl.constexpr,
    V_REST: tl.constexpr, CAUSAL: tl.constexpr, TOP_LEFT: tl.constexpr, WINDOW: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute o and lse. Grid (m_tiles · q_heads · batch); a row tile lies in one block row.

    q: ``[batch, q_heads, q_len, dim]``; k and v likewise with kv_heads; strides in elements. o:
    contiguous, q's layout. lse: fp32, natural log. ``*_starts``: int32 ``[block rows + 1]``, which
    points into ``*_columns``, int32.
    """
    pid = tl.program_id(0)
    in_group = pid % GROUP
    m_tile = m_tiles - 1 - pid // GROUP % m_tiles
    pair = pid // (GROUP * m_tiles)
    kv_head = pair % KV_HEADS
    request = (pair // KV_HEADS).to(tl.int64)
    head = (kv_head * GROUP + in_group).to(tl.int64)
    token = m_tile * BLOCK_M + tl.arange(0, BLOCK_M)
    shift = kv_len - q_len
    if TOP_LEFT:
        shift = 0
    position = token + shift
    valid = token < q_len
    clamped = tl.minimum(token, q_len - 1).to(tl.int64)
    q_at = q + request * stride_qb + head * stride_qh + clamped[:, None] * stride_qt
    q_tile = tl.load(q_at + tl.arange(0, DIM)[None, :])
    q_rest = q_tile
    if DIM_REST > 0:
        q_rest = tl.load(q_at + (DIM + tl.arange(0, DIM_REST))[None, :])
    k += request * stride_kb + kv_head.to(tl.int64) * stride_kh
    v += request * stride_vb + kv_head.to(tl.int64) * stride_vh
    m = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    acc = tl.zeros([BLOCK_M, V_DIM], tl.float32)
    acc_rest = acc
    if V_REST > 0:
        acc_rest = tl.zeros([BLOCK_M, V_REST], tl.float32)
    block_row = m_tile * BLOCK_M // BLOCK
    # Blocks that every row sees whole need no mask.
    first = tl.load(whole_starts + block_row)
    acc, acc_rest, m, total = walk_blocks(
        acc, acc_rest, m, total, q_tile, q_rest, k, v, position,
        scale, kv_len, window, stride_kt, stride_vt,
        whole_columns, first, tl.load(whole_starts + block_row + 1) - first,
        BLOCK, BLOCK_N, DIM, DIM_REST, V_DIM, V_REST, False, CAUSAL, WINDOW, PRECISION,
    )  # fmt: skip
    # Blocks on the diagonal, the window's edge or the end of the keys.
    first = tl.load(edge_starts + block_row)
    acc, acc_rest, m, total = walk_blocks(
        acc, acc_rest, m, total, q_tile, q_rest, k, v, position,
        scale, kv_len, window, stride_kt, stride_vt,
        edge_columns, first, tl.load(edge_starts + block_row + 1) - first,
        BLOCK, BLOCK_N, DIM, DIM_REST, V_DIM, V_REST, True, CAUSAL, WINDOW, PRECISION,
    )  # fmt: skip
    # Divide once at the end; a row that saw no key is 0.
    inverse = tl.where(total > 0, 1.0 / tl.where(total > 0, total, 1.0), 0.0)[:, None]
    row = request * stride_rb + head * stride_rh + token * stride_rt
    tl.store(lse + row, log2_total(m, total) * LN_2, mask=valid)
    out = o + row[:, None] * (V_DIM + V_REST)
    kind = o.dtype.element_ty
    tl.store(out + tl.arange(0, V_DIM)[None, :], (acc * inverse).to(kind), mask=valid[:, None])
    if V_REST > 0:
        v_rest = V_DIM + tl.arange(0, V_REST)
        tl.store(out + v_rest[None, :], (acc_rest * inverse).to(kind), mask=valid[:, None])
