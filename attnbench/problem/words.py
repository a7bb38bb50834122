"""The fields of a problem: the words each may hold, and what one is where it is not given."""

from __future__ import annotations

from typing import Any

MODES = ("fwd", "bwd", "fwd_bwd")
PHASES = ("prefill", "decode", "extend", "mixed")
# Bits an element takes in memory; tf32 is fp32 storage whose products are rounded.
DTYPE_BITS = {
    "fp32": 32,
    "tf32": 32,
    "fp16": 16,
    "bf16": 16,
    "fp8_e4m3": 8,
    "fp8_e5m2": 8,
    "int8": 8,
    "int4": 4,
}
DTYPES = ("fp32", "tf32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2")
KV_DTYPES = (*DTYPES, "int8", "int4")
MASKS = ("none", "causal", "window")
MASK_ALIGNS = ("bottom_right", "top_left")

# What a field may say, where that is one word of a few.
CHOICES: dict[str, tuple[str, ...]] = {
    "mode": MODES,
    "dtype": DTYPES,
    "kv_dtype": KV_DTYPES,
    "mask": MASKS,
    "mask_align": MASK_ALIGNS,
    "bias": ("none", "alibi"),
    "rope": ("none", "neox", "gptj"),
    "attention": ("softmax", "linear", "additive", "block_sparse", "layer"),
    "feature": ("elu1", "identity"),
    "pattern": ("random", "local_global"),
    "kv_layout": ("contiguous", "paged"),
    "page_order": ("identity", "shuffled"),
    "page_format": ("nhd", "hnd"),
    "input_dist": ("normal", "uniform", "zeros", "outliers"),
}
# Fields that are what another one is, where they are not given.
SAME_AS = {"kv_len": "q_len", "kv_heads": "q_heads", "v_head_dim": "head_dim", "kv_dtype": "dtype"}
# Fields that mean something only where another field has a certain value, with their default there.
DEPENDENT: dict[str, tuple[str, str, Any]] = {
    "rope_base": ("rope", "neox gptj", 10000),
    "rope_dim": ("rope", "neox gptj", None),
    "feature": ("attention", "linear", "elu1"),
    "chunk": ("attention", "linear", 64),
    "additive_dim": ("attention", "additive", 64),
    "block": ("attention", "block_sparse", 128),
    "density": ("attention", "block_sparse", 0.25),
    "pattern": ("attention", "block_sparse", "random"),
    "page_size": ("kv_layout", "paged", 16),
    "page_order": ("kv_layout", "paged", "shuffled"),
    "page_format": ("kv_layout", "paged", "nhd"),
}
POSITIVE = (
    *("batch", "q_len", "kv_len", "q_heads", "kv_heads", "head_dim", "v_head_dim", "window"),
    *("rope_dim", "chunk", "additive_dim", "block", "page_size"),
)
NOT_NEGATIVE = ("sinks", "append", "seed")
POSITIVE_NUMBERS = ("softcap", "scale", "rope_base", "density")
FLAGS = ("sink_logits", "latent")
REQUIRED = ("q_heads", "head_dim", "dtype")
