# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, PLR2004
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""Codes of 8 and 4 bits, seen as 16 bit words, into fp16 numbers: a few integer operations a pair.

A word holds two 8 bit codes (low byte: even column) or four 4 bit codes (low nibble first). Read as
words a cache goes through ldmatrix, which knows no bytes, and a conversion handles two words at
once in a 32 bit register. The bits of a code are put into an fp16 number's mantissa or exponent,
as Kim et al. 2022 (arXiv 2211.10017) do with weights: no conversion instruction, exact, and fp8
needs no fp8 hardware.

=========  ==========================================================================
format     what ``taken`` gives
=========  ==========================================================================
int8       the code
fp8_e4m3   the code / 256: the exponent's bias is 15 in fp16 and 7 in e4m3
fp8_e5m2   the code, whose bits are fp16's upper byte
int4       1024 + code in columns 0 and 2, 1024 + 16 · code in columns 1 and 3
=========  ==========================================================================
"""

from __future__ import annotations

import triton
import triton.language as tl

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
    """Run one of the programs above on 16 bit words."""
    return tl.inline_asm_elementwise(
        ASSEMBLY, "=r,r", [words], dtype=tl.float16, is_pure=True, pack=2
    )


@triton.jit
def byte_of(words, PART: tl.constexpr, FORMAT: tl.constexpr, ASM: tl.constexpr):
    """Column 2i + PART of an 8 bit cache; see the table above."""
    if ASM:
        if FORMAT == INT8:
            found = packed(words, INT8_EVEN if PART == 0 else INT8_ODD)
        elif FORMAT == E4M3:
            found = packed(words, E4M3_EVEN if PART == 0 else E4M3_ODD)
        else:
            found = packed(words, E5M2_EVEN if PART == 0 else E5M2_ODD)
    else:
        byte = words >> 8 if PART == 1 else words & 0xFF
        if FORMAT == INT8:
            found = (byte ^ 0x6480).to(tl.float16, bitcast=True) - 1152.0
        elif FORMAT == E4M3:
            found = (((byte & 0x80) << 8) | ((byte & 0x7F) << 7)).to(tl.float16, bitcast=True)
        else:
            found = (byte << 8).to(tl.float16, bitcast=True)
    return found


@triton.jit
def nibble_of(words, PART: tl.constexpr, ASM: tl.constexpr):
    """Column 4i + PART of a 4 bit cache; see the table above."""
    if ASM:
        if PART == 0:
            found = packed(words, INT4_FIRST)
        elif PART == 1:
            found = packed(words, INT4_SECOND)
        elif PART == 2:
            found = packed(words, INT4_THIRD)
        else:
            found = packed(words, INT4_FOURTH)
    else:
        byte = words >> 8 if PART >= 2 else words
        if PART % 2 == 0:
            found = ((byte & 0x000F) | 0x6400).to(tl.float16, bitcast=True)
        else:
            found = ((byte & 0x00F0) | 0x6400).to(tl.float16, bitcast=True)
    return found


@triton.jit
def taken(
    words, zero, PART: tl.constexpr, FORMAT: tl.constexpr, ASM: tl.constexpr, WIDE: tl.constexpr
):  # fmt: skip
    """Columns of one part as fp16; WIDE as fp32, 4 bit codes less their zero point.

    In fp32 nothing is gained by leaving the zero points to the scores, and a bit or two is lost.
    """
    if FORMAT == INT4:
        found = nibble_of(words, PART, ASM)
        if WIDE:
            TIMES: tl.constexpr = 16.0 if PART % 2 == 1 else 1.0
            found = (found - 1024.0).to(tl.float32) - (zero * TIMES)[:, None]
    else:
        found = byte_of(words, PART, FORMAT, ASM)
        if WIDE:
            found = found.to(tl.float32)
    return found
