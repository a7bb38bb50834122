"""Stand-ins for the libraries that adapters call, which need CUDA: plain torch behind their names.

Each has the signatures of the committed record, so that a keyword which the library does not know
is a TypeError here too, and follows what the library documents. What is cited stands in the file
that the record names, at the version of the record. They prove what an adapter hands over: layouts,
alignment, windows, scales, bases of lse, page tables. They prove nothing of the library itself.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import math
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch

ROOT = Path(__file__).parents[3]
RECORDS = ROOT / "adapters"
KINDS = {
    "positional_or_keyword": inspect.Parameter.POSITIONAL_OR_KEYWORD,
    "keyword_only": inspect.Parameter.KEYWORD_ONLY,
    "var_positional": inspect.Parameter.VAR_POSITIONAL,
    "var_keyword": inspect.Parameter.VAR_KEYWORD,
}


def record_of(library):
    """The committed record of a library."""
    (path,) = RECORDS.glob(f"{library}-[0-9]*.json")
    return json.loads(path.read_text(encoding="utf-8"))


def signature(parameters):
    """A signature that binds as the library's function does; defaults are literals where it can."""
    made = []
    for one in parameters:
        default = inspect.Parameter.empty
        if "default" in one:
            try:
                default = ast.literal_eval(one["default"])
            except ValueError:
                default = one["default"]  # an enum's member, by its text
        made.append(inspect.Parameter(one["name"], KINDS[one["kind"]], default=default))
    # pybind11 writes required parameters behind optional ones; by keyword that is no matter.
    if any(
        a.default is not a.empty and b.default is b.empty and b.kind == a.kind
        for a, b in itertools.pairwise(made)
    ):
        made = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in made]
    return inspect.Signature(made)


def strict(library, name, function):
    """``function`` behind the recorded signature of ``name``; it gets every parameter at once."""
    bound_by = signature(record_of(library)["callables"][name]["parameters"])

    def called(*args, **kwargs):
        bound = bound_by.bind(*args, **kwargs)
        bound.apply_defaults()
        return function(SimpleNamespace(**bound.arguments))

    return called


def module(name, **contents):
    made = ModuleType(name)
    vars(made).update(contents)
    return made


def attend(q, k, v, scale, *, left=-1, right=-1, softcap=0.0, slopes=None, sink=None, offset=None):  # noqa: PLR0913  attention's
    """One sequence: q ``[m, h, d]``, k ``[n, hk, d]``; o ``[m, h, dv]`` and natural lse ``[h, m]``.

    Bottom-right: row i stands at key i + n - m, as flash_attn_func's docstring draws it; it sees
    keys from there minus left to there plus right, both inclusive, -1 for all. ``offset`` stands
    instead of n - m.
    """
    m, h, n = q.shape[0], q.shape[1], k.shape[0]
    group = h // k.shape[1]
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    keys, values = (one.to(wide).repeat_interleave(group, 1) for one in (k, v))
    scores = torch.einsum("mhd,nhd->hmn", q.to(wide), keys) * scale
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    place = torch.arange(m, device=q.device).unsqueeze(1) + (n - m if offset is None else offset)
    key = torch.arange(n, device=q.device)
    if slopes is not None:
        scores = scores - slopes.view(-1, 1, 1) * (place - key).abs()
    seen = torch.ones(m, n, dtype=torch.bool, device=q.device)
    seen &= (key <= place + right) if right >= 0 else True
    seen &= (key >= place - left) if left >= 0 else True
    scores = scores.masked_fill(~seen, -math.inf)
    if sink is not None:
        column = sink.to(wide).view(-1, 1, 1).expand(-1, m, 1)
        scores = torch.cat((scores, column), -1)
    lse = scores.logsumexp(-1)
    empty = lse.isneginf().unsqueeze(-1)
    weights = scores.masked_fill(empty, 0).softmax(-1).masked_fill(empty, 0)[..., :n]
    # Keys that a row does not see are not multiplied: their values may be NaN.
    values = torch.where(seen.any(0).view(-1, 1, 1), values, 0)
    return torch.einsum("hmn,nhd->mhd", weights, values).to(q.dtype), lse.float()


def batched(q, k, v, scale, lengths=None, **more):
    """Sequences side by side: q ``[b, m, h, d]``; lse ``[b, h, m]``; no key past a length."""
    ends = [k.shape[1]] * len(q) if lengths is None else [int(one) for one in lengths]
    found = [attend(q[i], k[i, : ends[i]], v[i, : ends[i]], scale, **more) for i in range(len(q))]
    return torch.stack([o for o, _ in found]), torch.stack([lse for _, lse in found])


def packed(q, k, v, scale, q_ends, k_ends, **more):
    """Sequences one after another: q ``[total, h, d]``; lse ``[h, total]``."""
    rows = [attend(q[a:b], k[c:d], v[c:d], scale, **more)
            for (a, b), (c, d) in zip(_spans(q_ends), _spans(k_ends), strict=True)]  # fmt: skip
    return torch.cat([o for o, _ in rows]), torch.cat([lse for _, lse in rows], -1)


def gathered(pages, table, lengths):
    """Pages ``[pages, size, h, d]`` as one tensor of keys a sequence."""
    return [
        pages[table[row, : -(-int(length) // pages.shape[1])].long()].flatten(0, 1)[: int(length)]
        for row, length in enumerate(lengths)
    ]


def _spans(ends):
    ends = [int(one) for one in ends]
    return list(itertools.pairwise(ends))


def last_axis_is_dense(*tensors):
    for one in tensors:
        if one is not None and one.stride(-1) != 1:
            raise RuntimeError("Input tensor must have contiguous last dimension")


def rotated(x, cos, sin, start, *, interleaved):
    """Rotate ``x [tokens, h, d]`` at start, start + 1, …: pairs, or halves as in GPT-NeoX."""
    turns = cos.shape[-1]
    cos, sin = (one[start : start + len(x)].unsqueeze(1).to(x.dtype) for one in (cos, sin))
    head, rest = x[..., : 2 * turns], x[..., 2 * turns :]
    one, two = (head[..., 0::2], head[..., 1::2]) if interleaved else head.split(turns, -1)
    a, b = one * cos - two * sin, two * cos + one * sin
    turned = torch.stack((a, b), -1).flatten(-2) if interleaved else torch.cat((a, b), -1)
    return torch.cat((turned, rest), -1)


def install(monkeypatch, library, modules):
    """Put modules where imports find them, and let the library count as installed."""
    for name, made in modules.items():
        monkeypatch.setitem(sys.modules, name, made)
    monkeypatch.setattr(type(library), "version", lambda _: "stand-in")
