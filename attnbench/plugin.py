"""What a backend author imports: Capabilities, Inputs, Library and Unsupported.

A backend is a module with two names, ``capabilities`` and ``prepare``; docs/backends.md walks
through one. The harness, not the backend, makes the inputs, takes the gradients, checks against the
reference, times, and prices FLOPs and bytes. A call may carry an attribute ``notes``, codes of
``measurement.NOTES`` such as FALLBACK, which the harness reads after the first call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from attnbench.case import type_of_option
from attnbench.environment import Device, arch_number
from attnbench.errors import Unsupported
from attnbench.filter import did_you_mean
from attnbench.library import Library
from attnbench.problem import CHOICES, KV_DTYPES, PHASES, Problem

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "BackendDescription",
    "Capabilities",
    "Catalogue",
    "Inputs",
    "Library",
    "OptionSpec",
    "Unsupported",
]

_SETS = (
    *("phases", "modes", "dtypes", "kv_dtypes", "masks", "mask_aligns", "head_dims"),
    *("page_sizes", "page_formats", "attentions", "devices"),
)
# The words that a set may hold, where they are a closed list.
_WORDS: dict[str, tuple[str, ...]] = {
    "phases": PHASES,
    "modes": CHOICES["mode"],
    "dtypes": CHOICES["dtype"],
    "kv_dtypes": KV_DTYPES,
    "masks": CHOICES["mask"],
    "mask_aligns": CHOICES["mask_align"],
    "page_formats": CHOICES["page_format"],
    "attentions": CHOICES["attention"],
    "devices": ("cpu", "cuda"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do; None means any, and what is not declared is off.

    ``kv_dtypes`` lists the cache dtypes beside the problem's own that are understood. ``wide_v``
    says that v_head_dim may differ from head_dim, ``grouped`` that kv_heads may be smaller than
    q_heads, ``graph`` that the call may be captured in a CUDA graph. ``min_arch`` is ``sm_80``.

    Raises:
        TypeError: a text where a set of words belongs.
        ValueError: a word that no problem has, which would never match.

    """

    phases: Iterable[str] | None = None
    modes: Iterable[str] = ("fwd",)
    dtypes: Iterable[str] | None = None
    kv_dtypes: Iterable[str] = ()
    masks: Iterable[str] = ("none",)
    mask_aligns: Iterable[str] = ("bottom_right",)
    head_dims: Iterable[int] | None = None
    grouped: bool = True
    wide_v: bool = True
    ragged: bool = False
    paged: bool = False
    page_sizes: Iterable[int] | None = None
    page_formats: Iterable[str] = ("nhd",)
    softcap: bool = False
    alibi: bool = False
    sinks: bool = False
    sink_logits: bool = False
    rope: bool = False
    append: bool = False
    attentions: Iterable[str] = ("softmax",)
    graph: bool = True
    devices: Iterable[str] | None = None
    min_arch: str | None = None

    def __post_init__(self) -> None:
        for name in _SETS:
            value = getattr(self, name)
            if isinstance(value, str):
                raise TypeError(f"Capabilities.{name} is a set of words; write {{{value!r}}}")
            words = None if value is None else frozenset(value)
            for word in sorted(map(str, words or ())):
                _known_word(name, word)
            object.__setattr__(self, name, words)

    def why_not(self, problem: Problem, device: Device) -> str | None:
        """Say in uniform words why this problem cannot be done on this device; None if it can."""
        return next(filter(None, self._reasons(problem, device)), None)

    def why_not_timer(self, timer: str) -> str | None:
        """Say why a call cannot be read with this timer; None if it can."""
        if timer == "graph" and not self.graph:
            return "timer graph: the backend's call cannot be captured in a CUDA graph"
        return None

    def _reasons(self, problem: Problem, device: Device) -> Iterable[str | None]:
        yield _one_of("device", device.kind, self.devices)
        yield self._arch(device)
        yield _one_of("attention", problem.attention, self.attentions)
        yield _one_of("phase", problem.phase, self.phases)
        yield _one_of("mode", problem.mode, self.modes)
        yield _one_of("dtype", problem.dtype, self.dtypes)
        if problem.kv_dtype != problem.dtype:
            yield _one_of("kv_dtype", problem.stored_dtype, self.kv_dtypes, "only the dtype itself")
        yield _one_of("mask", problem.mask, self.masks)
        if problem.mask != "none" and any(r.q_len != r.kv_len for _, r in problem.request_groups):
            yield _one_of("mask_align", problem.mask_align, self.mask_aligns)
        yield _one_of("head_dim", problem.head_dim, self.head_dims)
        if problem.kv_layout == "paged" and self.paged:
            yield _one_of("page_size", problem.page_size, self.page_sizes)
            yield _one_of("page_format", problem.page_format, self.page_formats)
        yield from self._features(problem)

    def _features(self, problem: Problem) -> Iterable[str | None]:
        group = f"kv_heads {problem.kv_heads} under q_heads {problem.q_heads}"
        wide = f"v_head_dim {problem.v_head_dim} beside head_dim {problem.head_dim}"
        for used, able, what in (
            (problem.group_size > 1, self.grouped, group),
            (problem.v_head_dim != problem.head_dim, self.wide_v, wide),
            (problem.is_ragged, self.ragged, "ragged requests"),
            (problem.kv_layout == "paged", self.paged, "a paged KV cache"),
            (problem.softcap is not None, self.softcap, "softcap"),
            (problem.bias == "alibi", self.alibi, "alibi"),
            (problem.sinks > 0, self.sinks, "sinks"),
            (problem.sink_logits, self.sink_logits, "sink_logits"),
            (problem.rope != "none", self.rope, "rope"),
            (problem.append > 0, self.append, "append"),
        ):
            if used and not able:
                yield f"{what} is not supported"

    def _arch(self, device: Device) -> str | None:
        have = device.compute_capability
        if self.min_arch is None or have is None:
            return None
        need = arch_number(self.min_arch)
        return f"needs {self.min_arch}, this is {device.arch}" if need and have < need else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, for a worker's answer."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        return {k: sorted(v) if isinstance(v, frozenset) else v for k, v in plain.items()}


