"""How latency grows with length."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from attnbench.report import canvas, palette
from attnbench.report.facets import Facet, largest, split
from attnbench.report.figures import lines
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
from attnbench.units import count_text, time_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME, TITLE = "latency", "How does time grow with length?"
_MOST_PANELS = 12
_LAUNCHES = 5  # a call of fewer is mostly its launch
_TOO_MUCH = ("oom", "skipped", "timeout")


def latency(subject: ReportData) -> Figure | MissingFigure:
    """Draw latency against length: a panel for each problem but its length, a line a backend."""
    long = [
        one for one in split([p for p in subject.points if p.length], ("length",)) if _grows(one)
    ]
    if not long:
        return MissingFigure(NAME, TITLE, "no problem was measured at two lengths or more")
    shown, left_out = largest(long, _MOST_PANELS)
    panels = tuple(_panel(one, subject, f"{NAME}-{n}") for n, one in enumerate(shown))
    present = {point.backend for one in shown for point in one.points if point.latency}
    has_marks = any(_marks(one) for one in shown)
    keys = backend_keys(subject, sorted(present))
    if has_marks:
        keys = (
            *keys,
            Key("the first length that did not finish, or was predicted not to", sign="cross"),
        )
    if any(_launch_bound(one) for one in shown):
        keys = (*keys, Key("the launch is a fifth of it or more", sign="alone"))
    remarks = []
    if left_out:
        remarks.append(f"{left_out} more panels are left out; the table of cases has every case")
    return Figure(
        name=NAME,
        title=TITLE,
        how="Both axes are logarithmic: a line that rises by one decade a decade is linear in"
        " length. Bands are the 95 % intervals between processes; where a case has fewer than three"
        " processes there is none. Dotted guides grow with the length and with its square.",
        panels=panels,
        keys=keys,
        table=_table(shown),
        remarks=tuple(remarks),
    )


def _grows(facet: Facet) -> bool:
    return len({point.length for point in facet.points if point.latency is not None}) > 1


def _panel(facet: Facet, subject: ReportData, name: str) -> Panel:
    drawn = lines.series(facet.points, _length, _seconds, with_band=True)
    figure, axes = canvas.panel(lines.WIDTH, lines.HEIGHT)
    low, high = lines.span(drawn)
    marks = _marks(facet)
    canvas.lengths_axis(axes, [*lines.across(drawn), *(x for x, _ in marks)], "tokens")
    canvas.time_axis(axes, low / 1.1, high * (1.6 if marks else 1.1))
    _guides(axes, drawn)
    if (launch := _launch_bound(facet)) is not None:
        axes.axhspan(low / 2, launch, color=palette.BLANK, linewidth=0, zorder=0)
    lines.draw(axes, drawn, subject.styles)
    for place, (x, backend) in enumerate(marks):
        colour = subject.styles[backend].colour
        axes.plot(
            [x],
            [0.96 - 0.07 * place],
            marker="x",
            color=colour,
            markersize=7,
            markeredgewidth=2,
            transform=axes.get_xaxis_transform(),
        )
    about = f"Latency against length on logarithmic axes. {_spoken(drawn)}"
    return Panel(facet.title, canvas.to_svg(figure, name, facet.title or TITLE, about))


def _guides(axes: Axes, drawn: Sequence[lines.Series]) -> None:
    """Two dotted lines from the last point of the topmost line: S and S squared."""
    top = max(drawn, key=lambda one: one.ys[-1])
    end, height, start = top.xs[-1], top.ys[-1], lines.across(drawn)[0]
    for power in (1, 2):
        foot = height * (start / end) ** power
        axes.plot(
            [start, end],
            [foot, height],
            color=palette.OTHER,
            linestyle=(0, (1, 3)),
            linewidth=1,
            zorder=1,
        )


def _launch_bound(facet: Facet) -> float | None:
    """Seconds below which a call takes less than five launches; None where no launch was timed."""
    known = [
        overhead
        for point in facet.points
        if point.latency and (overhead := point.middle("launch_overhead_us"))
    ]
    return _LAUNCHES * median(known) * 1e-6 if known else None


def _marks(facet: Facet) -> list[tuple[int, str]]:
    """The first length at which a backend that finished shorter ones ran out of memory or time."""
    marks = []
    for backend in dict.fromkeys(point.backend for point in facet.points):
        own = [point for point in facet.points if point.backend == backend]
        finished = [_length(point) or 0 for point in own if point.latency is not None]
        ended = [_length(point) or 0 for point in own if point.case.status in _TOO_MUCH]
        beyond = [length for length in ended if finished and length > max(finished)]
        if beyond:
            marks.append((min(beyond), backend))
    return marks[:6]


def _table(shown: Sequence[Facet]) -> DataTable:
    rows = []
    for facet in shown:
        for point in facet.points:
            if point.latency is None or point.length is None:
                continue
            half = point.latency.half_width
            reach = "" if half is None else f"±{100 * half:.1f} %"
            rows.append(
                (
                    facet.title,
                    count_text(point.length),
                    point.backend,
                    time_text(point.seconds),
                    reach,
                )
            )
    return DataTable(("panel", "tokens", "backend", "latency", "interval"), tuple(rows))


def _spoken(drawn: Sequence[lines.Series]) -> str:
    said = [
        f"{one.label}: {time_text(one.ys[0])} at {count_text(one.xs[0])} tokens to "
        f"{time_text(one.ys[-1])} at {count_text(one.xs[-1])}"
        for one in drawn[:4]
    ]
    return "; ".join(said)


def _length(point: Point) -> int | None:
    return point.length


def _seconds(point: Point) -> float | None:
    return None if point.latency is None else point.seconds
