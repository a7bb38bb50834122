"""The layouts of a KV cache: made from plain tensors, and read back to them.

These functions define what each layout means: backends receive caches that they made, and the
reference reads the caches back through them. A plain tensor is ``[batch, kv_heads, kv_len, dim]``,
as in ``plugin.Inputs``; converting in any direction keeps every value::

    quantized = quantize(k, "int4")                   # values, scale and zero of each row
    cache = page(k, page_size=16, lens=[100, 37])     # pages, table, lens
    packed, cu_seqlens = pack([k_0, k_1])             # sequences one after another
"""

from __future__ import annotations

from attnbench.kv_cache.layouts import (
    Pages,
    by_slot,
    lengths_before,
    pack,
    page,
    page_table,
    rope_tables_by_slot,
    slots_of,
    unpack,
    unpage,
)
from attnbench.kv_cache.quantization import TORCH_DTYPES, Quantized, dequantize, quantize

__all__ = [
    "TORCH_DTYPES",
    "Pages",
    "Quantized",
    "by_slot",
    "dequantize",
    "lengths_before",
    "pack",
    "page",
    "page_table",
    "quantize",
    "rope_tables_by_slot",
    "slots_of",
    "unpack",
    "unpage",
]
