"""How a cache is quantised: one scale a token and KV head, ``x = (code - zero) * scale``.

int8 is symmetric (amax / 127), fp8 is scaled so that amax meets the format's largest number, int4
is asymmetric with a zero point and packs two codes a byte along the last axis, low nibble first.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

INT8_MAX = 127
INT4_MAX = 15
TORCH_DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8_e4m3": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
    "int8": torch.int8,
    "int4": torch.uint8,
}


class Codes(NamedTuple):
    """Rows as codes ``[..., width]`` (int4: width / 2) with fp32 scale and zero ``[...]``."""

    codes: Tensor
    scale: Tensor
    zero: Tensor | None


def quantise(values: Tensor, dtype: str) -> Codes:
    """Quantise rows ``[..., width]``, each with a scale of its own."""
    values = values.float()
    if dtype == "int4":
        return _quantise_int4(values)
    kind = TORCH_DTYPES[dtype]
    largest = INT8_MAX if dtype == "int8" else torch.finfo(kind).max
    scale = _never_zero(values.abs().amax(-1) / largest)
    codes = values / scale.unsqueeze(-1)
    if dtype == "int8":
        codes = codes.round()
    return Codes(codes.clamp(-largest, largest).to(kind), scale, None)


def _quantise_int4(values: Tensor) -> Codes:
    low, high = values.aminmax(dim=-1)
    scale = _never_zero((high - low) / INT4_MAX)
    zero = -low / scale
    codes = (values / scale.unsqueeze(-1) + zero.unsqueeze(-1)).round().clamp(0, INT4_MAX)
    codes = codes.to(torch.uint8)
    return Codes(codes[..., 0::2] | (codes[..., 1::2] << 4), scale, zero)


def dequantise(codes: Codes, kind: torch.dtype) -> Tensor:
    """Give back the values ``[..., width]`` that the codes stand for, computed in ``kind``."""
    packed, scale, zero = codes
    if packed.dtype == torch.uint8:
        packed = torch.stack((packed & INT4_MAX, packed >> 4), dim=-1).flatten(-2)
    values = packed.to(kind)
    if zero is not None:
        values = values - zero.to(kind).unsqueeze(-1)
    return values * scale.to(kind).unsqueeze(-1)


def _never_zero(scale: Tensor) -> Tensor:
    """A row of zeros has scale 1, so that no code is 0 / 0."""
    return torch.where(scale > 0, scale, torch.ones_like(scale))
