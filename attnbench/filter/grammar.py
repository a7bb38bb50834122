"""From a filter's text to a tree of frozen values that say whether a case matches.

The reader is a recursive descent: ``or`` binds weakest, then ``and``, then ``not``.
"""

from __future__ import annotations

import json
import math
import numbers
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from attnbench.filter.fields import (
    IDS,
    ORDERINGS,
    number_of,
    unknown_field,
    wrong_order,
    wrong_value,
)

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


# A piece of a word or value: brackets and quotes hold blanks, commas and signs together.
_HELD = r""""[^"]*"|'[^']*'|\[[^\]]*\]"""
_TOKEN = re.compile(
    rf"""\s*(?: (?P<paren>[()])
              | (?P<field>[A-Za-z_]\w*)\s*(?P<op>!=|<=|>=|=|<|>)\s*
                (?P<values>(?:{_HELD}|[^\s()\[\]"'])*)
              | (?P<word>(?:{_HELD}|[^\s()\[\]"'])+)
              | (?P<stray>\S) )""",
    re.VERBOSE,
)
_VALUE = re.compile(rf"(?:{_HELD}|[^,])+")
_QUOTED = re.compile(r"""(["'])(.*?)\1""")
_SIGN = re.compile(r"[<>=]")
# Deeper nesting than any filter needs, and far from the interpreter's own limit.
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a filter's text, where in it, and what to write instead."""

    message: str
    start: int
    width: int
    advice: str = ""


class _Stop(Exception):
    """Carries a mistake out of the descent."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.message)
        self.mistake = mistake


def read(text: str, extra: Iterable[str]) -> Node | Mistake:
    """Read a filter; ``extra`` names the fields that a case does not have by itself."""
    try:
        return _Reader(text, frozenset(extra)).whole()
    except _Stop as stop:
        return stop.mistake


class _Reader:
    def __init__(self, text: str, extra: frozenset[str]) -> None:
        self.text = text
        self.extra = extra
        self.tokens = list(_TOKEN.finditer(text))
        self.at = 0
        self.depth = 0

    def whole(self) -> Node:
        if not self.tokens:
            return And(())
        node = self.either()
        if self.at < len(self.tokens):
            self.stop("this ) closes nothing")
        return node

    def either(self) -> Node:
        nodes = [self.every()]
        while self.take("or"):
            nodes.append(self.every())
        return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))

    def every(self) -> Node:
        nodes = [self.one()]
        while self.take("and") or self.peek() not in (None, ")", "or"):
            nodes.append(self.one())
        return nodes[0] if len(nodes) == 1 else And(tuple(nodes))

    def one(self) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            self.stop("the filter is nested too deeply")
        node = self.inner()
        self.depth -= 1
        return node

    def inner(self) -> Node:
        word = self.peek()
        if word is None:
            self.stop("the filter ends where something to match should stand")
        if word in (")", "or", "and"):
            self.stop(f"{word!r} needs something to match before it")
        if self.take("not"):
            return Not(self.one())
        if self.take("("):
            node = self.either()
            if not self.take(")"):
                self.stop("a ( is not closed")
            return node
        token = self.tokens[self.at]
        if token["stray"]:
            self.stop(f"{token['stray']} is not closed, or closes nothing")
        if not token["field"] and _SIGN.search(re.sub(_HELD, "", token["word"])):
            self.stop(f"{token['word']!r} compares nothing", "write field=value")
        self.at += 1
        return self.test(token) if token["field"] else Word(_unquoted(token["word"]).casefold())

    def test(self, token: re.Match[str]) -> Condition:
        field, sign, values = token["field"], token["op"], token["values"]
        start = token.start("values")
        if advice := unknown_field(field, self.extra):
            place = (token.start("field"), len(field))
            raise _Stop(Mistake(f"unknown field {field!r}", *place, advice))
        if not values.strip(",") or _SIGN.match(values):
            advice = "write = once" if values.startswith("=") else ""
            raise _Stop(Mistake(f"{field}{sign} needs a value", start, len(values), advice))
        parts = list(_VALUE.finditer(values))
        for part in parts:
            if wrong := wrong_value(field, _unquoted(part[0])):
                place = (start + part.start(), len(part[0]))
                raise _Stop(Mistake(wrong[0], *place, wrong[1]))
        texts = tuple(_unquoted(part[0]) for part in parts)
        if sign in ORDERINGS and (wrong := wrong_order(field, texts)):
            raise _Stop(Mistake(wrong[0], start, len(values), wrong[1]))
        return Condition(field, sign, texts)

    def peek(self) -> str | None:
        """Return the next token, as it matters to the grammar."""
        if self.at >= len(self.tokens):
            return None
        token = self.tokens[self.at]
        return token["paren"] or (token["word"] or "").lower()

    def take(self, word: str) -> bool:
        if self.peek() != word:
            return False
        self.at += 1
        return True

    def stop(self, message: str, advice: str = "") -> NoReturn:
        if self.at >= len(self.tokens):
            raise _Stop(Mistake(message, len(self.text), 1, advice))
        token = self.tokens[self.at]
        kind = "field" if token["field"] else str(token.lastgroup)
        raise _Stop(Mistake(message, token.start(kind), len(token[kind]), advice))


def _unquoted(text: str) -> str:
    return _QUOTED.sub(r"\2", text)
