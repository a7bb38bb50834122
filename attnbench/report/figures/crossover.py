"""Who wins where: the map that says which backend to use."""

from __future__ import annotations

from collections.abc import Sequence

from attnbench.report import palette
from attnbench.report.facets import Facet, largest, split
from attnbench.report.figures import grid
from attnbench.report.model import (
    DataTable,
    Figure,
    Key,
    MissingFigure,
    Panel,
    ReportData,
    backend_keys,
)
from attnbench.report.points import Point
from attnbench.report.winners import Contest, contests
from attnbench.units import count_text, time_text

NAME, TITLE = "crossover", "Who wins where?"
_MOST_PANELS = 12
_MULTIPLE = 2.0  # from here on a win is said as a multiple


def crossover(subject: ReportData) -> Figure | MissingFigure:
    """Draw a grid of lengths by batches (or heads); a cell has the colour of the fastest."""
    held = [one for one in subject.contests if not one.is_alone and one.best.length]
    if not held:
        return MissingFigure(NAME, TITLE, "no problem with one length was finished by two backends")
    facets = _facets(subject)
    shown, left_out = largest(facets, _MOST_PANELS)
    panels = tuple(
        _panel(one, row, subject, f"{NAME}-{n}") for n, (one, row) in enumerate(shown_rows(shown))
    )
    found = [one for facet in shown for one in contests(facet.points)]
    remarks = []
    if left_out:
        remarks.append(f"{left_out} more maps are left out; the table of cases has every case")
    if any(point.latency and point.latency.low is None for one in found for point in one.points):
        remarks.append(
            "some cases have fewer than three processes and no interval: there the 2 % alone decide"
        )
    winners = {one.best.backend for one in found if not one.is_alone}
    return Figure(
        name=NAME,
        title=TITLE,
        how="A cell has the colour and the letters of the fastest backend; the figure says how much"
        " longer the second takes. A hatched cell is a tie: the win is under 2 %, or the intervals"
        " between processes overlap. A blank cell was not measured, or nothing finished.",
        panels=panels,
        keys=(
            *backend_keys(subject, sorted(winners)),
            Key("a tie: use either", sign="hatch"),
            Key("only one backend finished", sign="alone"),
        ),
        table=_table(found),
        remarks=tuple(remarks),
    )


def shown_rows(facets: Sequence[Facet]) -> list[tuple[Facet, str]]:
    """Pair each map with the field that its rows show."""
    return [(one, _row_field(one.points)) for one in facets]


def _facets(subject: ReportData) -> list[Facet]:
    """Maps by phase, since what varies in one phase need not in another; titles tell all apart."""
    points = [point for point in subject.points if point.length]
    axes: dict[str, tuple[str, ...]] = {}
    for phase in dict.fromkeys(point.phase for point in points):
        field = _row_field([point for point in points if point.phase == phase])
        axes[phase] = ("length", field)
    by_phase = []
    for phase, names in axes.items():
        members = [point for point in points if point.phase == phase]
        for facet in split(members, names):
            title = ", ".join(filter(None, (phase if len(axes) > 1 else "", facet.title)))
            if any(not one.is_alone for one in contests(facet.points)):
                by_phase.append(Facet(title, facet.points))
    return by_phase


def _row_field(points: Sequence[Point]) -> str:
    """The batch where it varies, else the heads."""
    return "batch" if len({point.row["batch"] for point in points}) > 1 else "heads"


def _panel(facet: Facet, field: str, subject: ReportData, name: str) -> Panel:
    found = contests(facet.points)
    lengths = sorted({p.length for p in facet.points if p.length})
    cells = {
        (_row(one.best, field), count_text(one.best.length)): _cell(one, subject)
        for one in found
        if one.best.length
    }
    finished = {
        (_row(p, field), count_text(p.length)) for one in found for p in one.points if p.length
    }
    for point in facet.points:
        if (
            point.length
            and (place := (_row(point, field), count_text(point.length))) not in finished
        ):
            cells[place] = grid.GridCell(palette.BLANK, _short(point.case.status), palette.MUTED)
    rows = list(
        dict.fromkeys(_row(p, field) for p in sorted(facet.points, key=lambda p: _rank(p, field)))
    )
    drawn = grid.Grid(
        rows, [count_text(one) for one in lengths], cells, _row_title(field), "tokens"
    )
    about = "Fastest backend by length and " + _row_title(field) + ". " + "; ".join(_said(found))
    return Panel(facet.title, grid.to_svg(drawn, name, facet.title or TITLE, about))


def _cell(one: Contest, subject: ReportData) -> grid.GridCell:
    style = subject.styles[one.best.backend]
    if one.is_alone:
        return grid.GridCell(palette.BLANK, f"{style.code} only", palette.FG)
    if one.winner is None:
        codes = [subject.styles[label].code for label in dict.fromkeys(one.tied)]
        text = "=".join(codes) if len(codes) < 3 else f"{len(codes)} tie"  # noqa: PLR2004
        return grid.GridCell(palette.BLANK, text, palette.FG, is_hatched=True)
    return grid.GridCell(style.colour, f"{style.code} {_margin(one)}", style.text)


def _short(status: str) -> str:
    """``not run`` for ``not_run``: a status as a cell says it, in full."""
    return status.replace("_", " ")


def _margin(one: Contest) -> str:
    margin = one.margin or 0.0
    if margin + 1 >= _MULTIPLE:
        return f"{margin + 1:.1f}x" if margin < 9 else f"{margin + 1:.0f}x"  # noqa: PLR2004
    return f"+{100 * margin:.0f}%"


def _table(found: Sequence[Contest]) -> DataTable:
    rows = []
    for one in found:
        second = "" if one.is_alone else one.points[1].backend
        what = "alone" if one.is_alone else "tie" if one.winner is None else "win"
        margin = "" if one.margin is None else f"+{100 * one.margin:.1f} %"
        best = one.best
        rows.append(
            (
                best.run,
                best.case.problem,
                best.backend,
                time_text(best.seconds),
                what,
                second,
                margin,
            )
        )
    columns = ("run", "problem", "fastest", "latency", "outcome", "second", "second takes")
    return DataTable(columns, tuple(rows))


def _said(found: Sequence[Contest]) -> list[str]:
    lines = []
    for one in found[:6]:
        length = count_text(one.best.length or 0)
        who = one.winner or ("a tie" if not one.is_alone else f"only {one.best.backend}")
        lines.append(f"{length}: {who}")
    return lines


def _row(point: Point, field: str) -> str:
    return point.heads if field == "heads" else str(point.row["batch"] or "?")


def _rank(point: Point, field: str) -> tuple[int, int]:
    if field == "batch":
        return (point.row["batch"] or 0, 0)
    return (point.row["q_heads"] or 0, point.row["kv_heads"] or 0)


def _row_title(field: str) -> str:
    return "heads" if field == "heads" else "batch"
