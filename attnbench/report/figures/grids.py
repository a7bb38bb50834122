"""Grids of lengths by batches and heads: who wins where, and how much faster than the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.report import palette, svg
from attnbench.report.facets import IN_CASE_TABLE, Facet, largest, not_shown, split
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
from attnbench.report.winners import Ranking, rankings, ties
from attnbench.units import count_text, time_text

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes


_CROSSOVER, _CROSSOVER_TITLE = "crossover", "Who wins where?"
_MOST_MAPS = 12
_MULTIPLE = 2.0  # larger wins are written as a multiple, 2.3x, smaller ones as +40%


def crossover(data: ReportData) -> Figure | MissingFigure:
    """Draw grids of lengths by batches (or heads), coloured by the fastest backend."""
    held = [one for one in data.rankings if not one.has_one_backend and one.best.length]
    if not held:
        return MissingFigure(
            _CROSSOVER,
            _CROSSOVER_TITLE,
            "no two backends completed the same problem with a single length",
        )
    facets = _maps(data)
    shown, left_out = largest(facets, _MOST_MAPS)
    panels = tuple(
        _map_panel(one, row, data, f"{_CROSSOVER}-{n}")
        for n, (one, row) in enumerate(shown_rows(shown))
    )
    found = [one for facet in shown for one in rankings(facet.points)]
    remarks = not_shown(left_out, "map", IN_CASE_TABLE)
    if any(point.latency and point.latency.low is None for one in found for point in one.points):
        remarks.append(
            "Some cases have fewer than three processes, so only the 2 % rule applies to them"
        )
    winners = {one.best.backend for one in found if not one.has_one_backend}
    return Figure(
        name=_CROSSOVER,
        title=_CROSSOVER_TITLE,
        how="Each cell has the colour and letters of the fastest backend; the number says how much"
        " longer the second takes. Hatched cells are ties: the win is under 2 %, or the intervals"
        " between processes overlap. Blank cells were not measured, or no backend completed them.",
        panels=panels,
        keys=(
            *backend_keys(data, sorted(winners)),
            Key("a tie: use either", sign="hatch"),
            Key("only one backend completed it", sign="blank"),
        ),
        table=_winner_table(found),
        remarks=tuple(remarks),
    )


def shown_rows(facets: Sequence[Facet]) -> list[tuple[Facet, str]]:
    """Pair each map with the field that its rows show."""
    return [(one, _row_field(one.points)) for one in facets]


def _maps(data: ReportData) -> list[Facet]:
    """Split the points by phase first: rows are batches in one phase and heads in another."""
    points = [point for point in data.points if point.length]
    axes: dict[str, tuple[str, ...]] = {}
    for phase in dict.fromkeys(point.phase for point in points):
        field = _row_field([point for point in points if point.phase == phase])
        axes[phase] = ("length", field)
    by_phase = []
    for phase, names in axes.items():
        members = [point for point in points if point.phase == phase]
        for facet in split(members, names):
            title = ", ".join(filter(None, (phase if len(axes) > 1 else "", facet.title)))
            if any(not one.has_one_backend for one in rankings(facet.points)):
                by_phase.append(Facet(title, facet.points))
    return by_phase


def _row_field(points: Sequence[Point]) -> str:
    """The batch where it varies, else the heads."""
    return "batch" if len({point.row["batch"] for point in points}) > 1 else "heads"


def _map_panel(facet: Facet, field: str, data: ReportData, name: str) -> Panel:
    found = rankings(facet.points)
    lengths = sorted({p.length for p in facet.points if p.length})
    cells = {
        (_row(one.best, field), count_text(one.best.length)): _winner_cell(one, data)
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
            cells[place] = GridCell(palette.BLANK, _short(point.case.status), palette.MUTED)
    rows = list(
        dict.fromkeys(_row(p, field) for p in sorted(facet.points, key=lambda p: _rank(p, field)))
    )
    drawn = Grid(rows, [count_text(one) for one in lengths], cells, _row_title(field), "tokens")
    about = (
        "Fastest backend by length and "
        + _row_title(field)
        + ". "
        + "; ".join(_winner_words(found))
    )
    return Panel(facet.title, grid_svg(drawn, name, facet.title or _CROSSOVER_TITLE, about))


def _winner_cell(one: Ranking, data: ReportData) -> GridCell:
    style = data.styles[one.best.backend]
    if one.has_one_backend:
        return GridCell(palette.BLANK, f"{style.code} only", palette.FG)
    if one.winner is None:
        codes = [data.styles[label].code for label in dict.fromkeys(one.tied)]
        text = "=".join(codes) if len(codes) < 3 else f"{len(codes)} tie"  # noqa: PLR2004
        return GridCell(palette.BLANK, text, palette.FG, is_hatched=True)
    return GridCell(style.colour, f"{style.code} {_margin(one)}", style.text)


def _short(status: str) -> str:
    """``not run`` for ``not_run``."""
    return status.replace("_", " ")


def _margin(one: Ranking) -> str:
    margin = one.margin or 0.0
    if margin + 1 >= _MULTIPLE:
        return f"{margin + 1:.1f}x" if margin < 9 else f"{margin + 1:.0f}x"  # noqa: PLR2004
    return f"+{100 * margin:.0f}%"


def _winner_table(found: Sequence[Ranking]) -> DataTable:
    rows = []
    for one in found:
        second = "" if one.has_one_backend else one.points[1].backend
        what = "only one" if one.has_one_backend else "tie" if one.winner is None else "win"
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
    columns = ("run", "problem", "fastest", "latency", "outcome", "second", "second is slower by")
    return DataTable(columns, tuple(rows))


def _winner_words(found: Sequence[Ranking]) -> list[str]:
    lines = []
    for one in found[:6]:
        length = count_text(one.best.length or 0)
        who = one.winner or ("a tie" if not one.has_one_backend else f"only {one.best.backend}")
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


_SPEEDUP, _SPEEDUP_TITLE = "speedup", "How much faster than the baseline?"
_MOST_SPEEDUPS = 10
_MOST_ROWS = 24
# Edges of the colour steps: 1 is in the middle, the outermost steps are 3x and beyond.
_EDGES = (1 / 3, 1 / 1.6, 1 / 1.2, 1 / 1.04, 1.04, 1.2, 1.6, 3.0)

Speed = tuple[Point, float]


def speedup(data: ReportData) -> Figure | MissingFigure:
    """Draw one grid of speed-ups per backend: batches and heads by lengths."""
    base = data.baseline
    if base is None:
        return MissingFigure(_SPEEDUP, _SPEEDUP_TITLE, data.baseline_why)
    speeds = _speeds(data, base)
    facets = split([point for point, _ in speeds], ("length", "batch", "heads"))
    by_backend = [
        Facet(", ".join(filter(None, (svg.literal(backend, 48), facet.title))), tuple(members))
        for facet in facets
        for backend in data.styles
        if (members := [p for p in facet.points if p.backend == backend])
    ]
    if not by_backend:
        return MissingFigure(
            _SPEEDUP, _SPEEDUP_TITLE, f"no other backend completed a problem that {base} completed"
        )
    ratios = {id(point): ratio for point, ratio in speeds}
    undecided = _undecided(data, base)
    shown, left_out = largest(by_backend, _MOST_SPEEDUPS)
    panels = tuple(
        _speedup_panel(one, ratios, undecided, base, f"{_SPEEDUP}-{n}")
        for n, one in enumerate(shown)
    )
    return Figure(
        name=_SPEEDUP,
        title=_SPEEDUP_TITLE,
        how=f"Each number is the latency of {base} divided by that of the backend: 2.0 means half"
        f" the time. Blue is faster than {base}, orange is slower, pale is within 4 %, hatched is"
        f" a tie. {base} is {data.baseline_why}.",
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
        table=_speedup_table(speeds),
        remarks=tuple(not_shown(left_out, "panel", IN_CASE_TABLE)),
    )


def _speeds(data: ReportData, base: str) -> list[Speed]:
    speeds = []
    for ranking in data.rankings:
        against = next((p.seconds for p in ranking.points if p.backend == base), None)
        if against is not None:
            speeds += [
                (p, against / p.seconds) for p in ranking.points if p.backend != base and p.length
            ]
    order = {id(point): place for place, point in enumerate(data.points)}
    return sorted(speeds, key=lambda one: order[id(one[0])])


def _undecided(data: ReportData, base: str) -> set[int]:
    """The ids of the points that tie with the baseline on their problem."""
    found = set()
    for ranking in data.rankings:
        against = next((p for p in ranking.points if p.backend == base), None)
        for point in ranking.points:
            if against is not None and point is not against:
                ordered = sorted((point, against), key=lambda one: one.seconds)
                if ties(*ordered):
                    found.add(id(point))
    return found


def _speedup_panel(
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
        (row(point), count_text(point.length)): _speedup_cell(
            ratios[id(point)], is_tie=id(point) in undecided
        )
        for point in facet.points
        if point.length
    }
    label = " and ".join(
        filter(None, ("batch" if with_batch else "", "heads" if with_heads else ""))
    )
    drawn = Grid(rows, [count_text(one) for one in lengths], cells, label or "heads", "tokens")
    values = [ratios[id(point)] for point in facet.points]
    about = (
        f"Speed-up over {base} by length: from {min(values):.2f} to {max(values):.2f},"
        f" geometric mean {math.exp(sum(map(math.log, values)) / len(values)):.2f}."
    )
    return Panel(facet.title, grid_svg(drawn, name, facet.title, about))


def _speedup_cell(ratio: float, *, is_tie: bool) -> GridCell:
    step = sum(ratio >= edge for edge in _EDGES)
    text = f"{ratio:.2f}" if ratio < 9.95 else f"{ratio:.0f}"  # noqa: PLR2004
    if is_tie:
        return GridCell(palette.BLANK, text, palette.FG, is_hatched=True)
    return GridCell(palette.step_colour(step), text, palette.step_text(step))


def _speedup_table(speeds: Sequence[Speed]) -> DataTable:
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
    return DataTable(("run", "problem", "backend", "latency", "speed-up", "result"), rows)


_CELL_WIDTH, _CELL_HEIGHT = 56, 30
_LETTER, _MARGIN, _PADDING = 6.6, 78, 8
MOST_TEXTS = 240  # in a larger grid nobody reads single cells


@dataclass(frozen=True, slots=True)
class GridCell:
    """One cell: its colour, its text and the text's colour; hatched means a tie."""

    colour: str
    text: str = ""
    text_colour: str = palette.FG
    is_hatched: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells by (row, column); a missing cell stays blank."""

    rows: Sequence[str]
    columns: Sequence[str]
    cells: Mapping[tuple[str, str], GridCell]
    row_label: str
    column_label: str


def grid_svg(grid: Grid, name: str, title: str, about: str) -> Markup:
    """Draw a grid that is large enough for the texts of its cells.

    Args:
        grid: rows, columns and cells.
        name: unique on the page; every id in the drawing begins with it.
        title: read by screen readers.
        about: description for screen readers.

    """
    import numpy as np
    import seaborn as sns
    from matplotlib.colors import ListedColormap

    left = _MARGIN + _LETTER * max(len(svg.literal(row, 24)) for row in grid.rows)
    longest = max((len(cell.text) for cell in grid.cells.values()), default=0)
    each = max(_CELL_WIDTH, _PADDING + _LETTER * longest)
    width = max(240.0, left + each * len(grid.columns))
    figure, axes = svg.new_panel(width, 66 + _CELL_HEIGHT * len(grid.rows))
    blank = GridCell(palette.BLANK)
    cells = [[grid.cells.get((row, column), blank) for column in grid.columns] for row in grid.rows]
    colours = list(dict.fromkeys(cell.colour for line in cells for cell in line))
    numbers = np.array([[colours.index(cell.colour) for cell in line] for line in cells])
    sns.heatmap(
        numbers,
        ax=axes,
        cmap=ListedColormap(colours),
        vmin=-0.5,
        vmax=len(colours) - 0.5,
        cbar=False,
        linewidths=2,
        linecolor=palette.GROUND,
        xticklabels=list(grid.columns),
        yticklabels=[svg.literal(row, 24) for row in grid.rows],
    )
    _write_cells(axes, cells)
    axes.grid(visible=False)
    axes.tick_params(length=0, labelrotation=0)
    axes.set_xlabel(grid.column_label)
    axes.set_ylabel(grid.row_label)
    return svg.render(figure, name, title, about)


def _write_cells(axes: Axes, cells: Sequence[Sequence[GridCell]]) -> None:
    from matplotlib.patches import Rectangle

    few = sum(map(len, cells)) <= MOST_TEXTS
    for y, line in enumerate(cells):
        for x, cell in enumerate(line):
            if cell.is_hatched:
                axes.add_patch(
                    Rectangle(
                        (x + 0.03, y + 0.05),
                        0.94,
                        0.9,
                        fill=False,
                        hatch="//",
                        edgecolor=palette.LINE,
                        linewidth=0,
                    )
                )
            if few and cell.text:
                axes.text(
                    x + 0.5,
                    y + 0.5,
                    cell.text,
                    ha="center",
                    va="center",
                    fontsize=10,
                    color=cell.text_colour,
                )
