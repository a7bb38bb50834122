"""The conformance kit: what a backend must get right before it is timed.

A backend's ``Capabilities`` decide which trials it is given: declaring a feature puts it to the
test. Problems are small on purpose: lengths around the tiles that kernels use (64, 128), head
counts that are not powers of two, two sequences so that a batch stride matters. A theme offers each
feature as a prefill, a short extend and a decode; whatever the capabilities exclude is left out.
This module needs no torch; ``measure.conformance_check`` runs the trials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from attnbench.case import BUILT_IN, Case, Options
from attnbench.environment import Device
from attnbench.errors import ProblemError
from attnbench.filter import case_fields
from attnbench.plugin import Capabilities
from attnbench.problem import Problem

Fields = dict[str, Any]  # of a Problem
Entry = tuple[Fields, str]  # with the way that its inputs are laid out

# How the inputs of a trial are laid out and what they contain; docs/conformance.md explains each.
WAYS = {
    "guarded": "every tensor contiguous, between NaN",
    "strided": "views with gaps, tokens outermost; NaN in the gaps",
    "high": "guarded, and every score near +120",
    "low": "guarded, and every score near -120",
}
# What every trial also checks, whatever its theme: the kind of fault, and what is right.
BEHAVIOURS = {
    "calls": "two calls agree",
    "inputs": "inputs left alone",
    "answers": "answers to a new q",
}

_PREFILL: Fields = {"q_len": 65, "kv_len": 65}
_EXTEND: Fields = {"q_len": 5, "kv_len": 70}
_DECODE: Fields = {"q_len": 1, "kv_len": 130}
_FORMS = (_PREFILL, _EXTEND, _DECODE)
_BATCHED: Fields = {**_DECODE, "batch": 6}  # enough rows to estimate how far plain PyTorch is off
_DEEP: Fields = {"q_len": 33, "kv_len": 97}  # rows whose first keys are all in other tiles
# The most exact first: the less an arithmetic rounds, the smaller a mistake it reveals.
_DTYPES = ("fp32", "fp16", "bf16", "tf32", "fp8_e4m3", "fp8_e5m2")
_WIDE = ("fp32", "tf32", "fp16", "bf16")  # a cache of these has no scales
_USUAL_DIM, _ANY_DIMS = 64, (8, 33, 64, 80, 128, 256)
_OF_SCORES = ("high", "low")  # ways that mean something only where scores are products of q and k
_MOST = 8  # values tried of a set that a backend declares
_ANY_PAGES = (1, 7, 16, 64)
_RAGGED = ("q1s90_q77_q130s20", "q65_3q5s70", "2q1s77_q3s130_q4", "3q1s64_q1s1_q1s129")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One problem that a backend has to get right, under the theme that it represents."""

    theme: str
    case: Case
    way: str = "guarded"

    @property
    def label(self) -> str:
        """``prefill 2q65 4/2x64 fp32 causal · strided``; the way only if it is not guarded."""
        label = self.case.problem.label
        return label if self.way == "guarded" else f"{label} · {self.way}"

    @property
    def filter(self) -> str:
        """The FILTER that selects only this trial."""
        return f"{self.case.id} way={self.way}"


def placeholder_case(backend: str, options: Options = (), source: str = BUILT_IN) -> Case:
    """Return a case that names a backend to be tested; its problem does not matter."""
    anything = Problem(q_len=1, q_heads=1, head_dim=1, dtype="fp32")
    return Case(problem=anything, backend=backend, options=options, source=source)


def trial_fields(trial: Trial) -> Mapping[str, Any]:
    """Return every field of a trial that a filter may name: its case's, its theme and its way."""
    return {**case_fields(trial.case), "theme": trial.theme, "way": trial.way}


