"""A model as groups of layers whose attention is the same, and the table of named models."""

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


# The named head layouts: what the benchmarks of other projects use, head dims written out.
# head_dim is never computed from the hidden size: that is wrong for Gemma, Qwen3, gpt-oss and MLA.
# Sources: flash-attention hopper/benchmark_split_kv.py, aiter utils/model_configs.json, vLLM
# attention_benchmarks, cudnn-frontend attention_{training,inference}/configs, xFormers
# benchmark_mem_eff_attention.py, FlashInfer benchmarks, and the models' own config.json.


def full(q_heads: int, kv_heads: int, head_dim: int, layers: int | None) -> tuple[LayerGroup, ...]:
    """Causal layers that see every earlier token."""
    return (LayerGroup(q_heads=q_heads, kv_heads=kv_heads, head_dim=head_dim, layers=layers),)


def both_ways(heads: int, head_dim: int, layers: int | None) -> tuple[LayerGroup, ...]:
    """Layers without a mask, as image and video models have."""
    return (
        LayerGroup(q_heads=heads, kv_heads=heads, head_dim=head_dim, layers=layers, mask="none"),
    )


def gemma_2(
    q_heads: int, kv_heads: int, head_dim: int, layers: int, scale: float | None = None
) -> tuple[LayerGroup, ...]:
    """Half the layers see 4096 tokens, half all; scores are capped at 50."""
    window, every = (
        LayerGroup(
            q_heads=q_heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            layers=layers // 2,
            mask=mask,
            window=4096 if mask == "window" else None,
            softcap=50.0,
            scale=scale,
        )
        for mask in ("window", "causal")
    )
    return window, every


def gpt_oss(layers: int) -> tuple[LayerGroup, ...]:
    """Half the layers see 128 tokens, half all; each head has a learned sink."""
    window, every = (
        LayerGroup(
            q_heads=64,
            kv_heads=8,
            head_dim=64,
            layers=layers // 2,
            mask=mask,
            window=128 if mask == "window" else None,
            sink_logits=True,
        )
        for mask in ("window", "causal")
    )
    return window, every


def shared_kv(q_heads: int) -> tuple[LayerGroup, ...]:
    """DeepSeek-V4's dense core: one KV head of 512 that is key and value at once."""
    return (
        LayerGroup(
            q_heads=q_heads, kv_heads=1, head_dim=512, v_head_dim=512, layers=None, latent=True
        ),
    )


_GEMMA_4_LIKE = (
    LayerGroup(q_heads=32, kv_heads=16, head_dim=256, layers=None, mask="window", window=1024),
)
_CHUNKED = "36 of 48 layers (chunked attention over 8192 tokens is no mask here)"
_QWEN_LINEAR = "45 of 60 layers (gated delta net)"
_KIMI_LINEAR = "69 of 93 layers (linear attention)"
_SPARSE = "the compressed pools and the window branch beside this dense core"

# What each row says, in this order: q_heads, kv_heads, head_dim, layers.
_PLAIN: dict[str, tuple[int, int, int, int | None]] = {
    "gpt-2": (12, 12, 64, 12),
    "llama-2-7b": (32, 32, 128, 32),
    "llama-3-8b": (32, 8, 128, 32),
    "llama-3-70b": (64, 8, 128, 80),
    "llama-3.1-8b": (32, 8, 128, 32),
    "llama-3.1-70b": (64, 8, 128, 80),
    "llama-3.1-405b": (128, 8, 128, 126),
    "llama-3.2-1b": (32, 8, 64, 16),
    "llama-3.2-3b": (24, 8, 128, 28),
    "mistral-7b": (32, 8, 128, 32),
    "mixtral-8x7b": (32, 8, 128, 32),
    "mixtral-8x22b": (48, 8, 128, 56),
    "mistral-large": (96, 8, 128, 88),
    "qwen2.5-0.5b": (14, 2, 64, 24),
    "qwen2.5-1.5b": (12, 2, 128, 28),
    "qwen2.5-7b": (28, 4, 128, 28),
    "qwen3-30b-a3b": (32, 4, 128, 48),
    "phi-3-mini": (32, 32, 96, 32),
    "falcon-7b": (71, 1, 64, 32),
    "falcon-7b-like": (16, 1, 64, None),  # vLLM's stand-in: 71 heads divide by nothing
    "nemotron-4-15b": (48, 8, 128, 32),
    "glm-4.7": (96, 8, 128, 92),
}
# What each row says: heads, layers, what is left out. Rank 512, rope 64, nope 128, v 128.
_MLA: dict[str, tuple[int, int, str]] = {
    "deepseek-v2": (128, 60, ""),
    "deepseek-v3": (128, 61, ""),
    "deepseek-r1": (128, 61, ""),
    "kimi-k2": (64, 61, ""),
    "kimi-k3": (96, 24, _KIMI_LINEAR),
}
# What each row says: layer groups, what is left out.
_OTHER: dict[str, tuple[tuple[LayerGroup, ...], str]] = {
    "llama-4-maverick": (full(40, 8, 128, 12), _CHUNKED),
    "qwen3.5-397b-a17b": (full(32, 2, 256, 15), _QWEN_LINEAR),
    "gemma-2-2b": (gemma_2(8, 4, 256, 26), ""),
    "gemma-2-9b": (gemma_2(16, 8, 256, 42), ""),
    "gemma-2-27b": (gemma_2(32, 16, 128, 46, scale=1 / 12), ""),  # 1/sqrt(4608 / 32)
    "gemma-4-like": (_GEMMA_4_LIKE, ""),  # the one shape of aiter's issue 5662
    "gpt-oss-20b": (gpt_oss(24), ""),
    "gpt-oss-120b": (gpt_oss(36), ""),
    "deepseek-v4-flash": (shared_kv(64), _SPARSE),
    "deepseek-v4-pro": (shared_kv(128), _SPARSE),
    "vit-b": (both_ways(12, 64, 12), ""),  # 197 tokens at 224 x 224
    "stable-diffusion": (both_ways(16, 40, None), ""),  # 4096 and 16384 tokens, as xFormers has it
    "wan-2.2-a14b": (both_ways(40, 128, 40), ""),  # 32760 tokens: 81 frames at 480p
    "ltx-2": (both_ways(32, 128, 48), ""),
}


def _latent(name: str) -> Model:
    heads, layers, left_out = _MLA[name]
    groups, absorbed = mla(heads, layers)
    return Model(name=name, groups=groups, absorbed=absorbed, left_out=left_out)


MODELS: dict[str, Model] = {
    **{name: Model(name=name, groups=full(*row)) for name, row in _PLAIN.items()},
    **{name: _latent(name) for name in _MLA},
    **{
        name: Model(name=name, groups=groups, left_out=left_out)
        for name, (groups, left_out) in _OTHER.items()
    },
}
