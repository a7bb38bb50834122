"""What a page is made of, as values: ``html`` only lays it out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from attnbench.report.comparisons import Comparisons
from attnbench.report.palette import Style
from attnbench.report.points import Point, drawn
from attnbench.report.winners import Contest

if TYPE_CHECKING:
    from markupsafe import Markup

Cell = str
MOST_DATA_ROWS = 300  # of the table under a figure; the table of all cases has the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """What every figure is made from.

    ``styles`` has every backend, the best first. ``baseline`` is what speed-ups are against, and
    ``baseline_why`` says where it comes from; None where no backend can be it.
    """

    points: tuple[Point, ...]
    contests: tuple[Contest, ...]
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
    """Numbers behind a figure, as texts; the first line names the columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def shown(self) -> tuple[tuple[Cell, ...], ...]:
        """The rows that the page holds."""
        return self.rows[:MOST_DATA_ROWS]

    @property
    def left_out(self) -> int:
        """How many it does not."""
        return max(0, len(self.rows) - MOST_DATA_ROWS)


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing of a figure."""

    title: str
    svg: Markup


@dataclass(frozen=True, slots=True)
class Key:
    """One line of a legend: ``style`` for a backend, or ``sign`` for anything else."""

    text: str
    style: Style | None = None
    sign: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One question, its drawings, how to read them, and their numbers."""

    name: str
    title: str
    how: str
    panels: tuple[Panel, ...]
    table: DataTable
    keys: tuple[Key, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MissingFigure:
    """A figure that there is no data for, and why."""

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
    """A column of the table of cases; a minor one says again what the problem's label says."""

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
    """Cases that share a status, a backend and a reason up to its figures."""

    status: str
    backend: str
    reason: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where one run comes from: names and values, the suite's text, the command."""

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
    """Return the legend of the backends that a figure shows, the greys as one line."""
    present = set(shown)
    named = [style for label, style in data.styles.items() if label in present]
    keys = [Key(style.label, style) for style in named if not style.is_grey]
    greys = [style.label for style in named if style.is_grey]
    if greys:
        keys.append(
            Key(f"{len(greys)} other backends, in grey", next(s for s in named if s.is_grey))
        )
    return tuple(keys)
