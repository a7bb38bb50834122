"""flash-attn 3: the hopper folder's flash_attn_interface.py, and what flash_api.cpp demands."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import torch

LIBRARY, NAME = "flash_attn_3", "flash_attn_interface"


def module(standins, older):
    """The module; it takes masks and caches from ``older``, the stand-in of flash-attn 2."""
    entries = {"func": dense, "varlen_func": varlen, "with_kvcache": with_kvcache}
    made = {
        f"flash_attn_{name}": standins.strict(
            LIBRARY, f"{NAME}.flash_attn_{name}", partial(entry, standins, older)
        )
        for name, entry in entries.items()
    }
    return standins.module(NAME, **made)


def scores(given):
    left, right = given.window_size
    return {"left": left, "right": 0 if given.causal else right, "softcap": given.softcap}


def dense(standins, older, given):
    """At the recorded version o alone."""
    del older
    standins.last_axis_is_dense(given.q, given.k, given.v)
    return standins.batched(given.q, given.k, given.v, given.softmax_scale, **scores(given))[0]


def varlen(standins, older, given):
    del older
    standins.last_axis_is_dense(given.q, given.k, given.v)
    ends = given.cu_seqlens_q, given.cu_seqlens_k
    return standins.packed(given.q, given.k, given.v, given.softmax_scale, *ends, **scores(given))[
        0
    ]


def with_kvcache(standins, older, given):
    """With qv, (batch, seqlen, nheads, headdim_v): scores are q·k + qv·v.

    Packed rows come with cu_seqlens_q and max_seqlen_q; "page_block_size can be arbitrary".
    """
    standins.last_axis_is_dense(given.q, given.k_cache, given.v_cache, given.qv)
    assert (given.cu_seqlens_q is None) == (given.max_seqlen_q is None)
    given = SimpleNamespace(**vars(given), alibi_slopes=None)
    q, k = given.q, given.k_cache
    if given.qv is not None:
        assert q.shape[-1] <= 64
        given.q = torch.cat((q, given.qv), -1)
        given.k_cache = torch.cat((k, given.v_cache), -1)
    lengths = given.cache_seqlens
    if lengths is None:
        lengths = torch.full((len(given.q),), k.shape[1])
    ends = given.cu_seqlens_q
    found = []
    for row, length in enumerate(int(one) for one in lengths):
        rows = None if ends is None else given.q[int(ends[row]) : int(ends[row + 1])]
        found.append(older.sequence(standins, given, row, length, rows))
    if ends is None:
        o, lse = (torch.stack(part) for part in zip(*found, strict=True))
    else:
        o, lse = torch.cat([one for one, _ in found]), torch.cat([one for _, one in found], -1)
    # Split partial results come after lse.
    return (o, lse, None, None) if given.return_softmax_lse else o
