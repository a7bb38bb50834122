"""flash-attn 2: what its flash_attn_interface.py documents and csrc/flash_attn demands."""

from __future__ import annotations

import math
from functools import partial

import torch

LIBRARY = "flash_attn"


def module(standins):
    """The package, its three entries behind their recorded signatures."""
    entries = {"func": dense, "varlen_func": varlen, "with_kvcache": with_kvcache}
    made = {
        f"flash_attn_{name}": standins.strict(
            LIBRARY, f"flash_attn.flash_attn_{name}", partial(entry, standins)
        )
        for name, entry in entries.items()
    }
    return standins.module("flash_attn", **made)


def scores(given):
    """window_size: keys in [i + n - m - left, i + n - m + right]; causal makes right 0."""
    left, right = given.window_size
    return {
        "left": left,
        "right": 0 if given.causal else right,
        "softcap": given.softcap,
        "slopes": given.alibi_slopes,
    }


def demand(standins, given, q, k, v):
    """flash_api.cpp, mha_fwd: dense last axis, one head dim for all, a multiple of 8."""
    standins.last_axis_is_dense(q, k, v)
    assert q.shape[-1] == k.shape[-1] == v.shape[-1]
    assert q.shape[-1] % 8 == 0
    assert isinstance(given.softmax_scale, float)


def infinite(lse):
    """softmax.h: a row without a key has an lse of +inf, so that a backward gives it nothing."""
    return torch.where(lse.isneginf(), math.inf, lse)


def dense(standins, given):
    """Lse is ``(batch_size, nheads, seqlen)``, with return_attn_probs."""
    demand(standins, given, given.q, given.k, given.v)
    o, lse = standins.batched(given.q, given.k, given.v, given.softmax_scale, **scores(given))
    return (o, infinite(lse), None) if given.return_attn_probs else o


def varlen(standins, given):
    """Lse is ``(nheads, total_q_seqlen)``; pages are a multiple of 256."""
    demand(standins, given, given.q, given.k, given.v)
    k, v, ends = given.k, given.v, given.cu_seqlens_k
    assert ends.dtype == given.cu_seqlens_q.dtype == torch.int32
    if given.block_table is not None:
        assert given.k.shape[1] % 256 == 0
        lengths = ends.diff()
        k, v = (torch.cat(standins.gathered(one, given.block_table, lengths)) for one in (k, v))
    o, lse = standins.packed(
        given.q, k, v, given.softmax_scale, given.cu_seqlens_q, ends, **scores(given)
    )
    return (o, infinite(lse), None) if given.return_attn_probs else o


def with_kvcache(standins, given):
    """New k and v are written "starting at the indices specified by cache_seqlens"."""
    demand(standins, given, given.q, given.k_cache, given.v_cache)
    assert given.block_table is None or given.k_cache.shape[1] % 256 == 0
    table = given.block_table
    if given.rotary_cos is not None:
        slots = given.k_cache.shape[1] * (1 if table is None else table.shape[1])
        assert given.rotary_cos.dtype == given.q.dtype
        assert len(given.rotary_cos) >= slots
    lengths = given.cache_seqlens
    if lengths is None:
        lengths = torch.full((len(given.q),), given.k_cache.shape[1])
    found = [
        sequence(standins, given, row, int(length), None) for row, length in enumerate(lengths)
    ]
    o, lse = (torch.stack(part) for part in zip(*found, strict=True))
    return (o, infinite(lse)) if given.return_softmax_lse else o


def sequence(standins, given, row, length, rows):
    """One sequence of a cache: append, turn, attend."""
    table = getattr(given, "block_table", None)
    if table is None:
        table = getattr(given, "page_table", None)
    rows = given.q[row] if rows is None else rows
    total = length
    if given.k is not None:
        total += given.k.shape[1]
        rows, new = turned(standins, given, row, length, rows)
        for at, (one, other) in enumerate(zip(new, given.v[row], strict=True), length):
            page, slot = divmod(at, given.k_cache.shape[1])
            place = row if table is None else int(table[row, page])
            given.k_cache[place, slot], given.v_cache[place, slot] = one, other
    if table is None:
        k, v = given.k_cache[row, :total], given.v_cache[row, :total]
    else:
        k, v = (
            standins.gathered(one, table[row : row + 1], [total])[0]
            for one in (given.k_cache, given.v_cache)
        )
    return standins.attend(rows, k, v, given.softmax_scale, **scores(given))


def turned(standins, given, row, length, rows):
    """Turn new rows, and q "at indices cache_seqlens, cache_seqlens + 1" if causal or local.

    Otherwise it is turned "at indices cache_seqlens only".
    """
    new = given.k[row]
    if given.rotary_cos is None:
        return rows, new
    turn = partial(
        standins.rotated,
        cos=given.rotary_cos,
        sin=given.rotary_sin,
        start=length,
        interleaved=given.rotary_interleaved,
    )
    if given.causal or tuple(given.window_size) != (-1, -1):
        return turn(rows), turn(new)
    return torch.cat([turn(one[None]) for one in rows]), turn(new)
