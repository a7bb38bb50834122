"""Quantized caches: one scale per token and KV head, ``x = (value - zero) * scale``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

INT8_MAX = 127
INT4_MAX = 15
# How each dtype is stored; int4 packs two values into a byte.
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


class Quantized(NamedTuple):
    """Quantized rows: ``x = (value - zero) * scale``, one scale per token and KV head.

    ``values`` is ``[..., width]`` (int4: ``[..., width / 2]`` bytes, low nibble first); ``scale``
    and ``zero`` are fp32 ``[...]``. Only int4 has a zero point.
    """

    values: Tensor
    scale: Tensor
    zero: Tensor | None


def quantize(rows: Tensor, dtype: str) -> Quantized:
    """Quantize rows, each with its own scale.

    int8 is symmetric (scale = amax / 127); fp8 is scaled so that amax becomes the largest finite
    number of the format; int4 is asymmetric, from the row's minimum (0) to its maximum (15).

    Args:
        rows: ``[..., width]``, any float dtype.
        dtype: int8, int4, fp8_e4m3 or fp8_e5m2.

    """
    rows = rows.float()
    if dtype == "int4":
        low, high = rows.aminmax(dim=-1)
        scale = _one_if_zero((high - low) / INT4_MAX)
        zero = -low / scale
        values = (rows / scale.unsqueeze(-1) + zero.unsqueeze(-1)).round().clamp(0, INT4_MAX)
        values = values.to(torch.uint8)
        return Quantized(values[..., 0::2] | (values[..., 1::2] << 4), scale, zero)
    stored = TORCH_DTYPES[dtype]
    largest = INT8_MAX if dtype == "int8" else torch.finfo(stored).max
    scale = _one_if_zero(rows.abs().amax(-1) / largest)
    values = rows / scale.unsqueeze(-1)
    if dtype == "int8":
        values = values.round()
    return Quantized(values.clamp(-largest, largest).to(stored), scale, None)


def dequantize(quantized: Quantized, dtype: torch.dtype) -> Tensor:
    """Return the rows ``[..., width]`` that quantized values stand for, computed in ``dtype``."""
    stored, scale, zero = quantized
    if stored.dtype == torch.uint8:
        stored = torch.stack((stored & INT4_MAX, stored >> 4), dim=-1).flatten(-2)
    values = stored.to(dtype)
    if zero is not None:
        values = values - zero.to(dtype).unsqueeze(-1)
    return values * scale.to(dtype).unsqueeze(-1)


def _one_if_zero(scale: Tensor) -> Tensor:
    """Give a row of zeros scale 1, so that no value is 0 / 0."""
    return torch.where(scale > 0, scale, torch.ones_like(scale))