def trials_of(case: Case, capabilities: Capabilities) -> list[Trial]:
    """Return every trial of a backend, theme by theme; no problem appears twice in the same way.

    Args:
        case: a ``placeholder_case``, which supplies backend, options and source.
        capabilities: what the backend declares.

    """
    device, base = accepted_device(capabilities), _base(capabilities)
    found: dict[tuple[Problem, str], Trial] = {}
    for theme, entries in THEMES.items():
        for fields, way in entries(capabilities):
            problem = _problem(base, fields)
            if problem is None or capabilities.why_not(problem, device) is not None:
                continue
            if way in _OF_SCORES and problem.attention not in ("softmax", "block_sparse"):
                continue
            trial = Trial(theme=theme, case=replace(case, problem=problem), way=way)
            found.setdefault((problem, way), trial)
    return list(found.values())


def accepted_device(capabilities: Capabilities) -> Device:
    """Return a device that the capabilities accept; the worker finds out which is really there."""
    kind = "cpu" if capabilities.devices is None else min(capabilities.devices)
    arch = capabilities.min_arch or ""
    return Device(kind=kind, name="any", arch=arch, memory_bytes=0, free_bytes=0)


def undeclared(trials: Iterable[Trial]) -> list[str]:
    """Return the themes for which a backend's capabilities leave nothing to test."""
    tested = {one.theme for one in trials}
    return [theme for theme in THEMES if theme not in tested]


def _base(capabilities: Capabilities) -> Fields:
    """Return the fields of a problem that its entry does not set."""
    dims, attentions = capabilities.head_dims, set(capabilities.attentions)
    known = capabilities.dtypes
    mask: Fields = {}
    if "none" not in (declared := set(capabilities.masks)):
        mask = {"mask": "causal"} if "causal" in declared else {"mask": "window", "window": 64}
    return {
        "batch": 2,
        "q_heads": 4,
        "kv_heads": 2 if capabilities.grouped else 4,
        "head_dim": _USUAL_DIM if dims is None or _USUAL_DIM in dims else min(dims),
        "dtype": next(one for one in _DTYPES if known is None or one in known),
        # A backend with only one kind of attention is tested on that kind throughout.
        "attention": "softmax" if "softmax" in attentions else min(attentions),
        **mask,
    }


def _problem(base: Fields, fields: Fields) -> Problem | None:
    """Make the problem of an entry; None if its fields contradict each other."""
    merged = {**base, **fields}
    if "requests" in fields:
        merged.pop("batch")
    if fields.get("mask", "window") != "window":
        merged.pop("window", None)
    try:
        return Problem(**merged)
    except ProblemError:
        return None  # such as linear attention with a gradient or a softcap


def _each(*variants: Fields, forms: Iterable[Fields] = _FORMS, way: str = "guarded") -> list[Entry]:
    """Combine every variant with every form."""
    return [({**form, **one}, way) for one in variants for form in forms]


def lengths(_: Capabilities) -> Iterator[Entry]:
    """Odd lengths, one token, exact tiles and tiles missed by one, more rows than keys."""
    shapes = [(1, 1), (17, 17), (64, 64), (127, 127), (129, 129)]
    shapes += [(1, 17), (1, 128), (1, 257), (3, 129), (16, 127), (33, 200)]
    shapes += [(129, 17), (16, 3)]
    for q_len, kv_len in shapes:
        yield {"q_len": q_len, "kv_len": kv_len}, "guarded"


def heads(_: Capabilities) -> Iterator[Entry]:
    """One head, as many KV heads as query heads, groups of any size, one KV head."""
    counts = [(1, 1), (3, 3), (6, 2), (12, 3), (5, 1), (16, 1)]
    pairs = [{"q_heads": q_heads, "kv_heads": kv_heads} for q_heads, kv_heads in counts]
    short = {"q_len": 33, "kv_len": 33}
    yield from _each(*pairs, forms=(short, _EXTEND, _DECODE))


