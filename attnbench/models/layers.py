"""A model as this tool sees it: groups of layers whose attention is the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from attnbench.errors import ProblemError

# The fields of a problem that a model gives, and that must not be given beside one.
GIVEN = (
    *("q_heads", "kv_heads", "head_dim", "v_head_dim", "window", "softcap", "sink_logits"),
    *("scale", "latent"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerGroup:
    """Layers of one shape; ``layers`` is how many, None where the source does not say."""

    q_heads: int
    kv_heads: int
    head_dim: int
    layers: int | None
    v_head_dim: int | None = None
    mask: str = "causal"
    window: int | None = None
    softcap: float | None = None
    sink_logits: bool = False
    scale: float | None = None
    latent: bool = False

    def shard(self, tp: int) -> LayerGroup:
        """Return what one of ``tp`` devices computes.

        Query heads are divided; KV heads too, and each is held by several devices once there are
        more devices than KV heads.

        Raises:
            ProblemError: heads that do not divide.

        """
        if self.q_heads % tp:
            raise ProblemError(
                f"{self.q_heads} q_heads cannot be divided among tp {tp} devices", field="tp"
            )
        if max(self.kv_heads, tp) % min(self.kv_heads, tp):
            raise ProblemError(
                f"{self.kv_heads} kv_heads cannot be divided or repeated among tp {tp} devices",
                field="tp",
            )
        kv_heads = max(1, self.kv_heads // tp)
        return replace(self, q_heads=self.q_heads // tp, kv_heads=kv_heads)

    def fields(self, phase: str) -> dict[str, Any]:
        """Return the problem fields that this group gives.

        In decode a causal mask says nothing (one row sees the whole cache), and is left out.
        """
        given = {name: getattr(self, name) for name in GIVEN}
        mask = "none" if phase == "decode" and self.window is None else self.mask
        return {**{k: v for k, v in given.items() if v not in (None, False)}, "mask": mask}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A named list of layer groups.

    ``absorbed`` stands instead of ``groups`` in decode and in mixed batches: MLA computes there on
    the compressed cache itself. ``how`` says where head_dim comes from; ``left_out`` names layers
    that no problem can express, with the reason. ``dtype`` is what a config file names.
    """

    name: str
    groups: tuple[LayerGroup, ...]
    absorbed: tuple[LayerGroup, ...] = ()
    how: str = ""
    left_out: str = ""
    dtype: str | None = None

    def layer_groups(self, phase: str, tp: int = 1) -> tuple[LayerGroup, ...]:
        """Return what one of ``tp`` devices computes in this phase.

        Raises:
            ProblemError: heads that do not divide.

        """
        absorbed = self.absorbed and phase in ("decode", "mixed")
        return tuple(group.shard(tp) for group in (self.absorbed if absorbed else self.groups))

    @property
    def derived(self) -> str:
        """One line that says what was derived.

        ``llama-3-8b: 32 heads, 8 kv_heads, head_dim 128, full attention, 32 layers``.
        """
        if self.absorbed:
            shapes = [self._mla()]
        else:
            heads = dict.fromkeys(_heads(group) for group in self.groups)
            shapes = [f"{one}{self.how}" for one in heads]
        masks = [_mask(group, alone=len(self.groups) == 1) for group in self.groups]
        line = f"{self.name}: {', '.join(shapes)}, {', '.join(masks)}"
        return f"{line}; left out: {self.left_out}" if self.left_out else line

    def _mla(self) -> str:
        plain, latent = self.groups[0], self.absorbed[0]
        return (
            f"MLA with {plain.q_heads} heads, {plain.head_dim}→{plain.v_head_dim} over "
            f"{plain.kv_heads} kv_heads in prefill and extend, {latent.head_dim}→"
            f"{latent.v_head_dim} over one latent head in decode"
        )


def _heads(group: LayerGroup) -> str:
    dim = (
        f"{group.head_dim}" if group.v_head_dim is None else f"{group.head_dim}/{group.v_head_dim}"
    )
    words = [f"{group.q_heads} heads", f"{group.kv_heads} kv_heads", f"head_dim {dim}"]
    if group.softcap is not None:
        words.append(f"softcap {group.softcap:g}")
    if group.sink_logits:
        words.append("sink logits")
    if group.latent:
        words.append("V inside K")
    return ", ".join(words)


def _mask(group: LayerGroup, *, alone: bool) -> str:
    kind = {"causal": "full attention", "none": "no mask"}.get(group.mask, f"window {group.window}")
    if group.layers is None:
        return kind
    return f"{kind}, {group.layers} layers" if alone else f"{kind} in {group.layers} layers"


def mla(
    heads: int,
    layers: int | None,
    *,
    rank: int = 512,
    rope: int = 64,
    nope: int = 128,
    v_head_dim: int = 128,
) -> tuple[tuple[LayerGroup, ...], tuple[LayerGroup, ...]]:
    """Return both forms of multi-head latent attention: as written, and absorbed.

    Absorbed, every query head attends to one latent head of rank + rope channels whose first
    ``rank`` are the values; scores are scaled by the width that q and k had before.
    """
    written = LayerGroup(
        q_heads=heads,
        kv_heads=heads,
        head_dim=nope + rope,
        v_head_dim=v_head_dim,
        layers=layers,
    )
    absorbed = LayerGroup(
        q_heads=heads,
        kv_heads=1,
        head_dim=rank + rope,
        v_head_dim=rank,
        layers=layers,
        scale=1 / math.sqrt(nope + rope),
        latent=True,
    )
    return (written,), (absorbed,)
