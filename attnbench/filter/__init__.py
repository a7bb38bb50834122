"""FILTER: the one language that picks cases, in -k, --filter, where:, exclude and --only.

::

    flash decode                       words: part of the label, or the first digits of an id
    kv_len>=4k batch=1,8               comparisons; a,b is either; a blank is "and"
    (mask=causal or window<=4k) not backend=naive

A field that a case does not have (window without a window mask) matches nothing but ``!=``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from attnbench.errors import InputError
from attnbench.filter.fields import (
    DERIVED,
    ORDERINGS,
    case_fields,
    did_you_mean,
    nearest,
    plain_fields,
    unknown_field,
    wrong_order,
    wrong_value,
)
from attnbench.filter.grammar import And, Condition, Mistake, Node, read

__all__ = [
    "DERIVED",
    "Filter",
    "Mistake",
    "case_fields",
    "check_condition",
    "did_you_mean",
    "find_mistake",
    "from_map",
    "nearest",
    "parse",
    "plain_fields",
]

# The longest first: "<=" begins with "<".
_SIGNS = ("!=", "<=", ">=", "=", "<", ">")


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter; ``text`` is what it was parsed from."""

    text: str
    node: Node

    def matches(self, fields: Mapping[str, Any]) -> bool:
        """Whether a case is picked, given as ``case_fields`` or a row of a table has it."""
        return self.node.matches(fields)


def parse(text: str, *, extra: Iterable[str] = ()) -> Filter:
    """Read a filter; ``extra`` names fields beside a case's own: options, a table's columns.

    Raises:
        InputError: syntax, a field or a value that cannot be, with a caret and the nearest word.

    """
    node = read(text, extra)
    if not isinstance(node, Mistake):
        return Filter(text.strip(), node)
    caret = " " * node.start + "^" * max(1, node.width)
    raise InputError(f"{node.message}\n    {text}\n    {caret} {node.advice}".rstrip())


def find_mistake(text: str, *, extra: Iterable[str] = ()) -> Mistake | None:
    """Say what is wrong with a filter and where, for who has a better place to show it."""
    node = read(text, extra)
    return node if isinstance(node, Mistake) else None


def from_map(conditions: Mapping[str, Any]) -> Filter:
    """Read an ``exclude`` map: every key matches; a value may be a list or like ``">=64k"``.

    Keys and values are taken as they are; ``check_condition`` says what is wrong with one.
    """
    tests = tuple(_condition(name, value) for name, value in conditions.items())
    text = " ".join(f"{one.field}{one.operator}{','.join(one.values)}" for one in tests)
    return Filter(text, And(tests))


def check_condition(
    name: str, value: object, *, extra: Iterable[str] = ()
) -> tuple[str, str, bool] | None:
    """Say what is wrong with one pair of an ``exclude`` map: message, advice, is it the key."""
    if advice := unknown_field(name, extra):
        return f"unknown key {name!r} in exclude", advice, True
    test = _condition(name, value)
    wrong = next(filter(None, (wrong_value(name, text) for text in test.values)), None)
    if not test.values:
        wrong = (f"{name} needs a value", "")
    if wrong is None and test.operator in ORDERINGS:
        wrong = wrong_order(name, test.values)
    return None if wrong is None else (*wrong, False)


def _condition(name: str, value: object) -> Condition:
    if isinstance(value, list | tuple):
        return Condition(name, "=", tuple(_value_text(one) for one in value))
    text = _value_text(value)
    for sign in _SIGNS:
        if text.startswith(sign):
            return Condition(name, sign, (text.removeprefix(sign).strip(),))
    return Condition(name, "=", (text,))


def _value_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)
