"""flash-attn-4: flash_attn/cute/interface.py, its docstrings and asserts."""

from __future__ import annotations

from functools import partial

import torch

LIBRARY, NAME = "flash_attn_4", "flash_attn.cute"


def modules(standins):
    """The package flash_attn.cute, inside a flash_attn without anything else."""
    made = {
        f"flash_attn_{name}": standins.strict(
            LIBRARY, f"{NAME}.flash_attn_{name}", partial(entry, standins)
        )
        for name, entry in {"func": dense, "varlen_func": varlen}.items()
    }
    cute = standins.module(NAME, **made)
    return {"flash_attn": standins.module("flash_attn", cute=cute), NAME: cute}


def scores(given):
    """_resolve_causal_local_window: None is unbounded; causal makes right 0."""
    left, right = (-1 if one is None else one for one in given.window_size)
    return {
        "left": left,
        "right": 0 if given.causal else right,
        "softcap": given.softcap,
        "sink": given.learnable_sink,
    }


def whole(given):
    """qv: "O = softmax(scale * (Q @ K.T + Qv @ V.T)) @ V where Q = q_pe, Qv = q_nope"."""
    if given.qv is None:
        return given.q, given.k
    assert (given.q.shape[-1], given.v.shape[-1]) == (64, 512)
    return torch.cat((given.q, given.qv), -1), torch.cat((given.k, given.v), -1)


def dense(standins, given):
    """Lse is (batch, nheads, seqlen_q), with qv (batch, seqlen_q, nheads)."""
    standins.last_axis_is_dense(given.q, given.k, given.v)
    q, k = whole(given)
    o, lse = standins.batched(q, k, given.v, given.softmax_scale, **scores(given))
    return o, laid(given, lse)


def varlen(standins, given):
    """Rows are packed, or (batch, seqlen_q, …) without cu_seqlens_q; keys packed or in pages."""
    standins.last_axis_is_dense(given.q, given.k, given.v)
    q, k = whole(given)
    v = given.v
    if given.page_table is not None:
        assert given.cu_seqlens_k is None
        assert given.seqused_k.dtype == torch.int32
        keys, values = (standins.gathered(one, given.page_table, given.seqused_k) for one in (k, v))
        ends = torch.nn.functional.pad(given.seqused_k, (1, 0)).cumsum(0)
        k, v = torch.cat(keys), torch.cat(values)
    else:
        ends = given.cu_seqlens_k
    q_ends = given.cu_seqlens_q
    if q_ends is not None:
        o, lse = standins.packed(q, k, v, given.softmax_scale, q_ends, ends, **scores(given))
        return o, laid(given, lse)
    q_ends = range(0, q.shape[0] * q.shape[1] + 1, q.shape[1])
    o, lse = standins.packed(
        q.flatten(0, 1), k, v, given.softmax_scale, q_ends, ends, **scores(given)
    )
    o, lse = o.unflatten(0, q.shape[:2]), lse.unflatten(1, q.shape[:2]).transpose(0, 1)
    return o, laid(given, lse)


def laid(given, lse):
    """With qv the heads are the last axis, "for better vectorization"."""
    if not given.return_lse:
        return None
    return lse if given.qv is None else lse.transpose(-1, -2)
