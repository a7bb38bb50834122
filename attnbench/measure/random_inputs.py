"""Random numbers: one stream per (seed, tensor), drawn in fp32 whatever the stored dtype."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

DRAWN_AT_ONCE = 2**24  # elements; bounds the fp32 copy of a narrower tensor
_OUTLIER_RATE, _OUTLIER_STD = 1e-3, 10.0
_CHANNEL_SHARE, _CHANNEL_SIZE = 0.03, 10.0


@dataclass(frozen=True, slots=True)
class Channels:
    """Outlier channels of K: a few channels of each KV head have the same large offset.

    Keys of real models have such channels in every token (KIVI, arXiv 2402.02750; KVQuant,
    arXiv 2401.18079), which makes a scale per token imprecise. ``added`` is ``[kv_heads,
    channels]``; ``run`` is the number of consecutive rows of one head.
    """

    added: Tensor
    run: int

    @classmethod
    def choose(cls, heads: int, width: int, run: int, generator: torch.Generator) -> Channels:
        """Choose 3 % of the channels of each head, at least one, each with a random sign."""
        shape, device = (heads, width), generator.device
        rank = torch.rand(shape, generator=generator, device=device).argsort(-1)
        large = rank < max(1, round(_CHANNEL_SHARE * width))
        sign = torch.randn(shape, generator=generator, device=device).sign_()
        return cls(_CHANNEL_SIZE * sign * large, run)

    def of_rows(self, start: int, stop: int) -> Tensor:
        """Return ``[stop - start, channels]``, the offsets of these rows."""
        rows = torch.arange(start, stop, device=self.added.device)
        return self.added[rows // self.run % self.added.shape[0]]


def stream(device: torch.device, seed: int, name: str) -> torch.Generator:
    """Return the generator of a (seed, name)."""
    stream = hashlib.blake2b(f"{seed}/{name}".encode("ascii"), digest_size=7).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(stream))


def fill(
    tensor: Tensor, dist: str, generator: torch.Generator, channels: Channels | None = None
) -> None:
    """Draw every element in fp32 and round it to the tensor's dtype, for any strides."""
    if not tensor.is_contiguous():
        drawn = torch.empty_like(tensor, memory_format=torch.contiguous_format)
        fill(drawn, dist, generator, channels)
        tensor.copy_(drawn)
        return
    if channels is not None:
        rows = tensor.view(-1, tensor.shape[-1])
        at_once = max(1, DRAWN_AT_ONCE // rows.shape[1])
        for start in range(0, len(rows), at_once):
            some = rows[start : start + at_once]
            some.copy_(values(some.shape, dist, generator, channels, start))
        return
    flat = tensor.view(-1)
    for start in range(0, flat.numel(), DRAWN_AT_ONCE):
        part = flat[start : start + DRAWN_AT_ONCE]
        part.copy_(values(part.shape, dist, generator))


def values(
    shape: tuple[int, ...],
    dist: str,
    generator: torch.Generator,
    channels: Channels | None = None,
    start: int = 0,
) -> Tensor:
    """Draw fp32 values: N(0, 1), U(-1, 1), zeros, or N(0, 1) with outliers.

    Outliers are large channels if ``channels`` are given, for the rows from ``start``. Otherwise
    they are rare elements with N(0, 100) added, as in FlashAttention-3 (arXiv 2407.08608, 4.3).
    """
    device = generator.device
    if dist == "zeros":
        return torch.zeros(shape, device=device)
    if dist == "uniform":
        return torch.rand(shape, generator=generator, device=device).mul_(2).sub_(1)
    values = torch.randn(shape, generator=generator, device=device)
    if channels is not None:
        return values.add_(channels.of_rows(start, start + shape[0]))
    if dist == "outliers":
        rare = torch.rand(shape, generator=generator, device=device) < _OUTLIER_RATE
        values += _OUTLIER_STD * rare * torch.randn(shape, generator=generator, device=device)
    return values
