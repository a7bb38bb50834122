"""The PTX that takes codes apart runs on a GPU alone; here its arithmetic is done by hand.

For every 16 bit word, in both halves of a register.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from attnbench.kernels import quantized

pytestmark = pytest.mark.torch
WORDS = np.arange(2**16, dtype=np.uint32)
OTHERS = WORDS[::-1]  # the word in the upper half, to be sure that nothing leaks from one to other


def run(program, words: np.ndarray, above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Run PTX on registers of two words; return the fp16 numbers of the lower and upper half."""
    registers = {"$1": words | (above << 16)}
    for step in re.split(r";\s*", program.value.strip("{} ")):
        if not step or step.startswith(".reg"):
            continue
        name, operands = step.split(maxsplit=1)
        into, *given = [one.strip() for one in operands.split(",")]
        values = [registers[one] if one in registers else np.uint32(int(one, 0)) for one in given]
        registers[into] = OPERATIONS[name](*values)
    found = registers["$0"]
    return as_fp16(found & 0xFFFF), as_fp16(found >> 16)


def lop3(a, b, c, table):
    """Look each bit up: bit 4a + 2b + c of the table."""
    found = np.zeros_like(a)
    for index in range(8):
        if int(table) >> index & 1:
            terms = [one if index >> bit & 1 else ~one for bit, one in ((2, a), (1, b), (0, c))]
            found |= terms[0] & terms[1] & terms[2]
    return found


def subtract_halves(a, b):
    low = as_fp16(a & 0xFFFF) - as_fp16(b & 0xFFFF)
    high = as_fp16(a >> 16) - as_fp16(b >> 16)
    bits = [one.astype(np.float16).view(np.uint16).astype(np.uint32) for one in (low, high)]
    return bits[0] | bits[1] << 16


def as_fp16(bits):
    return np.asarray(bits, dtype=np.uint32).astype(np.uint16).view(np.float16)


OPERATIONS = {
    "lop3.b32": lop3,
    "mov.b32": lambda a: a,
    "shl.b32": lambda a, n: a << n,
    "shr.u32": lambda a, n: a >> n,
    "and.b32": lambda a, b: a & b,
    "sub.f16x2": subtract_halves,
}


def of_bytes(bits: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    return torch.from_numpy(bits.astype(np.uint8)).view(dtype).float().numpy()


@pytest.mark.parametrize(
    ("even", "odd", "dtype", "scale"),
    [
        (quantized.INT8_EVEN, quantized.INT8_ODD, torch.int8, 1),
        (quantized.E4M3_EVEN, quantized.E4M3_ODD, torch.float8_e4m3fn, 256),
        (quantized.E5M2_EVEN, quantized.E5M2_ODD, torch.float8_e5m2, 1),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_bytes_are_the_numbers_they_stand_for(even, odd, dtype, scale):
    for program, shift in ((even, 0), (odd, 8)):
        for found, words in zip(run(program, WORDS, OTHERS), (WORDS, OTHERS), strict=True):
            expected = of_bytes(words >> shift & 0xFF, dtype)
            finite = np.isfinite(expected)

            assert np.array_equal(found[finite].astype(np.float32) * scale, expected[finite])


@pytest.mark.parametrize("part", range(4))
def test_nibbles_are_offset_by_1024(part):
    programs = [
        quantized.INT4_FIRST,
        quantized.INT4_SECOND,
        quantized.INT4_THIRD,
        quantized.INT4_FOURTH,
    ]
    for found, words in zip(run(programs[part], WORDS, OTHERS), (WORDS, OTHERS), strict=True):
        code = words >> (4 * part) & 0xF

        assert np.array_equal(found, 1024 + code * (16 if part % 2 else 1))
