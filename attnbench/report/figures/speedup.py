"""How much faster than the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence

from attnbench.report import canvas, palette
from attnbench.report.facets import Facet, largest, split
from attnbench.report.figures import grid
from attnbench.report.model import DataTable, Figure, Key, MissingFigure, Panel, ReportData
from attnbench.report.points import Point
from attnbench.report.winners import ties
from attnbench.units import count_text, time_text

NAME, TITLE = "speedup", "How much faster than the baseline?"
_MOST_PANELS = 10
_MOST_ROWS = 24
# The scale: 1 stands in the middle, the outermost steps are 3 times faster or slower and beyond.
_EDGES = (1 / 3, 1 / 1.6, 1 / 1.2, 1 / 1.04, 1.04, 1.2, 1.6, 3.0)

Speed = tuple[Point, float]


def speedup(subject: ReportData) -> Figure | MissingFigure:
    """Draw, for each other backend, a grid of its speed-ups: batches and heads by lengths."""
    base = subject.baseline
    if base is None:
        return MissingFigure(NAME, TITLE, subject.baseline_why)
    speeds = _speeds(subject, base)
    facets = split([point for point, _ in speeds], ("length", "batch", "heads"))
    by_backend = [
        Facet(", ".join(filter(None, (canvas.literal(backend, 48), facet.title))), tuple(members))
        for facet in facets
        for backend in subject.styles
        if (members := [p for p in facet.points if p.backend == backend])
    ]
    if not by_backend:
        return MissingFigure(
            NAME, TITLE, f"no problem was finished by {base} and by another backend"
        )
    ratios = {id(point): ratio for point, ratio in speeds}
    undecided = _undecided(subject, base)
    shown, left_out = largest(by_backend, _MOST_PANELS)
    panels = tuple(
        _panel(one, ratios, undecided, base, f"{NAME}-{n}") for n, one in enumerate(shown)
    )
    remarks = [f"{left_out} more panels are left out; the table of cases has every case"]
    return Figure(
        name=NAME,
        title=TITLE,
        how=f"Each figure is the latency of {base} over that of the backend: 2.0 takes half the"
        f" time. Blue is faster than {base}, orange is slower, pale is within 4 %,"
        f" hatched cannot be told from it. {base} is"
        f" {subject.baseline_why}.",
        panels=panels,
        keys=tuple(
            Key(text, sign=f"d{step}")
            for step, text in (
                (0, "3x slower"),
                (2, "slower"),
                (4, "same"),
                (6, "faster"),
                (8, "3x faster"),
            )
        )
        + ((Key("a tie", sign="hatch"),) if undecided else ()),
        table=_table(speeds),
        remarks=tuple(remarks if left_out else ()),
    )


def _speeds(subject: ReportData, base: str) -> list[Speed]:
    speeds = []
    for contest in subject.contests:
        against = next((p.seconds for p in contest.points if p.backend == base), None)
        if against is not None:
            speeds += [
                (p, against / p.seconds) for p in contest.points if p.backend != base and p.length
            ]
    order = {id(point): place for place, point in enumerate(subject.points)}
    return sorted(speeds, key=lambda one: order[id(one[0])])


def _undecided(subject: ReportData, base: str) -> set[int]:
    """The points that cannot be told from the baseline of their problem."""
    found = set()
    for contest in subject.contests:
        against = next((p for p in contest.points if p.backend == base), None)
        for point in contest.points:
            if against is not None and point is not against:
                ordered = sorted((point, against), key=lambda one: one.seconds)
                if ties(*ordered):
                    found.add(id(point))
    return found


def _panel(
    facet: Facet, ratios: dict[int, float], undecided: set[int], base: str, name: str
) -> Panel:
    with_batch = len({point.row["batch"] for point in facet.points}) > 1
    with_heads = len({point.heads for point in facet.points}) > 1

    def row(point: Point) -> str:
        words = [f"b{point.row['batch']}" if with_batch else "", point.heads if with_heads else ""]
        return " ".join(filter(None, words)) or point.heads

    ordered = sorted(facet.points, key=lambda p: (p.row["batch"] or 0, p.row["kv_heads"] or 0))
    rows = list(dict.fromkeys(map(row, ordered)))[:_MOST_ROWS]
    lengths = sorted({point.length for point in facet.points if point.length})
    cells = {
        (row(point), count_text(point.length)): _cell(
            ratios[id(point)], is_tie=id(point) in undecided
        )
        for point in facet.points
        if point.length
    }
    label = " and ".join(
        filter(None, ("batch" if with_batch else "", "heads" if with_heads else ""))
    )
    drawn = grid.Grid(rows, [count_text(one) for one in lengths], cells, label or "heads", "tokens")
    values = [ratios[id(point)] for point in facet.points]
    about = (
        f"Speed-up over {base} by length: from {min(values):.2f} to {max(values):.2f},"
        f" geometric mean {math.exp(sum(map(math.log, values)) / len(values)):.2f}."
    )
    return Panel(facet.title, grid.to_svg(drawn, name, facet.title, about))


def _cell(ratio: float, *, is_tie: bool) -> grid.GridCell:
    step = sum(ratio >= edge for edge in _EDGES)
    text = f"{ratio:.2f}" if ratio < 9.95 else f"{ratio:.0f}"  # noqa: PLR2004
    if is_tie:
        return grid.GridCell(palette.BLANK, text, palette.FG, is_hatched=True)
    return grid.GridCell(palette.step_colour(step), text, palette.step_text(step))


def _table(speeds: Sequence[Speed]) -> DataTable:
    rows = tuple(
        (
            point.run,
            point.case.problem,
            point.backend,
            time_text(point.seconds),
            f"{ratio:.3f}",
            "faster" if ratio > 1 else "slower",
        )
        for point, ratio in speeds
    )
    return DataTable(("run", "problem", "backend", "latency", "speed-up", "in words"), rows)
