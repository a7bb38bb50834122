"""A parsed filter as a tree of frozen values, each of which says whether a case matches."""

from __future__ import annotations

import json
import math
import numbers
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from attnbench.filter.fields import IDS, number_of

# Fewer digits of an id than four are read as a word alone: `bad` is three hex digits.
_ID_BEGINS = re.compile(r"[0-9a-f]{4,12}")
_ORDER: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Word:
    """Part of the label, or the first digits of an id; ``text`` is casefolded."""

    text: str

    def matches(self, fields: Mapping[str, Any]) -> bool:
        """Whether the case has it."""
        label = fields.get("label", fields.get("case_label", ""))
        if self.text in str(label).casefold():
            return True
        if not _ID_BEGINS.fullmatch(self.text):
            return False
        return any(str(fields.get(name, "")).startswith(self.text) for name in IDS)


@dataclass(frozen=True, slots=True)
class Condition:
    """One field against one or more values."""

    field: str
    operator: str
    values: tuple[str, ...]

    def matches(self, fields: Mapping[str, Any]) -> bool:
        """Whether the case's field compares so; what it does not have only differs."""
        value = _look_up(fields, self.field)
        if order := _ORDER.get(self.operator):
            return _ordered(value, order, self.values[0])
        equal = any(_is(one, text) for one in _held(self.field, value) for text in self.values)
        return equal == (self.operator == "=")


@dataclass(frozen=True, slots=True)
class Not:
    """What the node under it does not match."""

    node: Node

    def matches(self, fields: Mapping[str, Any]) -> bool:
        """Whether the node does not match."""
        return not self.node.matches(fields)


@dataclass(frozen=True, slots=True)
class And:
    """All of the nodes; without nodes, everything."""

    nodes: tuple[Node, ...]

    def matches(self, fields: Mapping[str, Any]) -> bool:
        """Whether every node matches."""
        return all(node.matches(fields) for node in self.nodes)


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the nodes."""

    nodes: tuple[Node, ...]

    def matches(self, fields: Mapping[str, Any]) -> bool:
        """Whether any node matches."""
        return any(node.matches(fields) for node in self.nodes)


Node = Word | Condition | Not | And | Or


def _look_up(fields: Mapping[str, Any], name: str) -> object:
    """Return a field, or an option out of a table's backend_options."""
    if name in fields:
        return fields[name]
    options = fields.get("backend_options")
    return json.loads(options).get(name) if isinstance(options, str) else None


def _absent(value: object) -> bool:
    """Whether a value is None, or any other null that a table may hold."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def _held(field: str, value: object) -> Iterator[object]:
    """Yield what a field holds: notes are several, and so are the models of one case."""
    if isinstance(value, str):
        yield from value.split(", ") if field == "model" else (value,)
    elif hasattr(value, "__iter__"):
        yield from value
    elif not _absent(value):
        yield value


def _is(value: object, text: str) -> bool:
    if isinstance(value, bool) or type(value).__name__ == "bool":  # numpy's own is no bool
        return ("true" if value else "false") == text.casefold()
    if isinstance(value, numbers.Real):
        number = number_of(text)
        return number is not None and math.isclose(float(value), number, rel_tol=1e-9)
    return str(value).casefold() == text.casefold()


def _ordered(value: object, order: Callable[[float, float], bool], text: str) -> bool:
    number = number_of(text)
    if number is None or _absent(value) or not isinstance(value, numbers.Real):
        return False
    return order(float(value), number)
