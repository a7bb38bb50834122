"""Every single value of a suite file: what it may say, its default and what it means.

The one source of the validation, of the JSON schema and of the tables in docs/suites.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnbench.measurement import L2_STATES, TIMERS
from attnbench.method import ENERGY_WINDOW_S, FLUSHES
from attnbench.problem import DEFAULTS, PROBLEM_FIELDS
from attnbench.problem.fields import ProblemField
from attnbench.suite.readers import Reader, flag, off_or_from, real, share, text, whole, word


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
