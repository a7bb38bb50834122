# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, FBT003, PLR0917
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""FlashAttention forward over a list of kept blocks: what is not kept is neither read nor computed.

Dao et al. 2022 (arXiv 2205.14135, section 3.3) for block-sparse attention by tiles. The kept blocks
of a row of blocks come as two lists of block columns: those that every row sees whole are walked
without a mask, those on an edge (diagonal, window, end of the keys) with one.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attnbench.kernels.softmax import LN_2, bent, log2_total, online_step, seen


@triton.jit
def walk_blocks(
    acc, acc_rest, m, total, q_tile, q_rest, k, v, place,
    scale, kv_len, window, stride_kt, stride_vt, columns, first, n_blocks,
    BLOCK: tl.constexpr, BLOCK_N: tl.constexpr, DIM: tl.constexpr, DIM_REST: tl.constexpr,
    V_DIM: tl.constexpr, V_REST: tl.constexpr, MASKED: tl.constexpr, CAUSAL: tl.constexpr,
    WINDOW: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Attend to the keys of n_blocks blocks, whose columns stand from ``columns + first`` on."""
    keys = tl.arange(0, BLOCK_N)
    column = tl.arange(0, DIM)
    v_column = tl.arange(0, V_DIM)
    tiles: tl.constexpr = BLOCK // BLOCK_N
    for step in tl.range(0, n_blocks * tiles):
        start = tl.load(columns + first + step // tiles) * BLOCK + step % tiles * BLOCK_N
        key = start + keys
        held = keys
        if MASKED:
            # Clamped addresses instead of masked loads: a masked score needs no masked value.
            held = tl.maximum(tl.minimum(key, kv_len - 1) - start, -start)
        k_at = k + start.to(tl.int64) * stride_kt + held[:, None] * stride_kt
        v_at = v + start.to(tl.int64) * stride_vt + held[:, None] * stride_vt
        k_tile = tl.load(k_at + column[None, :])
        scores = tl.dot(q_tile, tl.trans(k_tile), input_precision=PRECISION)
        if DIM_REST > 0:
            k_rest = tl.load(k_at + (DIM + tl.arange(0, DIM_REST))[None, :])
            scores = tl.dot(q_rest, tl.trans(k_rest), scores, input_precision=PRECISION)
        scores = bent(scores, scale, 0.0, 0.0, 0, False, False, False)
        if MASKED:
            shown = seen(place[:, None], key[None, :], kv_len, window, 0, CAUSAL, WINDOW)
            scores = tl.where(shown, scores, float("-inf"))
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
    """Grid (m_tiles · q_heads · batch); a tile of rows lies in one row of blocks.

    q ``[batch, q_heads, q_len, dim]``, k and v likewise with their heads, told by strides; o
    contiguous in q's layout, lse fp32 natural log. The lists are int32: ``*_starts [block rows +
    1]`` points into ``*_columns``.
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
    place = token + shift
    real = token < q_len
    held = tl.minimum(token, q_len - 1).to(tl.int64)
    q_at = q + request * stride_qb + head * stride_qh + held[:, None] * stride_qt
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
    first = tl.load(whole_starts + block_row)
    acc, acc_rest, m, total = walk_blocks(
        acc, acc_rest, m, total, q_tile, q_rest, k, v, place,
        scale, kv_len, window, stride_kt, stride_vt,
        whole_columns, first, tl.load(whole_starts + block_row + 1) - first,
        BLOCK, BLOCK_N, DIM, DIM_REST, V_DIM, V_REST, False, CAUSAL, WINDOW, PRECISION,
    )  # fmt: skip
    first = tl.load(edge_starts + block_row)
    acc, acc_rest, m, total = walk_blocks(
        acc, acc_rest, m, total, q_tile, q_rest, k, v, place,
        scale, kv_len, window, stride_kt, stride_vt,
        edge_columns, first, tl.load(edge_starts + block_row + 1) - first,
        BLOCK, BLOCK_N, DIM, DIM_REST, V_DIM, V_REST, True, CAUSAL, WINDOW, PRECISION,
    )  # fmt: skip
    inverse = tl.where(total > 0, 1.0 / tl.where(total > 0, total, 1.0), 0.0)[:, None]
    row = request * stride_rb + head * stride_rh + token * stride_rt
    tl.store(lse + row, log2_total(m, total) * LN_2, mask=real)
    out = o + row[:, None] * (V_DIM + V_REST)
    kind = o.dtype.element_ty
    tl.store(out + tl.arange(0, V_DIM)[None, :], (acc * inverse).to(kind), mask=real[:, None])
    if V_REST > 0:
        v_rest = V_DIM + tl.arange(0, V_REST)
        tl.store(out + v_rest[None, :], (acc_rest * inverse).to(kind), mask=real[:, None])