def _known_word(name: str, word: str) -> None:
    known = _WORDS.get(name)
    if known is None or word in known:
        return
    said = f"Capabilities.{name}: {word!r} is not one of {', '.join(known)}"
    raise ValueError("; ".join(filter(None, [said, did_you_mean(word, known)])))


def _one_of(
    name: str, value: object, allowed: Iterable[object] | None, none_allowed: str = "nothing"
) -> str | None:
    if allowed is None or value in (words := list(allowed)):
        return None
    listed = ", ".join(map(str, sorted(words, key=lambda one: (str(type(one)), one))))
    return f"{name} {value} is not one of {listed or none_allowed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The tensors of one problem; what the problem lacks is None.

    Dense: q ``[batch, q_heads, q_len, head_dim]``, k ``[batch, kv_heads, kv_len, head_dim]``, v
    ``[..., v_head_dim]``. Ragged: packed q ``[total_q, q_heads, head_dim]``, k and v ``[total_k,
    kv_heads, dim]`` with ``cu_seqlens_q``, ``cu_seqlens_k`` (int32 ``[requests + 1]``). Paged:
    ``k_pages``, ``v_pages`` ``[pages, page_size, kv_heads, dim]`` (nhd) or ``[pages, kv_heads,
    page_size, dim]`` (hnd) instead of k and v, ``page_table`` int32 ``[batch, pages a sequence]``
    and ``kv_lens`` int32 ``[batch]``. Quantised: ``x = (code - zero) * scale`` with fp32 scales
    ``[batch, kv_heads, kv_len]``, ragged ``[total_k, kv_heads]``, paged ``[pages, kv_heads,
    page_size]``; int4 has two codes a byte along head_dim, low nibble first. ``alibi_slopes`` fp32
    ``[q_heads]``; ``sink_logits`` fp32 ``[q_heads]``; ``cos``, ``sin`` fp32 ``[longest,
    rope_dim / 2]``, longest of q_len and kv_len; ``k_new``, ``v_new`` ``[batch, kv_heads, append,
    dim]`` (ragged ``[requests * append, kv_heads, dim]``); ``grad_out`` like the output.

    Additive: ``w_q [q_heads, head_dim, additive_dim]``, ``w_k [kv_heads, ...]``, ``w_score
    [q_heads, additive_dim]``. Layer: q is its input x, head by head, tokens outermost in memory;
    k and v are None; ``w_q, w_o [hidden, hidden]``, ``w_k, w_v [kv_heads * head_dim, hidden]`` with
    hidden = q_heads * head_dim, each applied as ``x @ w.T``.
    """

    problem: Problem
    scale: float
    q: Tensor
    k: Tensor | None = None
    v: Tensor | None = None
    cu_seqlens_q: Tensor | None = None
    cu_seqlens_k: Tensor | None = None
    max_q_len: int = 0
    max_kv_len: int = 0
    k_pages: Tensor | None = None
    v_pages: Tensor | None = None
    page_table: Tensor | None = None
    kv_lens: Tensor | None = None
    k_scale: Tensor | None = None
    v_scale: Tensor | None = None
    k_zero: Tensor | None = None
    v_zero: Tensor | None = None
    alibi_slopes: Tensor | None = None
    sink_logits: Tensor | None = None
    cos: Tensor | None = None
    sin: Tensor | None = None
    k_new: Tensor | None = None
    v_new: Tensor | None = None
    w_q: Tensor | None = None
    w_k: Tensor | None = None
    w_v: Tensor | None = None
    w_o: Tensor | None = None
    w_score: Tensor | None = None
    grad_out: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionSpec:
    """One keyword of a backend: its default and, where a Literal names them, its choices."""

    name: str
    default: type_of_option
    choices: tuple[type_of_option, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendDescription:
    """A backend, described without running it.

    The registry reads a built-in module, which imports without torch. A third-party backend is
    imported only in a worker: until one was asked, ``capabilities`` is None and it has no rules.

    ``why_not`` and ``workspace_bytes`` are the module's optional rules, ``library`` is what an
    adapter adapts, ``is_triton`` says that Triton's interpreter can stand in for a GPU.
    """

    name: str
    source: str
    version: str | None = None
    options: Mapping[str, OptionSpec] = field(default_factory=dict)
    capabilities: Capabilities | None = None
    why_not: Callable[..., str | None] | None = None
    workspace_bytes: Callable[..., int] | None = None
    library: Library | None = None
    is_triton: bool = False
    about: str = ""

    def with_rules_of(self, module: ModuleType) -> BackendDescription:
        """Add the capabilities and rules of the backend's imported module."""
        return replace(
            self,
            capabilities=module.capabilities,
            why_not=getattr(module, "why_not", None),
            workspace_bytes=getattr(module, "workspace_bytes", None),
            is_triton=hasattr(module, "inspected"),
        )


def notes_of(call: Callable[[], Any]) -> tuple[str, ...]:
    """Return the note codes that a prepared call carries; the harness asks after the first call."""
    return tuple(getattr(call, "notes", ()))


class Catalogue(Protocol):
    """Names to backends: what ``suite.load`` and the command line are handed."""

    def describe(
        self, reference: str, *, folder: Path, name: str | None = None
    ) -> BackendDescription:
        """Look up a name or a ``./file.py`` seen from ``folder``; ``name`` overrides a file's stem.

        Raises:
            OptionError: no such backend, with the nearest right name in the hint.

        """
        ...
