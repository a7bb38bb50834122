"""``--set F=a,b``: a field that is replaced wherever it stands by an axis of its own, last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from attnbench.filter import did_you_mean
from attnbench.suite.diagnostics import Diagnostic, Place
from attnbench.suite.fields import PROBLEM, FieldSpec
from attnbench.suite.readers import ValueFault

_FLAG = "--set "


@dataclass(frozen=True, slots=True)
class Override:
    """One ``--set``, its values read and each with its place."""

    field: str
    values: tuple[Any, ...]
    places: tuple[Place, ...]
    place: Place


def read(words: Iterable[str]) -> tuple[list[Override], list[Diagnostic]]:
    """Read every ``--set``."""
    overrides: list[Override] = []
    faults: list[Diagnostic] = []
    for word in words:
        field, equals, rest = word.partition("=")
        place = _place(word, 0, len(field))
        if not equals or not rest:
            faults.append(Diagnostic(f"{word!r} sets nothing", place, "write --set kv_len=1k,4k"))
        elif field not in PROBLEM:
            advice = did_you_mean(field, PROBLEM)
            faults.append(Diagnostic(f"unknown field {field!r}", place, advice))
        elif any(one.field == field for one in overrides):
            faults.append(Diagnostic(f"{field} is set twice", place, f"write --set {field}=a,b"))
        else:
            override, wrong = _one(word, field, rest)
            overrides.append(override)
            faults += wrong
    return overrides, faults


def _one(word: str, field: str, rest: str) -> tuple[Override, list[Diagnostic]]:
    values, places, faults = [], [], []
    start = len(field) + 1
    for text in rest.split(","):
        place = _place(word, start, len(text))
        start += len(text) + 1
        try:
            values.append(PROBLEM[field](_typed(PROBLEM[field], text.strip())))
            places.append(place)
        except ValueFault as fault:
            faults.append(Diagnostic(fault.message, place, fault.advice))
    return Override(field, tuple(values), tuple(places), _place(word, 0, len(field))), faults


def _typed(leaf: FieldSpec, text: str) -> Any:
    """Read a word of the command line as the kind of value that a file would hold."""
    kind = leaf.schema.get("type")
    if kind == "boolean":
        return {"true": True, "false": False}.get(text, text)
    if kind == "number":
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _place(word: str, start: int, width: int) -> Place:
    return Place("command line", None, len(_FLAG) + start, width, f"{_FLAG}{word}")
