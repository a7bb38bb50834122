"""Split points into panels and title the panels.

The points of a panel differ only in the fields that its axes show and in the backend. A title names
only the fields that differ between panels; what all points share is listed once per page.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from attnbench.problem import FIELDS
from attnbench.report import svg
from attnbench.report.points import Point
from attnbench.units import count_text, counted

IN_CASE_TABLE = "the table of all cases has every case"
# In the order of a title; heads stands for q_heads and kv_heads.
_FIRST = ("run", "phase", "mode", "batch", "length", "q_len", "kv_len", "heads", "head_dim")
_HANDLED = {*_FIRST, "q_heads", "kv_heads", "scale", "seed"}
CONTEXT = (*_FIRST, *(name for name in FIELDS if name not in _HANDLED), "timing")
_LONGEST = 48  # letters of one word, which leaves room for the words after it
_BARE = ("run", "phase", "mode", "dtype", "attention", "kv_layout", "timing")


# Fields that are not columns, and columns that are named only if they differ from another.
_OWN: dict[str, Callable[[Point], Any]] = {
    "run": lambda point: point.run,
    "timing": lambda point: point.case.timing,
    "heads": lambda point: point.heads,
    "length": lambda point: point.length,
}
_SAME_AS = {"kv_dtype": "dtype", "v_head_dim": "head_dim"}


@dataclass(frozen=True, slots=True)
class Facet:
    """The points of one panel."""

    title: str
    points: tuple[Point, ...]


def value(point: Point, name: str) -> Any:
    """Return the value of a field of a point; None if the title need not name it."""
    if name in _OWN:
        return _OWN[name](point)
    if name in ("q_len", "kv_len") and _is_length(point, name):
        return None
    other = _SAME_AS.get(name)
    if other is not None and point.row[name] == point.row[other]:
        return None
    return point.row[name]


def split(points: Sequence[Point], axes: Collection[str]) -> list[Facet]:
    """Split points into panels.

    Args:
        points: what to show.
        axes: fields of ``CONTEXT`` that may differ within a panel.

    """
    names = [name for name in CONTEXT if name not in axes]
    groups: dict[tuple[Any, ...], list[Point]] = {}
    for point in points:
        groups.setdefault(tuple(value(point, name) for name in names), []).append(point)
    varying = _varying(names, list(groups))
    return [
        Facet(_title([(names[at], key[at]) for at in varying[_phase(names, key)]]), tuple(members))
        for key, members in groups.items()
    ]


def not_shown(left_out: int, noun: str, where: str = "") -> list[str]:
    """Return the remark ``2 more panels are not shown; WHERE``; empty where none was left out."""
    if not left_out:
        return []
    text = f"{counted(left_out, f'more {noun}', 'are')} not shown"
    return [f"{text}; {where}" if where else text]


def largest(facets: Sequence[Facet], most: int) -> tuple[list[Facet], int]:
    """Return at most ``most`` panels in their order, and how many are left out.

    Panels with the most points are kept. Among equal ones the kept panels are spread evenly, so
    that they do not all show the same batch or heads.
    """
    if len(facets) <= most:
        return list(facets), 0
    sizes = sorted((len(one.points) for one in facets), reverse=True)
    sure = [place for place, one in enumerate(facets) if len(one.points) > sizes[most - 1]]
    equal = [place for place, one in enumerate(facets) if len(one.points) == sizes[most - 1]]
    wanted = most - len(sure)
    step = (len(equal) - 1) / max(1, wanted - 1)
    taken = {*sure, *(equal[round(n * step)] for n in range(wanted))}
    return [one for place, one in enumerate(facets) if place in taken], len(facets) - len(taken)


def shared(points: Sequence[Point]) -> list[str]:
    """Return one line per phase with the fields that all its points share."""
    names = ("batch", "heads", "head_dim", "dtype", "kv_dtype", "mask", "mode", "timing")
    lines = []
    for phase in dict.fromkeys(point.phase for point in points):
        members = [point for point in points if point.phase == phase]
        words = []
        for name in names:
            values = {_plain(value(point, name)) for point in members}
            if len(values) == 1 and (word := words_of(name, value(members[0], name))):
                words.append(word)
        lines.append(f"{phase}: {', '.join(words)}" if words else phase)
    return lines


def words_of(name: str, what: Any) -> str:
    """``batch 8``, ``32/8 heads``, ``no mask``: one field in words."""
    if what is None or what == "":
        return ""
    if name in _BARE:
        return str(what)
    if name == "heads":
        return f"{what} heads"
    if name == "mask":
        return "no mask" if what == "none" else str(what)
    if isinstance(what, bool):
        return name if what else f"no {name}"
    text = count_text(what) if isinstance(what, int) and "len" in name else f"{what}"
    return f"{name} {text}"


def _varying(names: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> dict[Any, list[int]]:
    """Return, for each phase, the places in a key that differ between its panels."""
    by_phase: dict[Any, list[tuple[Any, ...]]] = {}
    for key in keys:
        by_phase.setdefault(_phase(names, key), []).append(key)
    return {
        phase: [
            at
            for at, name in enumerate(names)
            if (
                len(by_phase) > 1
                if name == "phase"
                else len({_plain(key[at]) for key in alike}) > 1
            )
        ]
        for phase, alike in by_phase.items()
    }


def _phase(names: Sequence[str], key: tuple[Any, ...]) -> Any:
    return key[names.index("phase")] if "phase" in names else None


def _is_length(point: Point, name: str) -> bool:
    """Whether the axis of lengths already shows this field."""
    if point.phase == "prefill":
        return name == "q_len" or point.row["kv_len"] == point.row["q_len"]
    return name == "kv_len" or point.phase == "decode"


def _title(said: Sequence[tuple[str, Any]]) -> str:
    words = (svg.literal(words_of(name, what), _LONGEST) for name, what in said)
    return ", ".join(filter(None, words))


def _plain(what: Any) -> Any:
    return str(what) if isinstance(what, list) else what
