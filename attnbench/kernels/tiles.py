# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN201, SIM108
# A kernel's parameters are Triton's to type; one kernel is one function, and its ifs are static.
"""Which tiles of keys a program walks over, and where the keys of a tile lie."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def shown_tiles(
    first, last, kv_len, window, sinks,
    BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr, WINDOW: tl.constexpr,
):  # fmt: skip
    """Tiles that rows standing at keys ``first`` to ``last`` see any key of.

    Returns (sink tiles, first tile, tiles in all): the walk is over ``sink tiles`` from 0 and then
    on from ``first tile``, so that one loop does both.
    """
    end = kv_len
    if CAUSAL:
        end = tl.maximum(tl.minimum(kv_len, last + 1), 0)
    stop = tl.cdiv(end, BLOCK_N)
    begin = 0
    n_sink = 0
    if WINDOW:
        begin = tl.minimum(tl.maximum(first - window + 1, 0) // BLOCK_N, stop)
        n_sink = tl.minimum(tl.cdiv(tl.minimum(sinks, end), BLOCK_N), begin)
    return n_sink, begin, n_sink + stop - begin


@triton.jit
def tile_at(step, n_sink, begin, WINDOW: tl.constexpr):
    """Return the tile of keys that a step of the walk is at."""
    if WINDOW:
        tile = tl.where(step < n_sink, step, step - n_sink + begin)
    else:
        tile = step + begin
    return tile


@triton.jit
def page_ids(table, start, key, kv_len, PAGE: tl.constexpr, BLOCK_N: tl.constexpr):
    """Pages of a tile's keys: one id where a page holds whole tiles, else one a key."""
    if PAGE % BLOCK_N == 0:
        pages = tl.load(table + tl.minimum(start, kv_len - 1) // PAGE)
    else:
        pages = tl.load(table + tl.minimum(key, kv_len - 1) // PAGE)
    return pages


@triton.jit
def offsets(
    pages, start, key, kv_len, stride_page, stride_token, PAGE: tl.constexpr
):  # fmt: skip
    """Where a tile's keys lie, in elements from the head's first; keys past the end are the last.

    Clamped addresses instead of masked loads: what is read is finite, its score is masked, and the
    loop is a sixth shorter. Within a tile 32 bits are enough; its start needs 64.
    """
    held = tl.minimum(key, kv_len - 1)
    if PAGE == 0:
        found = start.to(tl.int64) * stride_token + (held - start) * stride_token
    else:
        found = pages.to(tl.int64) * stride_page + (held % PAGE) * stride_token
    return found
