"""The variants of a model's attention: the same query heads over more, fewer or latent KV heads."""

from __future__ import annotations

from dataclasses import dataclass, replace

from attnbench.models import LayerGroup, Model
from attnbench.models.layers import mla

# Multi-head latent attention as DeepSeek-V2 and V3 have it (their config.json).
RANK, ROPE = 512, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to share KV heads; ``prefill`` and ``decode`` are its layers in either phase."""

    name: str
    prefill: tuple[LayerGroup, ...]
    decode: tuple[LayerGroup, ...]
    is_own: bool = False

    def sharded(self, tp: int) -> Variant:
        """Return what one of ``tp`` devices holds and computes.

        Raises:
            ProblemError: heads that do not divide.

        """
        return replace(
            self,
            prefill=tuple(group.shard(tp) for group in self.prefill),
            decode=tuple(group.shard(tp) for group in self.decode),
        )


def variant_name(q_heads: int, kv_heads: int) -> str:
    """MHA, GQA-8 (eight KV heads), MQA."""
    if kv_heads == q_heads:
        return "MHA"
    return "MQA" if kv_heads == 1 else f"GQA-{kv_heads}"


def variants_of(model: Model) -> tuple[Variant, ...]:
    """Return the variants of a model: MHA, halved down to MQA, its own, and MLA.

    MLA is the model's own where it has it; otherwise it keeps the query heads and the width of the
    values, over a latent of 512 + 64 channels.
    """
    q_heads = model.groups[0].q_heads
    own = None if model.absorbed else model.groups[0].kv_heads
    counts = {q_heads, 1, *([own] if own else [])}
    halved = q_heads
    while halved % 2 == 0:
        halved //= 2
        counts.add(halved)
    found = [
        _grouped(model, kv_heads, is_own=kv_heads == own)
        for kv_heads in sorted(counts, reverse=True)
    ]
    return (*found, _latent(model))


def _grouped(model: Model, kv_heads: int, *, is_own: bool) -> Variant:
    layers = tuple(
        group if is_own else replace(group, kv_heads=kv_heads, latent=False)
        for group in model.groups
    )
    return Variant(
        name=variant_name(model.groups[0].q_heads, kv_heads),
        prefill=layers,
        decode=layers,
        is_own=is_own,
    )


def _latent(model: Model) -> Variant:
    if model.absorbed:
        return Variant(name="MLA", prefill=model.groups, decode=model.absorbed, is_own=True)
    written: list[LayerGroup] = []
    absorbed: list[LayerGroup] = []
    for group in model.groups:
        plain, latent = mla(
            group.q_heads,
            group.layers,
            rank=RANK,
            rope=ROPE,
            nope=group.head_dim,
            v_head_dim=group.v_head_dim or group.head_dim,
        )
        written += [_seen_as(group, one) for one in plain]
        absorbed += [_seen_as(group, one) for one in latent]
    return Variant(name="MLA", prefill=tuple(written), decode=tuple(absorbed))


def _seen_as(group: LayerGroup, latent: LayerGroup) -> LayerGroup:
    """Give a latent layer the mask of the layer that it stands for."""
    seen = {name: getattr(group, name) for name in ("mask", "window", "softcap", "sink_logits")}
    return replace(latent, **seen)
