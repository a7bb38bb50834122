"""How a field of a problem is declared, and the words that fields share.

``Problem`` declares each of its fields once, in the metadata of the dataclass field. From it come
the field's validation and default, the column of the result file, the key of a suite with its
schema and documentation, and what a filter accepts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from attnbench.problem import Problem

MODES = ("fwd", "bwd", "fwd_bwd")
PHASES = ("prefill", "decode", "extend", "mixed")
# Bits an element takes in memory; tf32 is fp32 storage whose products are rounded.
DTYPE_BITS = {
    "fp32": 32,
    "tf32": 32,
    "fp16": 16,
    "bf16": 16,
    "fp8_e4m3": 8,
    "fp8_e5m2": 8,
    "int8": 8,
    "int4": 4,
}
DTYPES = ("fp32", "tf32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2")
KV_DTYPES = (*DTYPES, "int8", "int4")
MASKS = ("none", "causal", "window")
MASK_ALIGNS = ("bottom_right", "top_left")

Kind = Literal["word", "text", "count", "number", "flag"]
_COLUMN_TYPES: dict[Kind, str] = {
    "word": "string",
    "text": "string",
    "count": "int64",
    "number": "float64",
    "flag": "bool",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemField:
    """The declaration of one field of a problem.

    Attributes:
        kind: one of a few words, any text, a whole number, a finite number, or true/false.
        about: what it means, for people.
        choices: the words of a ``word``.
        low: the least value of a ``count``; a ``number`` is above 0.
        high: the largest value of a ``number``.
        values: what a ``text`` may say, for people.
        needs: another field and the values of it under which this one means something. It is
            refused under any other.
        same_as: the field whose value it takes where it is not given.
        filled: the value it takes where it is not given and its dataclass default is None.
        computed: computes that value from the problem instead.
        default_text: how documentation writes that value, where it does not follow from the rest.
        label: how a case's label shows a value other than the default: as ``name=value``, as the
            bare ``value``, or not ("own": the label's own parts show it).
        since: the schema version that added its column.

    """

    kind: Kind
    about: str
    choices: tuple[str, ...] = ()
    low: int = 1
    high: float = math.inf
    values: str = ""
    needs: tuple[str, tuple[str, ...]] | None = None
    same_as: str | None = None
    filled: Any = None
    computed: Callable[[Problem], Any] | None = None
    default_text: str = ""
    label: Literal["pair", "value", "own"] = "pair"
    since: int = 1

    @property
    def column_type(self) -> str:
        """The type of its column in the result file."""
        return _COLUMN_TYPES[self.kind]

    @property
    def domain(self) -> str:
        """What it may be, as a message says it."""
        if self.kind == "word":
            return f"one of {', '.join(self.choices)}"
        if self.kind == "count":
            return f"a whole number of at least {self.low}"
        if self.kind == "number":
            most = "" if self.high == math.inf else f" and at most {self.high:g}"
            return f"a number above 0{most}"
        return "true or false" if self.kind == "flag" else self.values

    def admits(self, value: Any) -> bool:
        """Whether it may hold this value, regardless of the other fields."""
        if self.kind == "word":
            return value in self.choices
        if self.kind == "count":
            return type(value) is int and value >= self.low
        if self.kind == "number":
            # NaN fails the first comparison, infinity the second.
            return type(value) in (int, float) and 0 < value < math.inf and value <= self.high
        return type(value) is (bool if self.kind == "flag" else str)

    def default_in(self, problem: Problem, declared: Any) -> Any:
        """Return its value where it is not given; ``declared`` is the dataclass default.

        None where it means nothing, because the field that it needs has another value.
        """
        if self.needs is not None and getattr(problem, self.needs[0]) not in self.needs[1]:
            return None
        if self.same_as is not None:
            return getattr(problem, self.same_as)
        if self.computed is not None:
            return self.computed(problem)
        return declared if self.filled is None else self.filled

    @property
    def follows(self) -> bool:
        """Whether its value, where it is not given, follows from other fields."""
        ways = (self.needs, self.same_as, self.computed, self.filled)
        return any(way is not None for way in ways)


def declared(kind: Kind, about: str, **more: Any) -> dict[str, ProblemField]:
    """Return the metadata of a dataclass field of ``Problem``."""
    return {"declared": ProblemField(kind=kind, about=about, **more)}


# The five kinds as dataclass fields with a default. They return Any, as ``dataclasses.field`` does
# for a type checker, so that each can stand for a field of any type.


def word(default: str | None, choices: tuple[str, ...], about: str, **more: Any) -> Any:
    """Declare a field that is one of a few words."""
    return field(default=default, metadata=declared("word", about, choices=choices, **more))


def text(default: str | None, values: str, about: str, **more: Any) -> Any:
    """Declare a field that is a text; ``values`` says what kind of text."""
    return field(default=default, metadata=declared("text", about, values=values, **more))


def count(default: int | None, about: str, **more: Any) -> Any:
    """Declare a field that is a whole number of at least ``low``, which is 1 if not given."""
    return field(default=default, metadata=declared("count", about, **more))


def number(default: float | None, about: str, **more: Any) -> Any:
    """Declare a field that is a finite number above 0 and at most ``high``."""
    return field(default=default, metadata=declared("number", about, **more))


def flag(about: str, **more: Any) -> Any:
    """Declare a field that is true or false, false by default."""
    return field(default=False, metadata=declared("flag", about, **more))
