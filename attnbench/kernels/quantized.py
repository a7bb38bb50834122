# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, PLR0912, PLR0917, PLR2004, SIM108
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""Split-KV decode over a cache of 8 or 4 bit values with a scale per token and KV head.

Scales and zero points are per key, so they are applied to scores and weights instead of to tiles
of K and V: q·k = (q·value - zero·sum q)·scale, p·v = (p·scale)·(value - zero). A tile is read as
16 bit words and split into PARTS dots, one for each value of a word.

A word holds two 8 bit values (low byte: even column) or four 4 bit values (low nibble first). Loads
of words can use ldmatrix, which does not support bytes, and one conversion handles two words in a
32 bit register. The bits of a value become mantissa or exponent bits of an fp16 number, as Kim et
al. 2022 (arXiv 2211.10017) do with weights: exact, without conversion instructions or fp8 hardware.

=========  ==========================================================================
format     what ``dequantize`` gives
=========  ==========================================================================
int8       the value
fp8_e4m3   the value / 256: the exponent's bias is 15 in fp16 and 7 in e4m3
fp8_e5m2   the value, whose bits are fp16's upper byte
int4       1024 + value in columns 0 and 2, 1024 + 16 · value in columns 1 and 3
=========  ==========================================================================
"""

from __future__ import annotations

import triton
import triton.language as tl

from attnbench.kernels.decode import angles_from, cache_lengths
from attnbench.kernels.rope import NONE, load_rotated
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

# What a kernel is compiled for; the numbers are the kernels' constants.
FORMATS = {"int8": 0, "fp8_e4m3": 1, "fp8_e5m2": 2, "int4": 3}
INT8: tl.constexpr = tl.constexpr(0)
E4M3: tl.constexpr = tl.constexpr(1)
E5M2: tl.constexpr = tl.constexpr(2)
INT4: tl.constexpr = tl.constexpr(3)


# PTX on two words at once: ``$1`` holds them, ``$0`` takes two fp16 numbers. lop3 0x6a is (a & b) ^
# c, 0xea is (a & b) | c. int8: the byte, its sign flipped, under the bits of 1024 is 1024 + 128 +
# code, from which 1152 is taken. e4m3: exponent and mantissa one bit down, the sign where it was.
INT8_EVEN: tl.constexpr = tl.constexpr(
    "{ .reg .b32 t, c; lop3.b32 t, $1, 0x00ff00ff, 0x64806480, 0x6a; "
    "mov.b32 c, 0x64806480; sub.f16x2 $0, t, c; }"
)
INT8_ODD: tl.constexpr = tl.constexpr(
    "{ .reg .b32 t, c; shr.u32 t, $1, 8; lop3.b32 t, t, 0x00ff00ff, 0x64806480, 0x6a; "
    "mov.b32 c, 0x64806480; sub.f16x2 $0, t, c; }"
)
E4M3_EVEN: tl.constexpr = tl.constexpr(
    "{ .reg .b32 t, u, y; shl.b32 y, $1, 8; shr.u32 t, y, 1; and.b32 u, y, 0x80008000; "
    "lop3.b32 $0, t, 0x3f803f80, u, 0xea; }"
)
E4M3_ODD: tl.constexpr = tl.constexpr(
    "{ .reg .b32 t, u; shr.u32 t, $1, 1; and.b32 u, $1, 0x80008000; "
    "lop3.b32 $0, t, 0x3f803f80, u, 0xea; }"
)
E5M2_EVEN: tl.constexpr = tl.constexpr(
    "{ .reg .b32 t; shl.b32 t, $1, 8; and.b32 $0, t, 0xff00ff00; }"
)
E5M2_ODD: tl.constexpr = tl.constexpr("and.b32 $0, $1, 0xff00ff00;")
INT4_FIRST: tl.constexpr = tl.constexpr("lop3.b32 $0, $1, 0x000f000f, 0x64006400, 0xea;")
INT4_SECOND: tl.constexpr = tl.constexpr("lop3.b32 $0, $1, 0x00f000f0, 0x64006400, 0xea;")
INT4_THIRD: tl.constexpr = tl.constexpr(
    "{ .reg .b32 t; shr.u32 t, $1, 8; lop3.b32 $0, t, 0x000f000f, 0x64006400, 0xea; }"
)
INT4_FOURTH: tl.constexpr = tl.constexpr(
    "{ .reg .b32 t; shr.u32 t, $1, 8; lop3.b32 $0, t, 0x00f000f0, 0x64006400, 0xea; }"
)


@triton.jit
def packed(words, ASSEMBLY: tl.constexpr):
    """Run one of the PTX programs above on 16 bit words."""
    return tl.inline_asm_elementwise(
        ASSEMBLY, "=r,r", [words], dtype=tl.float16, is_pure=True, pack=2
    )


@triton.jit
def byte_of(words, PART: tl.constexpr, FORMAT: tl.constexpr, ASM: tl.constexpr):
    """Column 2i + PART of an 8 bit cache; see the table at the top."""
    if ASM:
        if FORMAT == INT8:
            value = packed(words, INT8_EVEN if PART == 0 else INT8_ODD)
        elif FORMAT == E4M3:
            value = packed(words, E4M3_EVEN if PART == 0 else E4M3_ODD)
        else:
            value = packed(words, E5M2_EVEN if PART == 0 else E5M2_ODD)
    else:
        byte = words >> 8 if PART == 1 else words & 0xFF
        if FORMAT == INT8:
            value = (byte ^ 0x6480).to(tl.float16, bitcast=True) - 1152.0
        elif FORMAT == E4M3:
            value = (((byte & 0x80) << 8) | ((byte & 0x7F) << 7)).to(tl.float16, bitcast=True)
        else:
            value = (byte << 8).to(tl.float16, bitcast=True)
    return value


@triton.jit
def nibble_of(words, PART: tl.constexpr, ASM: tl.constexpr):
    """Column 4i + PART of a 4 bit cache; see the table at the top."""
    if ASM:
        if PART == 0:
            value = packed(words, INT4_FIRST)
        elif PART == 1:
            value = packed(words, INT4_SECOND)
        elif PART == 2:
            value = packed(words, INT4_THIRD)
        else:
            value = packed(words, INT4_FOURTH)
    else:
        byte = words >> 8 if PART >= 2 else words
        if PART % 2 == 0:
            value = ((byte & 0x000F) | 0x6400).to(tl.float16, bitcast=True)
        else:
            value = ((byte & 0x00F0) | 0x6400).to(tl.float16, bitcast=True)
    return value


@triton.jit
def dequantize(
    words, zero, PART: tl.constexpr, FORMAT: tl.constexpr, ASM: tl.constexpr, WIDE: tl.constexpr
):  # fmt: skip
    """Return one part's columns as fp16; with WIDE as fp32, 4 bit values minus their zero point.

    In fp32, applying zero points to the scores would gain nothing and lose a bit or two.
    """
    if FORMAT == INT4:
        value = nibble_of(words, PART, ASM)
        if WIDE:
            TIMES: tl.constexpr = 16.0 if PART % 2 == 1 else 1.0
            value = (value - 1024.0).to(tl.float32) - (zero * TIMES)[:, None]
    else:
        value = byte_of(words, PART, FORMAT, ASM)
        if WIDE:
            value = value.to(tl.float32)
    return value


@triton.jit
def as_operand(part, row_scale, SHARE: tl.constexpr, WIDE: tl.constexpr):
    """A part of q for the tensor cores, divided by a power of two so that it fits fp16."""
    if WIDE:
        value = part * SHARE
    else:
        value = (part * (SHARE / row_scale)[:, None]).to(tl.float16)
    return value


@triton.jit
def row_sum(part):
    """Sum of an operand's rows in fp32, as the tensor cores see it."""
    return tl.sum(part.to(tl.float32), 1)


