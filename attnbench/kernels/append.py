# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, PLR0917
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""Writes new rows of K and V behind each sequence: turned, quantised, into any cache layout.

What a serving engine does before it attends; measured together with decode where a problem has
``append``.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attnbench.kernels.decode import cache_lengths
from attnbench.kernels.quantized import INT4, INT8
from attnbench.kernels.rope import NONE, turned

# Beside the codes' formats: the cache holds numbers as they come.
VALUES: tl.constexpr = tl.constexpr(-1)


@triton.jit
def rounded(x):
    """Round half to even; fp32 has no bits left for a fraction next to 1.5 · 2^23."""
    return (x + 12582912.0) - 12582912.0


@triton.jit
def step_of(width, LARGEST: tl.constexpr):
    """Return the scale of a row: ``width`` over the number of codes, and 1 for a row of zeros."""
    return tl.where(width > 0, tl.div_rn(width, LARGEST), 1.0)


@triton.jit
def write_row(
    row, cos_row, sin_row, to, scale_at, zero_at, DIM: tl.constexpr, PAD: tl.constexpr,
    ROPE: tl.constexpr, HALF: tl.constexpr, FORMAT: tl.constexpr,
):  # fmt: skip
    """Write one row of ``DIM`` numbers, as codes with their scale where FORMAT says so."""
    kind = to.dtype.element_ty
    if FORMAT == INT4:
        column = tl.arange(0, PAD // 2)
        held = column < DIM // 2
        even = turned(row, 2 * column, cos_row, sin_row, held, ROPE, HALF)
        odd = turned(row, 2 * column + 1, cos_row, sin_row, held, ROPE, HALF)
        low = tl.min(tl.where(held, tl.minimum(even, odd), float("inf")), 0)
        high = tl.max(tl.where(held, tl.maximum(even, odd), float("-inf")), 0)
        scale = step_of(high - low, 15.0)
        zero = tl.div_rn(-low, scale)
        low_code = tl.minimum(tl.maximum(rounded(tl.div_rn(even, scale) + zero), 0.0), 15.0)
        high_code = tl.minimum(tl.maximum(rounded(tl.div_rn(odd, scale) + zero), 0.0), 15.0)
        code = low_code.to(tl.int32) | (high_code.to(tl.int32) << 4)
        tl.store(to + column, code.to(kind), mask=held)
        tl.store(scale_at, scale)
        tl.store(zero_at, zero)
    else:
        column = tl.arange(0, PAD)
        held = column < DIM
        values = turned(row, column, cos_row, sin_row, held, ROPE, HALF)
        if FORMAT == INT8:
            scale = step_of(tl.max(tl.abs(values), 0), 127.0)
            values = rounded(tl.div_rn(values, scale))
            tl.store(scale_at, scale)
        tl.store(to + column, values.to(kind), mask=held)


@triton.jit
def append_rows(
    k_new, v_new, k, v, k_scale, v_scale, k_zero, v_zero, cos, sin,
    page_table, kv_lens, cu_q, cu_k, q_len, kv_len, append,
    stride_ib, stride_ih, stride_it, stride_jb, stride_jh, stride_jt,
    stride_kb, stride_kh, stride_kt, stride_vb, stride_vh, stride_vt,
    stride_sb, stride_sh, stride_st, stride_table,
    DIM: tl.constexpr, PAD: tl.constexpr, V_DIM: tl.constexpr, V_PAD: tl.constexpr,
    PAGE: tl.constexpr, RAGGED: tl.constexpr, LATENT: tl.constexpr, TOP_LEFT: tl.constexpr,
    ROPE: tl.constexpr, HALF: tl.constexpr, FORMAT: tl.constexpr,
):  # fmt: skip
    """Grid (append, kv_heads, requests). Strides i: k_new, j: v_new, s: scales and zero points.

    The new rows are the last of each sequence, so kv_len counts them. LATENT writes K alone.
    """
    number = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    request = tl.program_id(2).to(tl.int64)
    _, q_len, first_key, kv_len = cache_lengths(
        request, q_len, kv_len, cu_q, cu_k, kv_lens, RAGGED, PAGE
    )
    token = kv_len - append + number
    # Row 0 stands at key kv_len - q_len; where that is below 0, the keys move up instead.
    position = token
    if not TOP_LEFT:
        position += tl.maximum(q_len - kv_len, 0)
    cos_row = cos
    sin_row = sin
    if ROPE != NONE:
        cos_row += position.to(tl.int64) * HALF
        sin_row += position.to(tl.int64) * HALF
    if PAGE > 0:
        block = tl.load(page_table + request * stride_table + token // PAGE).to(tl.int64)
        slot = token % PAGE
    else:
        block = request
        slot = tl.cast(first_key, tl.int64) + token
    scale_at = k_scale
    zero_at = k_zero
    if FORMAT != VALUES:
        s_from = block * stride_sb + head * stride_sh + slot * stride_st
        scale_at += s_from
        if FORMAT == INT4:
            zero_at += s_from
    write_row(
        k_new + request * stride_ib + head * stride_ih + number * stride_it,
        cos_row, sin_row, k + block * stride_kb + head * stride_kh + slot * stride_kt,
        scale_at, zero_at, DIM, PAD, ROPE, HALF, FORMAT,
    )  # fmt: skip
    if not LATENT:
        scale_at = v_scale
        zero_at = v_zero
        if FORMAT != VALUES:
            scale_at += s_from
            if FORMAT == INT4:
                zero_at += s_from
        write_row(
            v_new + request * stride_jb + head * stride_jh + number * stride_jt,
            cos_row, sin_row, v + block * stride_vb + head * stride_vh + slot * stride_vt,
            scale_at, zero_at, V_DIM, V_PAD, NONE, HALF, FORMAT,
        )  # fmt: skip
