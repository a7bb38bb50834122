"""Random numbers: a stream for each (seed, tensor), drawn in fp32 whatever they are stored in."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

DRAWN_AT_ONCE = 2**24  # elements; bounds the fp32 copy of what is stored narrower
_OUTLIER_RATE, _OUTLIER_STD = 1e-3, 10.0


def stream(device: torch.device, seed: int, name: str) -> torch.Generator:
    """A stream of its own for each (seed, name)."""
    stream = hashlib.blake2b(f"{seed}/{name}".encode("ascii"), digest_size=7).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(stream))


def fill(tensor: Tensor, dist: str, generator: torch.Generator) -> None:
    """Draw every element in fp32 and round it to the tensor's dtype, whatever its strides."""
    if not tensor.is_contiguous():
        drawn = torch.empty_like(tensor, memory_format=torch.contiguous_format)
        fill(drawn, dist, generator)
        tensor.copy_(drawn)
        return
    flat = tensor.view(-1)
    for start in range(0, flat.numel(), DRAWN_AT_ONCE):
        part = flat[start : start + DRAWN_AT_ONCE]
        part.copy_(values((part.numel(),), dist, generator))


def values(shape: tuple[int, ...], dist: str, generator: torch.Generator) -> Tensor:
    """Draw fp32 values: N(0, 1), U(-1, 1), zeros, or N(0, 1) with rare N(0, 100) on top.

    The last is the outlier test of FlashAttention-3 (arXiv 2407.08608, section 4.3).
    """
    device = generator.device
    if dist == "zeros":
        return torch.zeros(shape, device=device)
    if dist == "uniform":
        return torch.rand(shape, generator=generator, device=device).mul_(2).sub_(1)
    values = torch.randn(shape, generator=generator, device=device)
    if dist == "outliers":
        rare = torch.rand(shape, generator=generator, device=device) < _OUTLIER_RATE
        values += _OUTLIER_STD * rare * torch.randn(shape, generator=generator, device=device)
    return values
