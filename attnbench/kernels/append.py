# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, PLR0917
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""Append new rows of K and V to each sequence: rotated, quantized, into any cache layout.

Serving engines do this before they attend; problems with ``append`` measure both together.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attnbench.kernels.decode import cache_lengths
from attnbench.kernels.quantized import INT4, INT8
from attnbench.kernels.rope import NONE, load_rotated

# Besides the quantized formats: the cache stores plain floats.
VALUES: tl.constexpr = tl.constexpr(-1)


@triton.jit
def round_half_even(x):
    """Round half to even: adding 1.5 · 2^23 leaves fp32 no bits for a fraction."""
    return (x + 12582912.0) - 12582912.0


@triton.jit
def scale_of(width, LARGEST: tl.constexpr):
    """Return a row's scale: ``width`` over the largest quantized value, 1 for a row of zeros."""
    return tl.where(width > 0, tl.div_rn(width, LARGEST), 1.0)


@triton.jit
def write_row(
    row, cos_row, sin_row, to, scale_at, zero_at, DIM: tl.constexpr, PAD: tl.constexpr,
    ROPE: tl.constexpr, HALF: tl.constexpr, FORMAT: tl.constexpr,
):  # fmt: skip
    """Write one row of ``DIM`` elements, quantized with its scale (and zero) as FORMAT says."""
    kind = to.dtype.element_ty
    if FORMAT == INT4:
        column = tl.arange(0, PAD // 2)
        mask = column < DIM // 2
        even = load_rotated(row, 2 * column, cos_row, sin_row, mask, ROPE, HALF)
        odd = load_rotated(row, 2 * column + 1, cos_row, sin_row, mask, ROPE, HALF)
        # Asymmetric: map [low, high] of the row to 0 … 15, two values per byte.
        low = tl.min(tl.where(mask, tl.minimum(even, odd), float("inf")), 0)
        high = tl.max(tl.where(mask, tl.maximum(even, odd), float("-inf")), 0)
        scale = scale_of(high - low, 15.0)
        zero = tl.div_rn(-low, scale)
        low_code = tl.minimum(tl.maximum(round_half_even(tl.div_rn(even, scale) + zero), 0.0), 15.0)
        high_code = tl.minimum(tl.maximum(round_half_even(tl.div_rn(odd, scale) + zero), 0.0), 15.0)
        code = low_code.to(tl.int32) | (high_code.to(tl.int32) << 4)
        tl.store(to + column, code.to(kind), mask=mask)
        tl.store(scale_at, scale)
        tl.store(zero_at, zero)
    else:
        column = tl.arange(0, PAD)
        mask = column < DIM
        values = load_rotated(row, column, cos_row, sin_row, mask, ROPE, HALF)
        if FORMAT == INT8:
            scale = scale_of(tl.max(tl.abs(values), 0), 127.0)
            values = round_half_even(tl.div_rn(values, scale))
            tl.store(scale_at, scale)
        tl.store(to + column, values.to(kind), mask=mask)


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
    """Write k_new and v_new into the cache. Grid (append, kv_heads, requests).

    k_new, v_new: ``[batch, kv_heads, append, dim]`` or packed, strides i and j. k, v: the cache,
    dense, packed or paged. k_scale … v_zero: fp32 per token and KV head, strides s. All strides are
    in elements. The new rows are the last of each sequence, so kv_len counts them. LATENT writes
    only K.
    """
    index = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    request = tl.program_id(2).to(tl.int64)
    _, q_len, first_key, kv_len = cache_lengths(
        request, q_len, kv_len, cu_q, cu_k, kv_lens, RAGGED, PAGE
    )
    token = kv_len - append + index
    # Row 0 has the position of key kv_len - q_len; if that is below 0, keys move up instead.
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
        k_new + request * stride_ib + head * stride_ih + index * stride_it,
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
            v_new + request * stride_jb + head * stride_jh + index * stride_jt,
            cos_row, sin_row, v + block * stride_vb + head * stride_vh + slot * stride_vt,
            scale_at, zero_at, V_DIM, V_PAD, NONE, HALF, FORMAT,
        )  # fmt: skip
