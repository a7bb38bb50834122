"""From a source to validated sections: keys that exist, values that are of their kind.

Every fault is found, and the sections that have none can be looked at further.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from attnbench.filter import did_you_mean
from attnbench.suite.diagnostics import Diagnostic
from attnbench.suite.fields import FIGURES, GATE, LIMIT, MEASURE, PROBLEM, PUBLISHED
from attnbench.suite.schema import TOP_KEYS, SuiteModel
from attnbench.suite.source import Path, Source

# The keys of each map, by its path without the names that an author chooses.
_KEYS: dict[Path, tuple[str, ...]] = {
    (): tuple(TOP_KEYS),
    ("problem",): tuple(PROBLEM),
    ("sweep",): tuple(PROBLEM),
    ("backends",): ("name", "options"),
    ("measure",): tuple(MEASURE),
    ("gate",): ("limits", *GATE),
    ("gate", "limits"): tuple(LIMIT),
    ("published",): tuple(PUBLISHED),
}
# Keys that were renamed: the map, the old name and the new one.
_RENAMED: dict[tuple[Path, str], str] = {
    (("measure",), "launches"): "processes",
    (("gate",), "min_launches"): "min_processes",
}
_KINDS = {
    "model_type": "a map of keys and values",
    "dict_type": "a map of keys and values",
    "list_type": "a list",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The sections of a suite as far as they are right; ``faulty`` names those that are not."""

    sections: Mapping[str, Any]
    faulty: frozenset[str]
    faults: tuple[Diagnostic, ...]

    def is_right(self, *sections: str) -> bool:
        """Whether none of these sections has a fault."""
        return not self.faulty.intersection(sections)


def shape_of(source: Source) -> Shape:
    """Validate a suite's values."""
    errors = _errors(source.data)
    faulty = frozenset(str(loc[0]) for loc, _, _ in errors if loc)
    left = {key: value for key, value in source.data.items() if key not in faulty}
    # What is required and faulty is filled in, so that the rest can be read.
    left = {"suite": "faulty", "backends": {}, **left}
    sections = SuiteModel.model_validate(left).model_dump(exclude_unset=True)
    faults = [_fault(source, *error) for error in errors]
    faults += _empty_figures(source, sections)
    return Shape(sections, faulty, tuple(faults))


def _errors(data: dict[str, Any]) -> list[tuple[Path, str, dict[str, Any]]]:
    """Return (path, kind of error, its details) of everything that is wrong."""
    try:
        SuiteModel.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        return [(one["loc"], one["type"], {**one.get("ctx", {})}) for one in found]
    return []


def _fault(source: Source, path: Path, kind: str, details: dict[str, Any]) -> Diagnostic:
    where = _section(path[:-1])
    if kind == "leaf":
        return Diagnostic(details["message"], source.value_place(path), details["advice"])
    if kind == "missing":
        place = source.key_place(path[:-1])
        return Diagnostic(f"{where} needs the key {path[-1]!r}", place)
    if kind == "extra_forbidden":
        return _unknown_key(source, path, where)
    if _is_unknown_axis(path, source.data):
        return _unknown_key(source, path[:2], "sweep")
    what = _KINDS.get(kind, "something else")
    return Diagnostic(f"{_section(path)} is {what}", source.value_place(path), _how(path))


def _unknown_key(source: Source, path: Path, where: str) -> Diagnostic:
    name = str(path[-1])
    if new_name := _RENAMED.get((path[:-1], name)):
        message = f"{name!r} in {where} was renamed to {new_name!r}"
        return Diagnostic(message, source.key_place(path), f"write {new_name}")
    allowed = keys_allowed(path[:-1])
    named = tuple(key for key in allowed if key != name)
    more = (f"keys allowed here: {', '.join(named)}",) if len(named) < 20 else ()  # noqa: PLR2004
    message = f"unknown key {name!r} in {where}"
    return Diagnostic(message, source.key_place(path), did_you_mean(name, named), more=more)


def keys_allowed(path: Path) -> tuple[str, ...]:
    """Return the keys that a map at this path may have."""
    words = tuple(one for one in path if isinstance(one, str))
    return _KEYS.get(words) or _KEYS.get(words[:1]) or ()


def _is_unknown_axis(path: Path, data: dict[str, Any]) -> bool:
    """Whether this is an axis that no field has the name of, and that ties no fields."""
    if len(path) < 2 or path[0] != "sweep" or path[1] in PROBLEM:  # noqa: PLR2004
        return False
    values = data["sweep"][path[1]]
    return not (isinstance(values, list) and any(isinstance(one, dict) for one in values))


def _section(path: Path) -> str:
    words = [one for one in path if isinstance(one, str)]
    return ".".join(words) if words else "a suite"


def _how(path: Path) -> str:
    """Show how a section is written that is often written otherwise."""
    if path == ("backends",):
        return "write each name as a key: 'sdpa:'"
    if path == ("exclude",):
        return "write - {kv_len: '>=64k'}"
    if path[:1] == ("sweep",) and len(path) > 2:  # noqa: PLR2004
        return "an axis whose name is no field ties fields: - {q_heads: 32, kv_heads: 8}"
    return ""


def _empty_figures(source: Source, sections: Mapping[str, Any]) -> Iterable[Diagnostic]:
    for index, one in enumerate(sections.get("published", ())):
        if not any(one.get(name) is not None for name in FIGURES):
            message = f"a published figure needs one of {', '.join(FIGURES)}"
            yield Diagnostic(message, source.value_place(("published", index)))
