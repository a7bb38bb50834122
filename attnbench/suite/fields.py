"""Every single value of a suite file: how it is read, its default and what it means.

The validation, the JSON schema and the tables in docs/suites.md all come from these tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from attnbench.filter import did_you_mean
from attnbench.measurement import L2_STATES, TIMERS
from attnbench.method import ENERGY_WINDOW_S, FLUSHES
from attnbench.problem import DEFAULTS, PROBLEM_FIELDS
from attnbench.problem.fields import ProblemField
from attnbench.units import parse_count


class ValueFault(Exception):
    """A value that cannot be: what is wrong, and what to write."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice


Reader = Callable[[str, Any], Any]


def whole(low: int) -> Reader:
    """Read ``4096`` or ``4k``, at least ``low``."""

    def read(name: str, value: Any) -> int:
        number = value
        if isinstance(value, str):
            try:
                number = parse_count(value)
            except ValueError:
                raise ValueFault(
                    f"{name} needs a whole number, found the text {value!r}", _count_advice(value)
                ) from None
        if type(number) is not int:
            advice = f"write {int(value)}" if _is_integral(value) else "write 4096 or 4k"
            if isinstance(value, list | dict):
                advice = "what is varied goes under sweep"
            raise ValueFault(f"{name} needs a whole number, found {_found(value)}", advice)
        if number < low:
            raise ValueFault(f"{name} is at least {low}; got {number}")
        return number

    return read


def real(*, zero: bool = False) -> Reader:
    """Read a number above 0, or from 0 on."""

    def read(name: str, value: Any) -> float:
        if type(value) not in (int, float) or not math.isfinite(value):
            raise ValueFault(f"{name} needs a number, found {_found(value)}")
        if value < 0 or (value == 0 and not zero):
            raise ValueFault(f"{name} is {'at least' if zero else 'above'} 0; got {value}")
        return value  # type: ignore[no-any-return]

    return read


def off_or_from(low: float, why: str) -> Reader:
    """Read 0, or a number from ``low`` on; ``why`` says what is in the way of less."""

    def read(name: str, value: Any) -> float:
        number: float = real(zero=True)(name, value)
        if 0 < number < low:
            raise ValueFault(f"{name} is 0 (off) or at least {low:g}; got {value}", why)
        return number

    return read


def word(words: tuple[str, ...]) -> Reader:
    """Read one of a few words."""

    def read(name: str, value: Any) -> str:
        if value not in words or not isinstance(value, str):
            advice = did_you_mean(value, words) if isinstance(value, str) else ""
            got = repr(value) if isinstance(value, str) else _found(value)
            raise ValueFault(f"{name} is one of {', '.join(words)}; got {got}", advice)
        return value

    return read


def flag(name: str, value: Any) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueFault(f"{name} is true or false; got {_found(value)}", "write true or false")
    return value


def text(name: str, value: Any) -> str:
    """Read a text that says something."""
    if not isinstance(value, str) or not value.strip():
        quoted = f"write '{value}'" if isinstance(value, int | float) else ""
        raise ValueFault(f"{name} is a text; got {_found(value)}", quoted)
    return value


def share(name: str, value: Any) -> float:
    """Read ``3%`` or ``0.03``, which are the same."""
    number = value
    if isinstance(value, str):
        digits = value.strip()
        try:
            number = float(digits.removesuffix("%")) / (100 if digits.endswith("%") else 1)
        except ValueError:
            number = value
    if type(number) not in (int, float) or not math.isfinite(number):
        raise ValueFault(f"{name} is a share; got {_found(value)}", "write 3% or 0.03")
    if number < 0:
        raise ValueFault(f"{name} is at least 0; got {value}")
    if number >= 1 and not isinstance(value, str):
        raise ValueFault(f"{name} {value} would be {value * 100:g} %", f"write {value:g}% or 0.03")
    return round(float(number), 12)


def scalar(name: str, value: Any) -> Any:
    """Read a word, number or flag."""
    if isinstance(value, list | dict):
        raise ValueFault(f"{name} takes single values, found {_found(value)}")
    return value


def _found(value: Any) -> str:
    """Name a wrong value, in the words of a suite's author."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value!r}" if value else "an empty text"
    if isinstance(value, list):
        return "a list"
    return "a map" if isinstance(value, dict) else str(value)


def _is_integral(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _count_advice(value: str) -> str:
    close = "".join(value.split()).replace(",", "").replace("_", "").lower().removesuffix("b")
    try:
        return f"write {close} or {parse_count(close)}"
    except ValueError:
        return "write 4096 or 4k"


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One key with a single value; ``values`` and ``default`` are for people."""

    name: str
    read: Reader
    values: str
    default: str
    about: str
    schema: Mapping[str, Any]

    def __call__(self, value: Any) -> Any:
        """Return the value as it is meant.

        Raises:
            ValueFault: it cannot be.

        """
        return self.read(self.name, value)


_COUNT_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": "^[0-9]+[kKmMgG]?$"},
    ]
}
_SIZE_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": "^[0-9]+[kKmMgG]?$"},
    ]
}
_SHARE_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        {"type": "string", "pattern": "^[0-9.]+ *%$"},
    ]
}
_TEXT_SCHEMA = {"type": "string", "minLength": 1}


