"""FlashInfer: what the docstrings of its wrappers document (decode.py, prefill.py, mla/)."""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch

LIBRARY = "flashinfer"
WORKSPACE = 128 * 1024 * 1024


def modules(standins):
    """The package and its mla, every method behind its recorded signature."""
    made = {name: wrapper(standins, name, cls) for name, cls in WRAPPERS.items()}
    mla_name = "BatchMLAPagedAttentionWrapper"
    metadata = standins.strict(LIBRARY, "flashinfer.mla.MLAPlanMetadata.csr", lambda given: given)
    mla = standins.module(
        "flashinfer.mla",
        **{
            mla_name: wrapper(standins, f"mla.{mla_name}", Latent),
            "MLAPlanMetadata": SimpleNamespace(csr=metadata),
        },
    )
    return {"flashinfer": standins.module("flashinfer", mla=mla, **made), "flashinfer.mla": mla}


def wrapper(standins, name, cls):
    """A class whose constructor, plan and run refuse what the library does not know."""

    def make(*args, **kwargs):
        built = cls(standins)
        standins.strict(LIBRARY, f"flashinfer.{name}", built.start)(*args, **kwargs)
        for method in ("plan", "run"):
            whole = f"flashinfer.{name}.{method}"
            setattr(built, method, standins.strict(LIBRARY, whole, getattr(built, method)))
        return built

    return make


class Wrapper:
    """The recommended size is 128MB; plan comes before run."""

    def __init__(self, standins):
        self.standins = standins

    def start(self, given):
        assert given.float_workspace_buffer.numel() >= WORKSPACE
        assert given.float_workspace_buffer.dtype == torch.uint8
        self.made = given

    def plan(self, given):
        self.planned = given

    def scores(self):
        """window_left is inclusive: kv + qo_len + window_left >= kv_len + qo (variants.cuh)."""
        left = self.planned.window_left
        return {"left": left, "softcap": self.planned.logits_soft_cap or 0.0}

    def nhd(self, pages):
        """HND pages are ``[pages, heads, size, dim]``."""
        return pages if self.made.kv_layout == "NHD" else pages.transpose(1, 2)

    def keys(self, pages, starts, indices, last_lengths):
        """1 <= kv_last_page_len <= page_size; page numbers one sequence after another."""
        found = []
        for row, last in enumerate(int(one) for one in last_lengths):
            assert 1 <= last <= pages.shape[1]
            numbers = indices[int(starts[row]) : int(starts[row + 1])].long()
            length = (len(numbers) - 1) * pages.shape[1] + last
            found.append(pages[numbers].flatten(0, 1)[:length])
        return found


def returned(given, o, lse):
    """Lse is ``[rows, heads]``, of base 2 unless lse_base says "ln"."""
    if not given.return_lse:
        return o
    base = getattr(given, "lse_base", "log2")
    assert base in ("log2", "ln")
    return o, lse.transpose(0, 1) * (1 if base == "ln" else 1 / math.log(2))


class Decode(Wrapper):
    """Q is ``[batch, num_qo_heads, head_dim]``."""

    def run(self, given):
        plan = self.planned
        assert given.q.dtype == plan.q_data_type
        assert given.q.shape[1:] == (plan.num_qo_heads, plan.head_dim)
        k, v = (self.nhd(one) for one in given.paged_kv_cache)
        assert k.shape[1:] == (plan.page_size, plan.num_kv_heads, plan.head_dim)
        tables = (plan.indptr, plan.indices, plan.last_page_len)
        keys, values = (self.keys(one, *tables) for one in (k, v))
        found = [
            self.standins.attend(q[None], *kv, plan.sm_scale, **self.scores())
            for q, *kv in zip(given.q, keys, values, strict=True)
        ]
        o, lse = torch.cat([one for one, _ in found]), torch.cat([one for _, one in found], -1)
        return returned(given, o, lse)


class Prefill(Wrapper):
    """Q is packed, ``[qo_indptr[-1], num_qo_heads, head_dim]``; causal is bottom-right."""

    def run(self, given):
        plan = self.planned
        k, v = (self.nhd(one) for one in given.paged_kv_cache)
        tables = (plan.paged_kv_indptr, plan.paged_kv_indices, plan.paged_kv_last_page_len)
        keys, values = (self.keys(one, *tables) for one in (k, v))
        assert k.shape[1] == plan.page_size
        ends = [0]
        for one in keys:
            ends.append(ends[-1] + len(one))
        return self.attend(given, torch.cat(keys), torch.cat(values), ends)

    def attend(self, given, k, v, ends):
        plan = self.planned
        assert given.q.shape == (int(plan.qo_indptr[-1]), plan.num_qo_heads, plan.head_dim_qk)
        assert v.shape[-1] == (plan.head_dim_vo or plan.head_dim_qk)
        right = 0 if plan.causal else -1
        more = {**self.scores(), "right": right}
        o, lse = self.standins.packed(given.q, k, v, plan.sm_scale, plan.qo_indptr, ends, **more)
        return returned(given, o, lse)


class Ragged(Prefill):
    """K is ``[kv_indptr[-1], num_kv_heads, head_dim]``."""

    def run(self, given):
        assert len(given.k) == len(given.v) == int(self.planned.kv_indptr[-1])
        return self.attend(given, given.k, given.v, self.planned.kv_indptr)


class Latent(Wrapper):
    """Split query and cache: 512 columns that are K and V, 64 beside them; CSR metadata."""

    def run(self, given):
        plan = self.planned
        assert (plan.query_layout, plan.kv_cache_layout) == ("split", "split")
        assert given.return_lse == (plan.lse_mode != "none")
        assert given.return_lse_base_on_e == (plan.lse_mode == "basee")
        q, pages = (torch.cat(one, -1) for one in (given.query, given.kv_cache))
        assert pages.shape[1:] == (plan.page_size, plan.head_dim_ckv + plan.head_dim_kpe)
        facts = plan.metadata
        last = [(int(one) - 1) % plan.page_size + 1 for one in facts.kv_len_arr]
        keys = self.keys(pages, facts.kv_indptr, facts.kv_indices, last)
        assert [len(one) for one in keys] == facts.kv_len_arr.tolist()
        ends = [0]
        for one in keys:
            ends.append(ends[-1] + len(one))
        k = torch.cat(keys).unsqueeze(1)
        v = k[..., : plan.head_dim_ckv]
        right = 0 if plan.causal else -1
        o, lse = self.standins.packed(q, k, v, plan.sm_scale, facts.qo_indptr, ends, right=right)
        return (o, lse.transpose(0, 1)) if given.return_lse else o


WRAPPERS = {
    "BatchDecodeWithPagedKVCacheWrapper": Decode,
    "BatchPrefillWithPagedKVCacheWrapper": Prefill,
    "BatchPrefillWithRaggedKVCacheWrapper": Ragged,
}
