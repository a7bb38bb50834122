"""The parts of a page as values; ``html`` lays them out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from attnbench.report.comparisons import Comparisons
from attnbench.report.palette import Style
from attnbench.report.points import Point, drawn
from attnbench.report.winners import Ranking
from attnbench.units import counted

if TYPE_CHECKING:
    from markupsafe import Markup

Cell = str
MOST_DATA_ROWS = 300  # of the table under a figure; the table of all cases has the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """The input of every figure.

    ``styles`` has every backend, the best first. Speed-ups are relative to ``baseline``, None if
    there is none; ``baseline_why`` says why it was chosen, or why there is none.
    """

    points: tuple[Point, ...]
    rankings: tuple[Ranking, ...]
    styles: Mapping[str, Style]
    baseline: str | None
    baseline_why: str
    comparisons: Comparisons = field(default_factory=Comparisons)

    @property
    def ok(self) -> list[Point]:
        """The points that figures show."""
        return drawn(self.points)


@dataclass(frozen=True, slots=True)
class DataTable:
    """The data of a figure, as texts."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def shown(self) -> tuple[tuple[Cell, ...], ...]:
        """The rows that the page holds."""
        return self.rows[:MOST_DATA_ROWS]

    @property
    def left_out(self) -> int:
        """The number of rows that the page leaves out."""
        return max(0, len(self.rows) - MOST_DATA_ROWS)


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing of a figure."""

    title: str
    svg: Markup


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend: ``style`` for a backend, ``sign`` for anything else."""

    text: str
    style: Style | None = None
    sign: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A question, its drawings, how to read them, and their data."""

    name: str
    title: str
    how: str
    panels: tuple[Panel, ...]
    table: DataTable
    keys: tuple[Key, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MissingFigure:
    """A figure without data, and why it has none."""

    name: str
    title: str
    why: str


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with its figures."""

    name: str
    title: str
    figures: tuple[Figure | MissingFigure, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table of cases; a minor one repeats a part of the problem's label."""

    name: str
    about: str
    is_number: bool = False
    is_minor: bool = False


@dataclass(frozen=True, slots=True)
class CaseTable:
    """All cases: a cell is (text, value to sort and filter by)."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[tuple[str, Any], ...], ...]


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """Cases that share a status, a backend and a reason except for its numbers."""

    status: str
    backend: str
    reason: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of one run: named facts and the text of its suite."""

    run: str
    facts: tuple[tuple[str, str], ...]
    suite_text: str | None

    @property
    def as_json(self) -> str:
        """The facts for a program, or for an issue."""
        return json.dumps(dict(self.facts), indent=1, ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The whole report."""

    title: str
    verdict: str
    rules: tuple[str, ...]
    warnings: tuple[str, ...]
    chips: tuple[tuple[str, str], ...]
    common: tuple[str, ...]
    sections: tuple[Section, ...]
    cases: CaseTable
    failures: tuple[ReasonGroup, ...]
    provenance: tuple[Provenance, ...]
    formulas: tuple[tuple[str, str, str], ...]
    version: str
    keys: tuple[Key, ...] = field(default=())
    compared: tuple[str, ...] = ()
    published: tuple[tuple[str, ...], ...] = ()
    advice: str = ""


def backend_keys(data: ReportData, shown: Sequence[str]) -> tuple[Key, ...]:
    """Return the legend of the backends that a figure shows; grey ones share an entry."""
    present = set(shown)
    named = [style for label, style in data.styles.items() if label in present]
    keys = [Key(style.label, style) for style in named if not style.is_grey]
    greys = [style.label for style in named if style.is_grey]
    if greys:
        keys.append(
            Key(
                f"{counted(len(greys), 'other backend')}, in grey",
                next(s for s in named if s.is_grey),
            )
        )
    return tuple(keys)
