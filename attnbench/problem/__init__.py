"""A problem: one attention computation as shapes, dtypes, mask and layout, without tensors.

The field names are the same in a suite file, in Python and in the parquet. A field that says
nothing (page_size of a contiguous cache, window without a window mask) is None.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NoReturn

from attnbench.errors import ProblemError
from attnbench.problem.batch import Request, format_requests, group_text, parse_requests
from attnbench.problem.fields import (
    DTYPE_BITS,
    DTYPES,
    KV_DTYPES,
    MASK_ALIGNS,
    MASKS,
    MODES,
    PHASES,
    ProblemField,
    count,
    declared,
    flag,
    number,
    text,
    word,
)
from attnbench.problem.rules import attention_rules, backward_rules, head_rules, mask_rules

__all__ = [
    "CHOICES",
    "DEFAULTS",
    "DTYPES",
    "DTYPE_BITS",
    "FIELDS",
    "KV_DTYPES",
    "MASKS",
    "MASK_ALIGNS",
    "MODES",
    "PHASES",
    "PROBLEM_FIELDS",
    "REQUIRED",
    "Problem",
    "digest",
]

_ROPE = ("rope", ("neox", "gptj"))
_LINEAR = ("attention", ("linear",))
_ADDITIVE = ("attention", ("additive",))
_BLOCK_SPARSE = ("attention", ("block_sparse",))
_PAGED = ("kv_layout", ("paged",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One attention computation; lengths in tokens, dims in elements.

    ``requests`` (vLLM's batch grammar) replaces batch, q_len and kv_len, which are then None.
    ``latent`` says that V is the first v_head_dim columns of K, as in MLA's absorbed form, so that
    the cache is stored and read once.

    To add a field, declare it here with a default that means "as before", so that no id changes.

    Raises:
        ProblemError: fields that make no problem; its ``field`` names the one to change.

    """

    mode: str = word("fwd", MODES, "forward, backward, or both in one call", label="own")
    batch: int | None = count(None, "sequences", filled=1, label="own")
    q_len: int | None = count(None, "query tokens a sequence", label="own")
    kv_len: int | None = count(
        None, "key tokens a sequence, the new ones included", same_as="q_len", label="own"
    )
    requests: str | None = text(
        None,
        "groups such as 2q2k_8q1s1k",
        "a ragged batch such as 2q2k_8q1s1k, instead of batch, q_len and kv_len",
        label="own",
    )
    q_heads: int = field(metadata=declared("count", "query heads", label="own"))
    kv_heads: int | None = count(
        None, "KV heads; 1 is MQA, q_heads is MHA", same_as="q_heads", label="own"
    )
    head_dim: int = field(metadata=declared("count", "width of q and k", label="own"))
    v_head_dim: int | None = count(
        None, "width of v and the output", same_as="head_dim", label="own"
    )
    dtype: str = field(
        metadata=declared("word", "of q and the output", choices=DTYPES, label="own")
    )
    kv_dtype: str | None = word(
        None,
        KV_DTYPES,
        "of k and v; a narrower one is a quantised cache with scales",
        same_as="dtype",
    )
    mask: str = word(
        "none",
        MASKS,
        "which keys a row sees; window is causal and at most `window` keys",
        label="own",
    )
    mask_align: str = word(
        "bottom_right",
        MASK_ALIGNS,
        "where a causal mask begins if q_len is not kv_len",
        label="value",
    )
    window: int | None = count(
        None, "keys a row sees, itself included; with mask: window", label="own"
    )
    sinks: int = count(0, "first keys that are always seen; with mask: window", low=0)
    sink_logits: bool = flag("one learned logit a head in the denominator, as gpt-oss has")
    bias: str = word("none", ("none", "alibi"), "what is added to the scores", label="value")
    softcap: float | None = number(None, "scores become softcap * tanh(score / softcap)")
    scale: float | None = number(
        None,
        "what the scores are multiplied by",
        computed=lambda problem: 1 / math.sqrt(problem.head_dim),
        default_text="1/sqrt(head_dim)",
    )
    rope: str = word("none", ("none", *_ROPE[1]), "rotary embedding inside the call")
    rope_base: float | None = number(
        None, "base of the rotation's angles; with rope", needs=_ROPE, filled=10000
    )
    rope_dim: int | None = count(
        None, "rotated channels; with rope", needs=_ROPE, same_as="head_dim"
    )
    append: int = count(
        0, "new k, v rows that the call first writes at the end of the cache", low=0
    )
    attention: str = word(
        "softmax",
        ("softmax", "linear", "additive", "block_sparse", "layer"),
        "which mathematics",
        label="value",
    )
    feature: str | None = word(
        None,
        ("elu1", "identity"),
        "feature map; with attention: linear",
        needs=_LINEAR,
        filled="elu1",
    )
    chunk: int | None = count(
        None, "tokens a chunk; with attention: linear", needs=_LINEAR, filled=64
    )
    additive_dim: int | None = count(
        None, "width of the additive score; with attention: additive", needs=_ADDITIVE, filled=64
    )
    block: int | None = count(
        None, "tokens a block; with attention: block_sparse", needs=_BLOCK_SPARSE, filled=128
    )
    density: float | None = number(
        None,
        "share of the blocks that is kept; with attention: block_sparse",
        high=1,
        needs=_BLOCK_SPARSE,
        filled=0.25,
    )
    pattern: str | None = word(
        None,
        ("random", "local_global"),
        "which blocks; with attention: block_sparse",
        needs=_BLOCK_SPARSE,
        filled="random",
    )
    kv_layout: str = word(
        "contiguous", ("contiguous", "paged"), "how the cache lies in memory", label="value"
    )
    page_size: int | None = count(
        None, "tokens a page; with kv_layout: paged", needs=_PAGED, filled=16
    )
    page_order: str | None = word(
        None,
        ("identity", "shuffled"),
        "of the pages in memory; with kv_layout: paged",
        needs=_PAGED,
        filled="shuffled",
    )
    page_format: str | None = word(
        None,
        ("nhd", "hnd"),
        "axes of a page; with kv_layout: paged",
        needs=_PAGED,
        filled="nhd",
        label="value",
    )
    input_dist: str = word(
        "normal", ("normal", "uniform", "zeros", "outliers"), "how the inputs are drawn"
    )
    seed: int = count(0, "of the inputs", low=0)
    latent: bool = flag("v is the first v_head_dim columns of k, as in MLA's absorbed form")

    def __post_init__(self) -> None:
        _check_values(self)
        _fill(self)
        _check_together(self)

    @property
    def request_groups(self) -> list[tuple[int, Request]]:
        """The requests as (how many equal ones in a row, request)."""
        if self.requests is None:
            assert self.batch is not None and self.q_len is not None and self.kv_len is not None  # noqa: PT018
            return [(self.batch, Request(self.q_len, self.kv_len))]
        return [(len(list(same)), one) for one, same in groupby(parse_requests(self.requests))]

    @property
    def request_list(self) -> tuple[Request, ...]:
        """Every request, in order."""
        return tuple(one for count, one in self.request_groups for _ in range(count))

    @property
    def phase(self) -> str:
        """decode, prefill, extend, or mixed where the requests differ."""
        phases = {request.phase for _, request in self.request_groups}
        return phases.pop() if len(phases) == 1 else "mixed"

    @property
    def group_size(self) -> int:
        """Query heads that share one KV head: 1 is MHA, q_heads is MQA."""
        return self.q_heads // self.n_kv_heads

    @property
    def is_ragged(self) -> bool:
        """True where the sequences lie packed one after another."""
        return self.requests is not None

    @property
    def is_quantized(self) -> bool:
        """True where K and V are stored with scales."""
        return self.kv_dtype != self.dtype and DTYPE_BITS[self.stored_dtype] <= 8  # noqa: PLR2004

    @property
    def n_kv_heads(self) -> int:
        """KV heads, filled in: never None, as a type checker cannot know; likewise the next two."""
        assert self.kv_heads is not None
        return self.kv_heads

    @property
    def v_dim(self) -> int:
        """Width of V and of the output, filled in."""
        assert self.v_head_dim is not None
        return self.v_head_dim

    @property
    def stored_dtype(self) -> str:
        """The dtype of K and V, filled in."""
        assert self.kv_dtype is not None
        return self.kv_dtype

    def fields(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults; ``Problem(**fields)`` is equal."""
        differing: dict[str, Any] = {}
        for name, default in DEFAULTS.items():
            value = getattr(self, name)
            if value != default and value != _contextual_default(self, name):
                differing[name] = value
        return differing

    @property
    def id(self) -> str:
        """12 hex digits that name this problem for ever (design section 6)."""
        return digest(self.fields())

    @property
    def label(self) -> str:
        """``decode 16q1s4k 32/8x128 bf16 causal``: after the dtype only what is not a default."""
        if self.requests is not None:
            lengths = self.requests
        else:
            lengths = group_text(*self.request_groups[0])
        dims = f"{self.head_dim}"
        if self.v_head_dim != self.head_dim:
            dims += f"/{self.v_head_dim}"
        heads = f"{self.q_heads}/{self.kv_heads}x{dims}"
        return " ".join([self.phase, lengths, heads, self.dtype, *_label_words(self)])


def digest(value: object) -> str:
    """BLAKE2b, 6 bytes in hex, of canonical JSON: sorted keys, no blanks, ASCII."""
    text = json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(text.encode("ascii"), digest_size=6).hexdigest()


def _canonical(value: object) -> object:
    """Whole numbers as integers, so that 50.0 and 50 are one value."""
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _canonical(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(inner) for inner in value]
    return value


def _set(problem: Problem, name: str, value: object) -> None:
    object.__setattr__(problem, name, value)


def _refuse(field: str, message: str) -> NoReturn:
    raise ProblemError(message, field=field)


def _check_values(problem: Problem) -> None:
    """Check each field by itself; None is left to ``_fill`` where it is the default."""
    for name in REQUIRED:
        if getattr(problem, name) is None:
            _refuse(name, f"a problem needs {name}")
    for name, one in PROBLEM_FIELDS.items():
        value = getattr(problem, name)
        if not one.admits(value) and not (value is None and DEFAULTS[name] is None):
            _refuse(name, f"{name} is {one.domain}; got {value!r}")


def _fill(problem: Problem) -> None:
    """Fill in what follows from other fields, so that equal problems are equal values."""
    _fill_lengths(problem)
    for name in _FOLLOWING:
        value, default = getattr(problem, name), _contextual_default(problem, name)
        if value is None:
            _set(problem, name, default)
        elif default is None and (needs := PROBLEM_FIELDS[name].needs) is not None:
            _refuse(name, f"{name} needs {needs[0]}: {' or '.join(needs[1])}")
    if problem.mask == "none":
        # Without a mask the alignment says nothing; one problem must not have two ids.
        _set(problem, "mask_align", "bottom_right")


def _fill_lengths(problem: Problem) -> None:
    if problem.requests is None:
        if problem.q_len is None:
            _refuse("q_len", "a problem needs q_len, or requests")
        for name in ("batch", "kv_len"):
            if getattr(problem, name) is None:
                _set(problem, name, _contextual_default(problem, name))
        return
    for name in _LENGTHS:
        if getattr(problem, name) is not None:
            _refuse(name, f"requests stands instead of {name}; give one of them")
    _set(problem, "requests", format_requests(parse_requests(problem.requests)))


def _contextual_default(problem: Problem, name: str) -> Any:
    """Return the value of a field that is not given, which may depend on the other fields."""
    return PROBLEM_FIELDS[name].default_in(problem, DEFAULTS[name])


def _check_together(problem: Problem) -> None:
    """Check the fields against each other."""
    for rules in (head_rules, mask_rules, attention_rules, backward_rules):
        for name, is_wrong, message in rules(problem):
            if is_wrong:
                _refuse(name, message)


def _label_words(problem: Problem) -> list[str]:
    """List everything after the dtype that differs from its default."""
    words = [problem.mode] if problem.mode != "fwd" else []
    if problem.is_ragged:
        words.append("packed")
    if problem.mask != "none":
        words.append(f"window={problem.window}" if problem.mask == "window" else problem.mask)
    for name, value in problem.fields().items():
        shown = PROBLEM_FIELDS[name].label
        if shown == "own":
            continue
        if shown == "value":
            words.append(str(value))
        elif value is True:
            words.append(name)
        else:
            words.append(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}")
    return words


PROBLEM_FIELDS: dict[str, ProblemField] = {
    one.name: one.metadata["declared"] for one in dataclasses.fields(Problem)
}
FIELDS: tuple[str, ...] = tuple(PROBLEM_FIELDS)
# The words of each field that is one of a few.
CHOICES: dict[str, tuple[str, ...]] = {
    name: one.choices for name, one in PROBLEM_FIELDS.items() if one.kind == "word"
}
REQUIRED: tuple[str, ...] = tuple(
    one.name for one in dataclasses.fields(Problem) if one.default is dataclasses.MISSING
)
DEFAULTS: dict[str, Any] = {
    one.name: None if one.name in REQUIRED else one.default for one in dataclasses.fields(Problem)
}
_LENGTHS = ("batch", "q_len", "kv_len")
_FOLLOWING = tuple(
    name for name, one in PROBLEM_FIELDS.items() if one.follows and name not in _LENGTHS
)