def head_dims(capabilities: Capabilities) -> Iterator[Entry]:
    """The smallest, the largest and odd head dims; V wider and narrower than K."""
    dims = sorted(capabilities.head_dims or _ANY_DIMS)
    if len(dims) > _MOST:
        dims = [*dims[: _MOST // 2], *dims[-_MOST // 2 :]]
    pairs = [{"head_dim": one} for one in dims]
    pairs += [{"head_dim": one, "v_head_dim": two} for one, two in [(64, 128), (128, 64)]]
    pairs += [{"head_dim": 192, "v_head_dim": 128}]
    pairs += [{"head_dim": 576, "v_head_dim": 512, "latent": True, "q_heads": 16, "kv_heads": 1}]
    yield from _each(*pairs, forms=({"q_len": 40, "kv_len": 40}, _DECODE))


def masks(capabilities: Capabilities) -> Iterator[Entry]:
    """Causal masks of each alignment and windows of several sizes, over all kinds of lengths."""
    shapes = [(65, 65), (33, 97), (1, 130), (5, 70), (128, 129)]
    aligns = sorted(capabilities.mask_aligns)
    for (q_len, kv_len), align in product(shapes, aligns):
        yield _masked(q_len, kv_len, mask="causal", mask_align=align), "guarded"
    for window, (q_len, kv_len) in product((1, 7, 64, 1000), shapes[:4]):
        yield _masked(q_len, kv_len, mask="window", window=window), "guarded"


def empty_rows(capabilities: Capabilities) -> Iterator[Entry]:
    """Rows that see no key must be 0: more rows than keys under a bottom-right mask."""
    for q_len, kv_len in [(97, 33), (129, 1), (16, 3), (70, 65)]:
        yield _masked(q_len, kv_len, mask="causal"), "guarded"
        yield _masked(q_len, kv_len, mask="window", window=5), "guarded"
    if "top_left" in set(capabilities.mask_aligns):
        yield _masked(97, 33, mask="window", window=5, mask_align="top_left"), "guarded"


def _masked(q_len: int, kv_len: int, **fields: Any) -> Fields:
    return {"q_len": q_len, "kv_len": kv_len, **fields}


def dtypes(capabilities: Capabilities) -> Iterator[Entry]:
    """Each dtype of q and of the output."""
    # torch multiplies fp8 only on special hardware, so "any dtype" does not promise fp8.
    wanted = _WIDE if capabilities.dtypes is None else set(capabilities.dtypes)
    declared = [one for one in _DTYPES if one in wanted]
    yield from _each(*({"dtype": one} for one in declared), forms=(_PREFILL, _DECODE))
    yield from _each(*({"dtype": one, "mask": "causal"} for one in declared), forms=(_EXTEND,))


def magnitudes(_: Capabilities) -> Iterator[Entry]:
    """Scores too large for exp, scores far below 0, outliers, and scores that are all equal."""
    for way in ("high", "low"):
        yield from _each({}, forms=(_PREFILL, _BATCHED), way=way)
        yield from _each({"mask": "causal"}, forms=(_EXTEND, _DEEP), way=way)
    yield from _each(
        {"input_dist": "outliers"}, {"input_dist": "zeros"}, forms=(_PREFILL, _BATCHED)
    )
    # One key outweighs all others, so errors vary a lot between rows, and many rows are needed.
    yield {**_PREFILL, "scale": 4.0}, "guarded"


def strides(capabilities: Capabilities) -> Iterator[Entry]:
    """Views instead of contiguous tensors: tokens outermost, gaps between rows, heads and pages."""
    yield from _each({}, {"mask": "causal"}, way="strided")
    yield from _each({"mode": "bwd"}, {"mode": "bwd", "mask": "causal"}, way="strided")
    yield {"requests": _RAGGED[0], "mask": "causal"}, "strided"
    yield {"requests": _RAGGED[2], "mask": "causal"}, "strided"
    for form in sorted(capabilities.page_formats or ()):
        paged = {"kv_layout": "paged", "page_size": _page_sizes(capabilities)[0]}
        yield from _each({**paged, "page_format": form}, way="strided")


def features(capabilities: Capabilities) -> Iterator[Entry]:
    """Softcap, ALiBi, sinks and sink logits: each by itself, and together under a mask."""
    alone: list[Fields] = [{"softcap": 15.0}, {"softcap": 0.5}, {"bias": "alibi"}]
    alone += [{"sink_logits": True}, {"mask": "window", "window": 9, "sinks": 3}]
    alone += [{"bias": "alibi", "q_heads": 6, "kv_heads": 2 if capabilities.grouped else 6}]
    yield from _each(*alone)
    together: Fields = {"mask": "causal"}
    if capabilities.softcap:
        together |= {"softcap": 15.0}
    if capabilities.alibi:
        together |= {"bias": "alibi"}
    if capabilities.sink_logits:
        together |= {"sink_logits": True}
    if len(together) > 1:
        yield from _each(together)
        yield _masked(97, 33, **together), "guarded"


def rope(_: Capabilities) -> Iterator[Entry]:
    """Both kinds of rotation, part of the head dim, other bases, more rows than keys."""
    kinds: list[Fields] = [{"rope": "neox"}, {"rope": "gptj"}, {"rope": "neox", "rope_dim": 32}]
    kinds += [{"rope": "neox", "mask": "causal", "rope_base": 500000}]
    yield from _each(*kinds)
    yield _masked(70, 33, mask="causal", rope="gptj"), "guarded"


def append(capabilities: Capabilities) -> Iterator[Entry]:
    """New rows appended to each sequence before they are read; rotated if rope is declared."""
    plain: list[Fields] = [{"append": 1}, {"append": 1, "mask": "causal"}]
    if capabilities.rope:
        plain += [{"append": 1, "rope": "neox"}, {"append": 1, "rope": "gptj"}]
    yield from _each(*plain, forms=(_EXTEND, _DECODE))
    yield {**_EXTEND, "append": 5, "mask": "causal"}, "guarded"
    yield {"requests": _RAGGED[2], "append": 1, "mask": "causal"}, "guarded"
    paged = {"kv_layout": "paged", "page_size": _page_sizes(capabilities)[0], "append": 1}
    yield from _each(paged, forms=(_EXTEND, _DECODE))
    for kind in sorted(capabilities.kv_dtypes or ()):
        yield {**_DECODE, "append": 1, "kv_dtype": kind}, "guarded"


def gradients(_: Capabilities) -> Iterator[Entry]:
    """dq, dk and dv: masks, groups, head dims, softcaps and biases, more rows than keys."""
    kinds: list[Fields] = [
        {},
        {"mask": "causal"},
        {"mask": "causal", "mask_align": "top_left"},
        {"mask": "window", "window": 9},
    ]
    kinds += [{"softcap": 5.0}, {"bias": "alibi"}, {"sink_logits": True}]
    kinds += [{"rope": "neox"}, {"dtype": "fp16"}, {"dtype": "bf16"}]
    shapes = ({"batch": 1, "q_len": 40, "kv_len": 70}, {"q_len": 65, "kv_len": 65})
    for kind in kinds:
        yield from _each({"mode": "bwd", **kind}, forms=shapes)
    for counts in ({"q_heads": 1, "kv_heads": 1}, {"q_heads": 6, "kv_heads": 2}):
        yield {"q_len": 33, "mode": "bwd", "mask": "causal", **counts}, "guarded"
    for dim in (8, 96, 128, 256):
        yield {"q_len": 33, "mode": "bwd", "head_dim": dim}, "guarded"
    yield {"q_len": 33, "mode": "bwd", "head_dim": 128, "v_head_dim": 64}, "guarded"
    for mask in ({}, {"mask": "causal"}):
        yield {"q_len": 90, "kv_len": 40, "mode": "bwd", **mask}, "guarded"
    yield {"q_len": 33, "mode": "fwd_bwd", "mask": "causal"}, "guarded"
    yield {"requests": "2q37_q13s60_q4s9", "mode": "bwd", "mask": "causal"}, "guarded"


def ragged(_: Capabilities) -> Iterator[Entry]:
    """Packed requests of different lengths, decodes and prompts mixed, under each mask."""
    under: list[Fields] = [{}, {"mask": "causal"}, {"mask": "window", "window": 9}]
    for requests, mask in product(_RAGGED, under):
        yield {"requests": requests, **mask}, "guarded"
    yield {"requests": _RAGGED[0], "mask": "causal", "bias": "alibi"}, "guarded"


def paged(capabilities: Capabilities) -> Iterator[Entry]:
    """Pages of each size and format in shuffled order, with NaN where no sequence owns a slot."""
    formats = sorted(capabilities.page_formats or ())
    for size, form in product(_page_sizes(capabilities), formats):
        layout = {"kv_layout": "paged", "page_size": size, "page_format": form}
        yield from _each(layout, forms=(_EXTEND, _DECODE))
        yield {**layout, **_PREFILL, "mask": "causal"}, "guarded"
        # Sequences of different lengths; one of them ends exactly at the end of a page.
        for requests in (_RAGGED[2], f"q1s{2 * size}_2q1s{2 * size + 1}_q1s1"):
            yield {**layout, "requests": requests, "mask": "causal"}, "guarded"
    yield {**_DECODE, "kv_layout": "paged", "page_order": "identity"}, "guarded"
    yield {**_EXTEND, "kv_layout": "paged", "mask": "window", "window": 20}, "guarded"


def _page_sizes(capabilities: Capabilities) -> list[int]:
    return sorted(capabilities.page_sizes or _ANY_PAGES)[:_MOST]


def quantised(capabilities: Capabilities) -> Iterator[Entry]:
    """Each dtype of the cache: contiguous, packed and paged, and with outlier channels."""
    formats = sorted(capabilities.page_formats or ())
    declared = sorted(capabilities.kv_dtypes or ())
    for kind in (one for one in declared if one in _WIDE):
        yield {**_DECODE, "kv_dtype": kind}, "guarded"
    for kind in (one for one in declared if one not in _WIDE):
        wide = {"dtype": "fp16"}
        yield from _each({"kv_dtype": kind})
        yield {**_EXTEND, "kv_dtype": kind, "mask": "causal"}, "guarded"
        yield {**_DECODE, **wide, "kv_dtype": kind, "input_dist": "outliers"}, "guarded"
        yield {"requests": _RAGGED[2], "kv_dtype": kind, "mask": "causal"}, "guarded"
        for form in formats:
            pages: Fields = {"kv_layout": "paged", "page_format": form, "kv_dtype": kind}
            pages |= {"page_size": _page_sizes(capabilities)[-1]}
            yield from _each(pages, forms=(_EXTEND, _DECODE))


def variants(_: Capabilities) -> Iterator[Entry]:
    """Every other declared kind of attention: linear, additive, block-sparse, a whole layer."""
    square = {"q_len": 130, "kv_len": 130}
    under: list[Fields] = [{}, {"mask": "causal"}]
    for mask in under:
        for feature, chunk in product(("elu1", "identity"), (16, 64)):
            linear: Fields = {"attention": "linear", "feature": feature, "chunk": chunk}
            yield {**square, **linear, **mask}, "guarded"
        yield from _each({"attention": "additive", "additive_dim": 24, **mask})
        counts: Fields = {"q_heads": 3, "kv_heads": 3}
        yield {**square, "attention": "layer", "head_dim": 24, **counts, **mask}, "guarded"
        for pattern, block in product(("random", "local_global"), (32, 64)):
            sparse: Fields = {"attention": "block_sparse", "pattern": pattern, "block": block}
            yield from _each({**sparse, "density": 0.4, **mask}, forms=(square, _EXTEND, _DECODE))
        small: Fields = {"attention": "block_sparse", "block": 16, "density": 0.3, **mask}
        yield from _each(small, forms=({"batch": 1, **_PREFILL}, _DECODE))
    window = {"mask": "window", "window": 40, "attention": "block_sparse", "block": 32}
    yield {**square, **window, "density": 0.5}, "guarded"
    backward = {"mode": "bwd", "attention": "block_sparse", "block": 32, "density": 0.4}
    yield {**square, **backward, "mask": "causal"}, "guarded"


THEMES: dict[str, Callable[[Capabilities], Iterator[Entry]]] = {
    "lengths": lengths,
    "heads": heads,
    "head_dims": head_dims,
    "dtypes": dtypes,
    "masks": masks,
    "empty_rows": empty_rows,
    "magnitudes": magnitudes,
    "strides": strides,
    "features": features,
    "rope": rope,
    "append": append,
    "ragged": ragged,
    "paged": paged,
    "quantised": quantised,
    "variants": variants,
    "gradients": gradients,
}
