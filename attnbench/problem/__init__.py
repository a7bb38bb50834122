"""A problem: one attention computation as shapes, dtypes, mask and layout, without tensors.

The field names are the same in a suite file, in Python and in the parquet. A field that says
nothing (page_size of a contiguous cache, window without a window mask) is None.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any, NoReturn

from attnbench.batch import Request, format_requests, group_text, parse_requests
from attnbench.errors import ProblemError
from attnbench.problem.rules import attention_rules, backward_rules, head_rules, mask_rules
from attnbench.problem.words import (
    CHOICES,
    DEPENDENT,
    DTYPE_BITS,
    DTYPES,
    FLAGS,
    KV_DTYPES,
    MASK_ALIGNS,
    MASKS,
    MODES,
    NOT_NEGATIVE,
    PHASES,
    POSITIVE,
    POSITIVE_NUMBERS,
    REQUIRED,
    SAME_AS,
)

__all__ = [
    "CHOICES",
    "DTYPES",
    "DTYPE_BITS",
    "FIELDS",
    "FLAGS",
    "KV_DTYPES",
    "MASKS",
    "MASK_ALIGNS",
    "MODES",
    "NOT_NEGATIVE",
    "PHASES",
    "POSITIVE",
    "POSITIVE_NUMBERS",
    "REQUIRED",
    "Problem",
    "digest",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One attention computation; lengths in tokens, dims in elements.

    ``requests`` (vLLM's batch grammar) stands instead of batch, q_len and kv_len, which are then
    None. ``latent`` says that V is the first v_head_dim columns of K, as in MLA's absorbed form, so
    that the cache is stored and read once.

    Raises:
        ProblemError: fields that make no problem; its ``field`` names the one to change.

    """

    mode: str = "fwd"
    batch: int | None = None
    q_len: int | None = None
    kv_len: int | None = None
    requests: str | None = None
    q_heads: int
    kv_heads: int | None = None
    head_dim: int
    v_head_dim: int | None = None
    dtype: str
    kv_dtype: str | None = None
    mask: str = "none"
    mask_align: str = "bottom_right"
    window: int | None = None
    sinks: int = 0
    sink_logits: bool = False
    bias: str = "none"
    softcap: float | None = None
    scale: float | None = None
    rope: str = "none"
    rope_base: float | None = None
    rope_dim: int | None = None
    append: int = 0
    attention: str = "softmax"
    feature: str | None = None
    chunk: int | None = None
    additive_dim: int | None = None
    block: int | None = None
    density: float | None = None
    pattern: str | None = None
    kv_layout: str = "contiguous"
    page_size: int | None = None
    page_order: str | None = None
    page_format: str | None = None
    input_dist: str = "normal"
    seed: int = 0
    latent: bool = False

    def __post_init__(self) -> None:
        _check_values(self)
        _fill(self)
        _check_together(self)

    @property
    def request_groups(self) -> list[tuple[int, Request]]:
        """The requests as (how many equal neighbours, request)."""
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
        for name, default in _DEFAULTS.items():
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
    for name, (is_right, words) in _RULES.items():
        value = getattr(problem, name)
        if not is_right(value) and not (value is None and _DEFAULTS[name] is None):
            _refuse(name, f"{name} is {words}; got {value!r}")


def _fill(problem: Problem) -> None:
    """Fill in what follows from other fields, so that equal problems are equal values."""
    _fill_lengths(problem)
    for name in ("kv_heads", "v_head_dim", "kv_dtype", "scale", *DEPENDENT):
        value, default = getattr(problem, name), _contextual_default(problem, name)
        if value is None:
            _set(problem, name, default)
        elif default is None:
            key, words, _ = DEPENDENT[name]
            _refuse(name, f"{name} needs {key}: {words.replace(' ', ' or ')}")
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
    for name in ("batch", "q_len", "kv_len"):
        if getattr(problem, name) is not None:
            _refuse(name, f"requests stands instead of {name}; give one of them")
    _set(problem, "requests", format_requests(parse_requests(problem.requests)))


def _contextual_default(problem: Problem, name: str) -> Any:
    """Return what a field is where it is not given, as the others stand."""
    if name in DEPENDENT:
        key, words, default = DEPENDENT[name]
        if getattr(problem, key) not in words.split():
            return None
        return problem.head_dim if name == "rope_dim" else default
    if name == "scale":
        return 1 / math.sqrt(problem.head_dim)
    if name == "batch":
        return 1
    return getattr(problem, SAME_AS[name]) if name in SAME_AS else _DEFAULTS[name]


def _check_together(problem: Problem) -> None:
    """Check the fields against each other."""
    for rules in (head_rules, mask_rules, attention_rules, backward_rules):
        for field, is_wrong, message in rules(problem):
            if is_wrong:
                _refuse(field, message)


def _label_words(problem: Problem) -> list[str]:
    """Everything after the dtype that differs from its default."""
    words = [problem.mode] if problem.mode != "fwd" else []
    if problem.is_ragged:
        words.append("packed")
    if problem.mask != "none":
        words.append(f"window={problem.window}" if problem.mask == "window" else problem.mask)
    said = {"mode", "batch", "q_len", "kv_len", "requests", "q_heads", "kv_heads", "head_dim"}
    said |= {"v_head_dim", "dtype", "mask", "window"}
    for name, value in problem.fields().items():
        if name in said:
            continue
        if name in ("mask_align", "bias", "kv_layout", "page_format", "attention"):
            words.append(str(value))
        elif value is True:
            words.append(name)
        else:
            words.append(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}")
    return words


_DEFAULTS: dict[str, Any] = {
    field.name: None if field.name in REQUIRED else field.default for field in fields(Problem)
}
FIELDS: tuple[str, ...] = tuple(_DEFAULTS)


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf


_WHOLE = "a whole number of at least "
# What a field may hold by itself: (test, how a message says it).
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **{name: (words.__contains__, f"one of {', '.join(words)}") for name, words in CHOICES.items()},
    **dict.fromkeys(POSITIVE, (lambda v: type(v) is int and v > 0, _WHOLE + "1")),
    **dict.fromkeys(NOT_NEGATIVE, (lambda v: type(v) is int and v >= 0, _WHOLE + "0")),
    **dict.fromkeys(POSITIVE_NUMBERS, (_is_positive, "a number above 0")),
    "density": (lambda v: _is_positive(v) and v <= 1, "a number above 0 and at most 1"),
    **dict.fromkeys(FLAGS, (lambda v: type(v) is bool, "true or false")),
    "requests": (lambda v: type(v) is str, "groups such as 2q2k_8q1s1k"),
}
