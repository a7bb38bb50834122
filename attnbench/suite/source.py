"""A suite's text as plain values, each with its place: YAML 1.2 without duplicate keys.

ruamel.yaml finds the nodes and resolves plain scalars; the values are made here, because only the
nodes know where they stand. Anchors, aliases and tags are refused: a suite says what it means where
it says it.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.errors import SuiteError
from attnbench.suite.diagnostics import Diagnostic, Place, rendered

if TYPE_CHECKING:
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.nodes import Node

KeyPath = tuple[str | int, ...]

# The line breaks of YAML, which are fewer than those of str.splitlines.
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_WORD_BEFORE = re.compile(r"[^\s,{}\[\]:\"']*$")
_BRACKETS = re.compile(r"\[[^\]]*\]?")
_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "merge")
# What the parser says, in words that say what to do: (its words, ours, advice).
_WORDS = (
    ("cannot start any token", "this character cannot begin a value", "put the text in quotes"),
    (
        "mapping values are not allowed",
        "a ':' where no key can stand",
        "quote a text that holds ': ', or mend the indentation",
    ),
    ("could not find expected ':'", "a key without its ':'", "write key: value"),
    ("expected <block end>", "the indentation fits nothing above it", ""),
    (
        "expected chomping or indentation",
        "> and | begin a block of text",
        "put the value in quotes",
    ),
    ("found unexpected end of stream", "a quote is not closed", ""),
    ("but found another document", "a second document", "one suite a file: remove the ---"),
)


@dataclass(frozen=True, slots=True)
class Span:
    """Where a node stands, lines and columns from 0; ``width`` stays within the first line."""

    line: int
    column: int
    width: int


@dataclass(frozen=True, slots=True)
class Source:
    """A suite's text, its values, and the place of every key and value by path."""

    name: str
    text: str
    lines: tuple[str, ...]
    data: dict[str, Any]
    keys: dict[KeyPath, Span]
    values: dict[KeyPath, Span]

    def key_place(self, path: KeyPath) -> Place:
        """Return where a key stands; of a list's element, or what is not there, what is nearest."""
        return self._place(path, self.keys)

    def value_place(self, path: KeyPath) -> Place:
        """Return where a value stands; of what is not there, the nearest that holds it."""
        return self._place(path, self.values)

    def within(self, path: KeyPath, start: int, width: int) -> Place:
        """Return a stretch inside a text value."""
        place = self.value_place(path)
        quote = place.text[place.column : place.column + 1] in ("'", '"')
        return Place(place.name, place.line, place.column + start + quote, width, place.text)

    def _place(self, path: KeyPath, first: dict[KeyPath, Span]) -> Place:
        while path:
            span = first.get(path) or self.values.get(path) or self.keys.get(path)
            if span is not None:
                break
            path = path[:-1]
            first = self.keys
        else:
            span = Span(0, 0, 1)
        return _place(self.name, self.lines, span)


