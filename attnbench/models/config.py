"""From the config.json of a Hugging Face model to layer groups; raw JSON, nothing is fetched.

``transformers`` is not asked on purpose: its attribute map renames MLA's keys, and what is derived
here must not change with a library.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from attnbench.errors import InputError
from attnbench.models.layers import LayerGroup, Model, mla

_HEADS = ("num_attention_heads", "n_head", "n_heads")
_KV_HEADS = (
    *("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num"),
    "num_attention_groups",
)
_HEAD_DIM = ("head_dim", "hidden_size_per_head", "kv_channels")
_HIDDEN = ("hidden_size", "n_embd", "d_model")
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
_NO_MASK = "cannot be expressed as a problem"


def from_config(path: Path) -> Model:
    """Read a config.json.

    Raises:
        InputError: no such file, no JSON object, or a key without which nothing can be derived.

    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"cannot read the model config {path}: {reason}") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}") from error
    if isinstance(facts, dict) and isinstance(facts.get("text_config"), dict):
        facts = facts["text_config"]
    if not isinstance(facts, dict):
        raise InputError(f"{path} is no model config: it holds no JSON object")
    return _Config(facts, path).model()


class _Config:
    """The keys of one config file, under the names that its family gave them."""

    def __init__(self, facts: Mapping[str, Any], path: Path) -> None:
        self.facts = facts
        self.path = path

    def model(self) -> Model:
        name = self.path.stem
        if name == "config":
            name = self.path.resolve().parent.name or name
        dtype = self.facts.get("torch_dtype", self.facts.get("dtype"))
        kinds, left_out = self.layer_kinds()
        found = Model(
            name=name,
            groups=(),
            left_out=left_out,
            dtype=_DTYPES.get(dtype.removeprefix("torch.")) if isinstance(dtype, str) else None,
        )
        if self.number("kv_lora_rank") is not None:
            groups, absorbed = self.latent(sum(kinds.values()))
            return replace(found, groups=groups, absorbed=absorbed)
        if not kinds:
            raise InputError(f"{self.path}: no layer can be derived: {left_out}")
        groups = tuple(self.group(kind, layers) for kind, layers in kinds.items())
        computed = all(self.number(key) is None for key in _HEAD_DIM)
        return replace(found, groups=groups, how=" (hidden_size/heads)" if computed else "")

    def latent(self, layers: int) -> tuple[tuple[LayerGroup, ...], tuple[LayerGroup, ...]]:
        """Both forms of MLA; num_key_value_heads says nothing there."""
        return mla(
            self.need(_HEADS),
            layers,
            rank=self.need(("kv_lora_rank",)),
            rope=self.need(("qk_rope_head_dim",)),
            nope=self.need(("qk_nope_head_dim",)),
            v_head_dim=self.need(("v_head_dim",)),
        )

    def group(self, kind: str, layers: int) -> LayerGroup:
        """One shape; Gemma 4's full layers have heads and dims of their own."""
        q_heads, head_dim = self.need(_HEADS), self.head_dim()
        kv_heads = self.kv_heads(q_heads)
        if kind == "full" and self.number("sliding_window") is not None:
            head_dim = self.number("global_head_dim") or head_dim
            kv_heads = self.number("num_global_key_value_heads") or kv_heads
        scale = self.scale()
        return LayerGroup(
            q_heads=q_heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            layers=layers,
            mask="window" if kind == "sliding" else "causal",
            window=self.number("sliding_window") if kind == "sliding" else None,
            softcap=self.real("attn_logit_softcapping"),
            sink_logits=self.facts.get("model_type") == "gpt_oss",
            scale=None if scale is None or math.isclose(scale, head_dim**-0.5) else scale,
        )

    def layer_kinds(self) -> tuple[dict[str, int], str]:
        """Count the layers by kind, and say which cannot be derived."""
        counts = Counter(self.kind_of_each())
        kinds = {kind: counts[kind] for kind in ("sliding", "full") if counts[kind]}
        left_out = [
            f"{count} of {counts.total()} layers ({kind} {_NO_MASK})"
            for kind, count in sorted(counts.items())
            if kind not in kinds
        ]
        return kinds, ", ".join(left_out)

    def kind_of_each(self) -> list[str]:
        """Say of every layer which kind it is, by whichever keys the family uses."""
        layers, window = self.need(_LAYERS), self.number("sliding_window")
        if self.facts.get("use_sliding_window") is False:
            window = None
        types = self.facts.get("layer_types")
        if isinstance(types, list) and types:
            return [self.kind(str(one), window) for one in types]
        if self.number("attention_chunk_size") is not None:
            return _every(self.number("no_rope_layer_interval") or 4, "chunked attention", layers)
        if (interval := self.number("full_attention_interval")) is not None:
            return _every(interval, "linear attention", layers)
        return ["full"] * layers if window is None else self.sliding_kinds(layers)

    def sliding_kinds(self, layers: int) -> list[str]:
        """Say which layers have the window, in families that do not list them."""
        pattern = self.number("sliding_window_pattern") or self.number("_sliding_window_pattern")
        if pattern is not None:
            return _every(pattern, "sliding", layers)
        if self.facts.get("model_type") in ("gemma2", "gpt_oss"):
            return _every(2, "sliding", layers)
        if self.facts.get("use_sliding_window"):
            # Qwen2: the first max_window_layers see everything.
            first = min(layers, self.number("max_window_layers") or 0)
            return ["full"] * first + ["sliding"] * (layers - first)
        return ["sliding"] * layers

    def kind(self, layer_type: str, window: int | None) -> str:
        if layer_type == "sliding_attention":
            return "sliding" if window is not None else "full"
        if layer_type in ("full_attention", "attention", "global_attention"):
            return "full"
        return layer_type.replace("_", " ")

    def kv_heads(self, q_heads: int) -> int:
        given = next(filter(None, (self.number(key) for key in _KV_HEADS)), None)
        if self.facts.get("multi_query") is True and not self.facts.get("new_decoder_architecture"):
            return 1  # Falcon: num_kv_heads says something else there
        return given if given is not None else q_heads

    def head_dim(self) -> int:
        for key in _HEAD_DIM:
            if (given := self.number(key)) is not None:
                return given
        heads, hidden = self.need(_HEADS), self.need(_HIDDEN)
        if hidden % heads:
            raise InputError(
                f"{self.path}: no head_dim, and hidden_size {hidden} does not divide by {heads}"
            )
        return hidden // heads

    def scale(self) -> float | None:
        if (multiplier := self.real("attention_multiplier")) is not None:
            return multiplier
        scalar = self.real("query_pre_attn_scalar")
        return None if scalar is None else scalar**-0.5

    def number(self, key: str) -> int | None:
        """A whole number above 0; null and 0 occur and mean "not given"."""
        value = self.facts.get(key)
        return value if type(value) is int and value > 0 else None

    def real(self, key: str) -> float | None:
        value = self.facts.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            return None
        return float(value)

    def need(self, keys: tuple[str, ...]) -> int:
        value = next(filter(None, (self.number(key) for key in keys)), None)
        if value is None:
            raise InputError(f"{self.path} has no {keys[0]}: is it the config.json of a model?")
        return value


def _every(interval: int, other: str, layers: int) -> list[str]:
    """Every ``interval``-th layer sees everything, the rest are of the other kind."""
    return ["full" if (index + 1) % interval == 0 else other for index in range(layers)]