def _count(name: str, default: str, about: str, low: int = 1) -> FieldSpec:
    schema = _COUNT_SCHEMA if low else _SIZE_SCHEMA
    kind = "whole number above 0" if low else "whole number from 0"
    return FieldSpec(name, whole(low), kind, default, about, schema)


def _number(name: str, default: str, about: str, *, zero: bool = False) -> FieldSpec:
    bound = {"minimum": 0} if zero else {"exclusiveMinimum": 0}
    kind = "number from 0" if zero else "number above 0"
    return FieldSpec(name, real(zero=zero), kind, default, about, {"type": "number", **bound})


def _energy(name: str) -> FieldSpec:
    low = ENERGY_WINDOW_S
    return FieldSpec(
        name,
        off_or_from(low, "a board's energy counter moves in steps of up to 100 ms"),
        f"0, or a number from {low:g}",
        "0",
        "seconds of calls back to back, for energy_j_per_call; on a GPU",
        {"anyOf": [{"const": 0}, {"type": "number", "minimum": low}]},
    )


def _word(name: str, words: tuple[str, ...], default: str, about: str) -> FieldSpec:
    return FieldSpec(name, word(words), ", ".join(words), default, about, {"enum": list(words)})


def _flag(name: str, about: str) -> FieldSpec:
    return FieldSpec(name, flag, "true, false", "false", about, {"type": "boolean"})


def _text(name: str, default: str, about: str, values: str = "text") -> FieldSpec:
    return FieldSpec(name, text, values, default, about, _TEXT_SCHEMA)


def _share(name: str, default: str, about: str) -> FieldSpec:
    return FieldSpec(name, share, "share: 3% or 0.03", default, about, _SHARE_SCHEMA)


def _problem_key(name: str, declared: ProblemField) -> FieldSpec:
    """Return the key of a suite for a declared field of a problem."""
    default, about = _default_text(name, declared), declared.about
    if declared.kind == "word":
        return _word(name, declared.choices, default, about)
    if declared.kind == "count":
        return _count(name, default, about, low=declared.low)
    if declared.kind == "number":
        return _number(name, default, about)
    if declared.kind == "flag":
        return _flag(name, about)
    return _text(name, default, about, declared.values)


def _default_text(name: str, declared: ProblemField) -> str:
    """Write the default of a problem's field for people; nothing where there is none."""
    if declared.default_text or declared.same_as:
        return declared.default_text or str(declared.same_as)
    default = DEFAULTS[name] if declared.filled is None else declared.filled
    return "" if default is None else str(default).lower()


PROBLEM: dict[str, FieldSpec] = {
    **{name: _problem_key(name, declared) for name, declared in PROBLEM_FIELDS.items()},
    "model": _text(
        "model", "", "a named layout or ./config.json, instead of the head fields", "name or path"
    ),
    "tp": _count("tp", "1", "devices that share a model's heads; with model"),
}

MEASURE: dict[str, FieldSpec] = {
    leaf.name: leaf
    for leaf in (
        _count("processes", "3", "fresh processes"),
        _number("warmup_s", "0.1", "seconds of warm-up, and at least 3 calls", zero=True),
        _number(
            "sample_s", "0.3", "seconds of sampling in a process: 10 to 200 samples, 3 at least"
        ),
        _share("max_noise", "1%", "stop earlier when the in-process interval is under it"),
        _energy("energy_s"),
        _number("case_limit_s", "5", "predicted seconds of a case above which it is skipped"),
        _number("compile_s", "120", "seconds that prepare and the first call may take"),
        _number("deadline_s", "10 + 4 x case_limit_s", "seconds that everything after may take"),
        _word("timer", ("auto", *TIMERS), "auto", "how calls are timed; may be a list"),
        _word("l2", ("auto", *L2_STATES), "auto", "cold on CUDA, warm on a CPU; may be a list"),
        _word("flush", FLUSHES, "read", "how the last-level cache is made cold"),
    )
}
# These two may be lists: each way of timing is measured.
MEASURE_LISTS = ("timer", "l2")

GATE: dict[str, FieldSpec] = {
    leaf.name: leaf
    for leaf in (
        _share("max_slowdown", "2%", "how much slower a case may become"),
        _count("min_processes", "5", "processes without which a case is inconclusive"),
        _word("inconclusive", ("warn", "fail", "pass"), "warn", "what an inconclusive gate does"),
    )
}

LIMIT: dict[str, FieldSpec] = {
    leaf.name: leaf
    for leaf in (
        _text("where", "", "the cases that this limit is for", "FILTER"),
        _share("max_slowdown", "", "how much slower they may become"),
    )
}

PUBLISHED: dict[str, FieldSpec] = {
    leaf.name: leaf
    for leaf in (
        _text("where", "", "the cases that the figure is for", "FILTER"),
        _text("device", "", "what it was measured on"),
        _text("backend", "", "what was measured"),
        _number("latency_us", "", "microseconds a call"),
        _number("tflops", "", "TFLOP/s"),
        _number("gbps", "", "GB/s, 1 GB = 1e9 B"),
    )
}
FIGURES = ("latency_us", "tflops", "gbps")


def markdown(table: Mapping[str, FieldSpec]) -> str:
    """Write a table for docs/suites.md."""
    head = "| key | what it may say | default | meaning |\n|---|---|---|---|\n"
    rows = [
        f"| `{leaf.name}` | {leaf.values} | {leaf.default or '-'} | {leaf.about} |\n"
        for leaf in table.values()
    ]
    return head + "".join(rows)