@triton.jit
def decode_quantized(
    q, k, v, o, lse, part_o, part_lse, k_scale, v_scale, k_zero, v_zero,
    page_table, kv_lens, cu_q, cu_k, slopes, sink_logits,
    cos, sin, scale, softcap, q_len, kv_len, window, sinks, n_splits,
    stride_qb, stride_qh, stride_qt, stride_kb, stride_kh, stride_kt,
    stride_vb, stride_vh, stride_vt, stride_sb, stride_sh, stride_st,
    stride_rb, stride_rh, stride_rt, stride_table,
    GROUP: tl.constexpr, M_TILES: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    K_WORDS: tl.constexpr, V_WORDS: tl.constexpr, FORMAT: tl.constexpr, PAGE: tl.constexpr,
    RAGGED: tl.constexpr, CAUSAL: tl.constexpr, TOP_LEFT: tl.constexpr, WINDOW: tl.constexpr,
    SOFTCAP: tl.constexpr, ALIBI: tl.constexpr, SINK_LOGITS: tl.constexpr, SPLIT: tl.constexpr,
    PRECISION: tl.constexpr, WIDE: tl.constexpr, ASM: tl.constexpr,
    ROPE: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """Attend to one split of each sequence. Grid and other arguments as in ``decode.decode``.

    k, v: uint16, K_WORDS and V_WORDS per token. k_scale, v_scale, k_zero, v_zero: fp32 per token
    and KV head, strides s in elements. WIDE computes in fp32, for fp32 problems; otherwise in fp16,
    whatever q's dtype: quantized values are exact there, but not in bf16's shorter mantissa.
    """
    PARTS: tl.constexpr = 4 if FORMAT == INT4 else 2
    # Keep p · scale in fp16's range: scales are about (largest value) / (largest quantized value).
    GAIN: tl.constexpr = 32768.0 if FORMAT == E5M2 else (256.0 if FORMAT == E4M3 else 16.0)
    UP: tl.constexpr = 256.0 if FORMAT == E4M3 else 1.0
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

    wide_row = (first_row + token).to(tl.int64)
    row = request.to(tl.int64) * stride_rb + head * stride_rh + wide_row * stride_rt
    q_at = q + request.to(tl.int64) * stride_qb + head * stride_qh + wide_row * stride_qt
    q_at = q_at[:, None]
    word = tl.arange(0, K_WORDS)[None, :]
    column = PARTS * word
    cos_row = cos
    sin_row = sin
    if ROPE != NONE:
        angles = angles_from(token, shift, HALF)
        cos_row += angles
        sin_row += angles
    q0 = load_rotated(q_at, column + 0, cos_row, sin_row, valid[:, None], ROPE, HALF)
    q1 = load_rotated(q_at, column + 1, cos_row, sin_row, valid[:, None], ROPE, HALF)
    largest = tl.maximum(tl.max(tl.abs(q0), 1), tl.max(tl.abs(q1), 1))
    if PARTS == 4:
        q2 = load_rotated(q_at, column + 2, cos_row, sin_row, valid[:, None], ROPE, HALF)
        q3 = load_rotated(q_at, column + 3, cos_row, sin_row, valid[:, None], ROPE, HALF)
        largest = tl.maximum(largest, tl.maximum(tl.max(tl.abs(q2), 1), tl.max(tl.abs(q3), 1)))
    # A power of two, so that only fp16's range limit rounds bf16 rows.
    row_scale = tl.exp2(tl.ceil(tl.log2(tl.maximum(largest, 1e-30))))
    if WIDE:
        row_scale = tl.full([BLOCK_M], 1.0, tl.float32)
    # Values from the upper nibble of a byte are 16 times too large.
    SIXTEENTH: tl.constexpr = 0.0625 if PARTS == 4 else 1.0
    q0 = as_operand(q0, row_scale, 1.0, WIDE)
    q1 = as_operand(q1, row_scale, SIXTEENTH, WIDE)
    if PARTS == 4:
        q2 = as_operand(q2, row_scale, 1.0, WIDE)
        q3 = as_operand(q3, row_scale, SIXTEENTH, WIDE)
        q_sum = row_sum(q0) + row_sum(q2) + 16.0 * (row_sum(q1) + row_sum(q3))
        offset = 1024.0 * (row_sum(q0) + row_sum(q1) + row_sum(q2) + row_sum(q3))
    # Undo the power of two of q, and that of the format, per row of scores.
    row_scale = row_scale * UP

    k += kv_head.to(tl.int64) * stride_kh
    v += kv_head.to(tl.int64) * stride_vh
    s_from = kv_head.to(tl.int64) * stride_sh
    if PAGE == 0:
        first_key = tl.cast(first_key, tl.int64)
        k += request.to(tl.int64) * stride_kb + first_key * stride_kt
        v += request.to(tl.int64) * stride_vb + first_key * stride_vt
        s_from += request.to(tl.int64) * stride_sb + first_key * stride_st
    v_column = tl.arange(0, V_WORDS)[None, :]
    slope = 0.0
    if ALIBI:
        slope = tl.load(slopes + head, mask=valid, other=0.0)[:, None]
    m = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    if SINK_LOGITS:
        logit = tl.load(sink_logits + head, mask=valid, other=0.0) * LOG2_E
        m = tl.where(split == 0, logit, m)
        total += tl.where(split == 0, 1.0, 0.0)
    acc0 = tl.zeros([BLOCK_M, V_WORDS], tl.float32)
    acc1 = tl.zeros([BLOCK_M, V_WORDS], tl.float32)
    if PARTS == 4:
        acc2 = tl.zeros([BLOCK_M, V_WORDS], tl.float32)
        acc3 = tl.zeros([BLOCK_M, V_WORDS], tl.float32)
        p_sum = tl.zeros([BLOCK_M], tl.float32)
        zero_sum = tl.zeros([BLOCK_M], tl.float32)
    keys = tl.arange(0, BLOCK_N)
    pages = 0
    if PAGE > 0:
        table = page_table + request.to(tl.int64) * stride_table
        start = tile_at(step_begin, n_sink, begin, WINDOW) * BLOCK_N
        pages = page_ids(table, start, start + keys, kv_len, PAGE, BLOCK_N)
    for step in tl.range(step_begin, step_end):
        start = tile_at(step, n_sink, begin, WINDOW) * BLOCK_N
        key = start + keys
        k_from = offsets(pages, start, key, kv_len, stride_kb, stride_kt, PAGE)
        v_from = offsets(pages, start, key, kv_len, stride_vb, stride_vt, PAGE)
        s_at = s_from + offsets(pages, start, key, kv_len, stride_sb, stride_st, PAGE)
        k_tile = tl.load(k + k_from[:, None] + word)
        v_tile = tl.load(v + v_from[:, None] + v_column)
        ks = tl.load(k_scale + s_at)
        vs = tl.load(v_scale + s_at)
        kz = ks
        vz = vs
        if PARTS == 4:
            kz = tl.load(k_zero + s_at)
            vz = tl.load(v_zero + s_at)
        if PAGE > 0:
            later = tile_at(step + 1, n_sink, begin, WINDOW) * BLOCK_N
            pages = page_ids(table, later, later + keys, kv_len, PAGE, BLOCK_N)
        scores = tl.dot(
            q0, tl.trans(dequantize(k_tile, kz, 0, FORMAT, ASM, WIDE)), input_precision=PRECISION
        )
        scores = tl.dot(
            q1,
            tl.trans(dequantize(k_tile, kz, 1, FORMAT, ASM, WIDE)),
            scores,
            input_precision=PRECISION,
        )
        if PARTS == 4:
            scores = tl.dot(
                q2,
                tl.trans(dequantize(k_tile, kz, 2, FORMAT, ASM, WIDE)),
                scores,
                input_precision=PRECISION,
            )
            scores = tl.dot(
                q3,
                tl.trans(dequantize(k_tile, kz, 3, FORMAT, ASM, WIDE)),
                scores,
                input_precision=PRECISION,
            )
            if not WIDE:
                scores = scores - offset[:, None] - q_sum[:, None] * kz[None, :]
        # Dequantize the scores: one scale per key, one power of two per row.
        scores = scores * ks[None, :] * row_scale[:, None]
        distance = position[:, None] - key[None, :]
        scores = apply_softcap_bias(scores, scale, softcap, slope, distance, SOFTCAP, ALIBI, WIDE)
        mask = key_mask(position[:, None], key[None, :], kv_len, window, sinks, CAUSAL, WINDOW)
        scores = tl.where(mask, scores, float("-inf"))
        # Online softmax, then fold V's scale into p: V's tile stays quantized.
        m, alpha, p, total = online_step(m, total, scores, CAUSAL)
        p = p * (vs * GAIN)[None, :]
        if not WIDE:
            p = p.to(tl.float16)
        if PARTS == 4 and not WIDE:
            round_half_even = p.to(tl.float32)
            p_sum = p_sum * alpha + tl.sum(round_half_even, 1)
            zero_sum = zero_sum * alpha + tl.sum(round_half_even * vz[None, :], 1)
        alpha = alpha[:, None]
        acc0 = tl.dot(
            p, dequantize(v_tile, vz, 0, FORMAT, ASM, WIDE), acc0 * alpha, input_precision=PRECISION
        )
        acc1 = tl.dot(
            p, dequantize(v_tile, vz, 1, FORMAT, ASM, WIDE), acc1 * alpha, input_precision=PRECISION
        )
        if PARTS == 4:
            acc2 = tl.dot(
                p,
                dequantize(v_tile, vz, 2, FORMAT, ASM, WIDE),
                acc2 * alpha,
                input_precision=PRECISION,
            )
            acc3 = tl.dot(
                p,
                dequantize(v_tile, vz, 3, FORMAT, ASM, WIDE),
                acc3 * alpha,
                input_precision=PRECISION,
            )

    inverse = tl.where(total > 0, UP / (GAIN * tl.where(total > 0, total, 1.0)), 0.0)[:, None]
    log_total = log2_total(m, total)
    if SPLIT:
        part = row * n_splits + split
        out = part_o + part[:, None] * (PARTS * V_WORDS)
        tl.store(part_lse + part, log_total, mask=valid)
    else:
        out = o + row[:, None] * (PARTS * V_WORDS)
        tl.store(lse + row, log_total * LN_2, mask=valid)
    kind = out.dtype.element_ty
    valid = valid[:, None]
    out += PARTS * v_column
    if PARTS == 4:
        above = 1024.0 * p_sum[:, None]
        zero = zero_sum[:, None]
        acc0 = acc0 - above - zero
        acc1 = (acc1 - above) * SIXTEENTH - zero
        acc2 = acc2 - above - zero
        acc3 = (acc3 - above) * SIXTEENTH - zero
        tl.store(out + 2, (acc2 * inverse).to(kind), mask=valid)
        tl.store(out + 3, (acc3 * inverse).to(kind), mask=valid)
    tl.store(out, (acc0 * inverse).to(kind), mask=valid)
    tl.store(out + 1, (acc1 * inverse).to(kind), mask=valid)