def read(text: str, name: str) -> tuple[Source, list[Diagnostic]]:
    """Read a suite's text; duplicate keys and the like are faults beside the values.

    Raises:
        SuiteError: the text is invalid YAML or is not a map.

    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    lines = tuple(_LINE_BREAK.split(text))
    builder = _Builder(name, lines)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about anchors, which are refused below
            root = YAML(typ="safe", pure=True).compose(text)
        if root is not None and root.id == "mapping":
            data = builder.build(root, ())
            return Source(name, text, lines, data, builder.keys, builder.values), builder.faults
    except YAMLError as error:
        raise SuiteError([_syntax(error, name, lines).render()]) from None
    except RecursionError:
        raise SuiteError([Diagnostic(f"{name} is nested too deeply", None).render()]) from None
    except (ValueError, TypeError, AttributeError, LookupError, AssertionError) as error:
        # The parser itself fails on some invalid YAML.
        raise SuiteError([Diagnostic(f"{name} is invalid YAML: {error}", None).render()]) from None
    what = "is empty" if root is None else "is no map of keys and values"
    more = ("attnbench init writes one to begin with",)
    raise SuiteError(rendered([Diagnostic(f"{name} {what}", None, more=more)]))


class _Builder:
    """Makes values from nodes, and writes down where each stands."""

    def __init__(self, name: str, lines: tuple[str, ...]) -> None:
        self.name = name
        self.lines = lines
        self.keys: dict[KeyPath, Span] = {}
        self.values: dict[KeyPath, Span] = {}
        self.faults: list[Diagnostic] = []
        self.seen: set[int] = set()

    def build(self, node: Any, path: KeyPath) -> Any:
        """Return the value of a node."""
        self.values[path] = self.span(node)
        if node.anchor or id(node) in self.seen:
            self.refuse(node, "an anchor or alias", "write the value out")
        if id(node) in self.seen:
            return None
        self.seen.add(id(node))
        if str(node.tag).removeprefix(_TAG) not in _KNOWN_TAGS:
            self.refuse(node, "a tag", "write the plain value")
        if node.id == "mapping":
            return self.mapping(node, path)
        if node.id == "sequence":
            return [self.build(one, (*path, index)) for index, one in enumerate(node.value)]
        return _scalar(str(node.tag).removeprefix(_TAG), str(node.value))

    def mapping(self, node: Any, path: KeyPath) -> dict[str, Any]:
        """Return a map; the first of two equal keys stays."""
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.id != "scalar":
                self.refuse(key_node, "a list or map as a key", "a key is one word")
                continue
            key, span = str(key_node.value), self.span(key_node)
            if key in values:
                self.duplicate(key, path, span)
                continue
            if key.endswith(":") and value_node.value == "":
                self.blank_after_colon(key, span)
                key = key.rstrip(":")
            self.keys[*path, key] = span
            values[key] = self.build(value_node, (*path, key))
            if values[key] is None:
                # Nothing stands nowhere: the parser's mark is that of the next thing.
                self.values[*path, key] = span
        return values

    def duplicate(self, key: str, path: KeyPath, span: Span) -> None:
        where = f" in {'.'.join(map(str, path))}" if path else ""
        first = _place(self.name, self.lines, self.keys[*path, key])
        second = _place(self.name, self.lines, span)
        message = f"the key {key!r} stands twice{where}"
        self.faults.append(Diagnostic(message, second, also=(first, "it stands here already")))

    def blank_after_colon(self, key: str, span: Span) -> None:
        word = key.rstrip(":")
        place = _place(self.name, self.lines, span)
        advice = f"write {{{word}: }}, with a blank after the colon"
        self.faults.append(Diagnostic(f"{key!r} is one word here, colon and all", place, advice))

    def refuse(self, node: Node, what: str, advice: str) -> None:
        place = _place(self.name, self.lines, self.span(node))
        self.faults.append(Diagnostic(f"{what} has no meaning in a suite", place, advice))

    def span(self, node: Node) -> Span:
        start, end = node.start_mark, node.end_mark
        if end.line == start.line:
            return Span(start.line, start.column, max(1, end.column - start.column))
        rest = self.lines[start.line] if start.line < len(self.lines) else ""
        shown = rest.split(" #")[0].rstrip()
        return Span(start.line, start.column, max(1, len(shown) - start.column))


def _scalar(kind: str, text: str) -> Any:
    """Return the value of a resolved scalar; what does not convert stays a text."""
    try:
        if kind == "int":
            return _whole(text)
        if kind == "float":
            return float(
                text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan")
            )
    except ValueError:
        return text
    if kind == "bool":
        return text.lower() == "true"
    return None if kind == "null" else text


def _whole(text: str) -> int:
    digits = text.replace("_", "").lower()
    based = digits.lstrip("+-")[:2] in ("0x", "0o", "0b")
    return int(digits, 0 if based else 10)


def _place(name: str, lines: tuple[str, ...], span: Span) -> Place:
    line = min(span.line, len(lines) - 1)
    text = lines[line]
    return Place(name, line + 1, min(span.column, len(text)), span.width, text)


def _syntax(error: YAMLError, name: str, lines: tuple[str, ...]) -> Diagnostic:
    """Say what the parser could not read, in the words of a suite where there are some."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", "") or getattr(error, "reason", "") or "")
    if mark is None:
        place = _position(error, name, lines)
        return Diagnostic(f"{name} is invalid YAML: {problem or 'unreadable'}", place)
    if "could not find expected ':'" in problem:
        mark = getattr(error, "context_mark", None) or mark
    place = _place(name, lines, Span(mark.line, mark.column, 1))
    at = place.text[place.column : place.column + 1]
    if at == "\t":
        return Diagnostic("a tab cannot indent YAML", place, "use blanks")
    if at == "[" and problem.startswith("expected ',' or"):
        return _bracketed_label(place)
    for theirs, ours, advice in _WORDS:
        if theirs in problem:
            return Diagnostic(ours, place, advice)
    return Diagnostic(f"invalid YAML: {problem}", place)


def _position(error: YAMLError, name: str, lines: tuple[str, ...]) -> Place | None:
    """Find the character that the reader refused; it counts characters, not lines."""
    position = getattr(error, "position", None)
    if not isinstance(position, int):
        return None
    for number, line in enumerate(lines):
        if position <= len(line):
            return _place(name, lines, Span(number, position, 1))
        position -= len(line) + 1
    return None


def _bracketed_label(place: Place) -> Diagnostic:
    before, after = place.text[: place.column], place.text[place.column :]
    name, brackets = _WORD_BEFORE.search(before), _BRACKETS.match(after)
    label = f"{name[0] if name else ''}{brackets[0] if brackets else ''}"
    start = place.column - (len(name[0]) if name else 0)
    whole = Place(place.name, place.line, start, len(label), place.text)
    return Diagnostic("a label with brackets needs quotes here", whole, f"write '{label}'")
