"""The layouts of a KV cache, made from plain tensors and read back to them.

What is written here is what a layout means: backends are handed caches that these functions made,
and the reference reads them back through these functions. Plain is ``[batch, kv_heads, kv_len,
dim]``, as ``plugin.Inputs`` has it; a step in any direction keeps every value::

    codes = quantise(k, "int4")                       # codes, scale and zero of each row
    cache = page(k, page_size=16, lens=[100, 37])     # pages, table, lens
    packed, cu_seqlens = pack([k_0, k_1])             # sequences one behind the other
"""

from __future__ import annotations

from attnbench.kv_cache.codes import TORCH_DTYPES, Codes, dequantise, quantise
from attnbench.kv_cache.packed import pack, unpack
from attnbench.kv_cache.pages import Pages, by_slot, page, page_table, slots_of, unpage

__all__ = [
    "TORCH_DTYPES",
    "Codes",
    "Pages",
    "by_slot",
    "dequantise",
    "pack",
    "page",
    "page_table",
    "quantise",
    "slots_of",
    "unpack",
    "unpage",
]
