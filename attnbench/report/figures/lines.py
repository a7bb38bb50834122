"""Lines over lengths: how latency and memory grow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
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
from attnbench.report.palette import Style
from attnbench.report.points import Point
from attnbench.units import bytes_text, count_text, time_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_LATENCY, _LATENCY_TITLE = "latency", "How does latency grow with length?"
_MOST_LATENCIES = 12
_LAUNCHES = 5  # a call shorter than this many launches is mostly launch overhead
_TOO_MUCH = ("oom", "skipped", "timeout")


def latency(data: ReportData) -> Figure | MissingFigure:
    """Draw latency against length, one line per backend."""
    long = [
        one
        for one in split([p for p in data.points if p.length], ("length",))
        if _latency_grows(one)
    ]
    if not long:
        return MissingFigure(
            _LATENCY, _LATENCY_TITLE, "no problem was measured at two or more lengths"
        )
    shown, left_out = largest(long, _MOST_LATENCIES)
    panels = tuple(_latency_panel(one, data, f"{_LATENCY}-{n}") for n, one in enumerate(shown))
    present = {point.backend for one in shown for point in one.points if point.latency}
    has_marks = any(_marks(one) for one in shown)
    keys = backend_keys(data, sorted(present))
    if has_marks:
        keys = (
            *keys,
            Key("first length that did not complete, or was predicted not to", sign="cross"),
        )
    if any(_launch_bound(one) for one in shown):
        keys = (*keys, Key("launch overhead is a fifth of the time or more", sign="blank"))
    remarks = not_shown(left_out, "panel", IN_CASE_TABLE)
    return Figure(
        name=_LATENCY,
        title=_LATENCY_TITLE,
        how="Both axes are logarithmic: a slope of 1 means linear scaling. Bands are the 95 %"
        " intervals between processes; cases with fewer than three processes have none. Dotted"
        " guides show linear and quadratic growth.",
        panels=panels,
        keys=keys,
        table=_latency_table(shown),
        remarks=tuple(remarks),
    )


def _latency_grows(facet: Facet) -> bool:
    return len({point.length for point in facet.points if point.latency is not None}) > 1


def _latency_panel(facet: Facet, data: ReportData, name: str) -> Panel:
    drawn = series(facet.points, _length, _seconds, with_band=True)
    figure, axes = svg.new_panel(WIDTH, HEIGHT)
    low, high = span(drawn)
    marks = _marks(facet)
    svg.lengths_axis(axes, [*across(drawn), *(x for x, _ in marks)], "tokens")
    svg.time_axis(axes, low / 1.1, high * (1.6 if marks else 1.1))
    _guides(axes, drawn)
    if (launch := _launch_bound(facet)) is not None:
        axes.axhspan(low / 2, launch, color=palette.BLANK, linewidth=0, zorder=0)
    draw(axes, drawn, data.styles)
    for place, (x, backend) in enumerate(marks):
        colour = data.styles[backend].colour
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
    return Panel(facet.title, svg.render(figure, name, facet.title or _LATENCY_TITLE, about))


def _guides(axes: Axes, drawn: Sequence[Series]) -> None:
    """Draw linear and quadratic growth, dotted, through the last point of the slowest line."""
    top = max(drawn, key=lambda one: one.ys[-1])
    end, height, start = top.xs[-1], top.ys[-1], across(drawn)[0]
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


def _latency_table(shown: Sequence[Facet]) -> DataTable:
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


def _spoken(drawn: Sequence[Series]) -> str:
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


_MEMORY, _MEMORY_TITLE = "memory", "How much memory does a call need?"
_MOST_MEMORIES = 6


def memory(data: ReportData) -> Figure | MissingFigure:
    """Draw peak memory against length, with the device's memory as a line."""
    points = [point for point in data.points if point.length]
    facets = [one for one in split(points, ("length",)) if _memory_grows(one)]
    if not facets:
        return MissingFigure(
            _MEMORY, _MEMORY_TITLE, "no problem has a peak memory at two or more lengths"
        )
    shown, left_out = largest(facets, _MOST_MEMORIES)
    panels = tuple(_memory_panel(one, data, f"{_MEMORY}-{n}") for n, one in enumerate(shown))
    keys = backend_keys(data, sorted({p.backend for one in shown for p in one.points if p.latency}))
    if any(len(_least(one)) > 1 for one in shown):
        keys = (*keys, Key("predicted minimum: q, k, v and output", sign="dashed"))
    if any(_ends(one) for one in shown):
        keys = (*keys, Key("out of memory, or predicted to be", sign="cross"))
    return Figure(
        name=_MEMORY,
        title=_MEMORY_TITLE,
        how="The peak memory of one call: inputs, prepared state, workspace and output. The dashed"
        " line is the minimum that the cost model predicts for any call; the backend itself adds"
        " the rest. A horizontal line marks the device's memory where it is near. The peak of a"
        " flash kernel grows linearly with length, that of a kernel that stores all scores"
        " quadratically.",
        panels=panels,
        keys=keys,
        table=_memory_table(shown),
        remarks=tuple(not_shown(left_out, "panel")),
    )


def _memory_grows(facet: Facet) -> bool:
    lengths = {p.length for p in facet.points if p.latency and p.middle("peak_bytes")}
    return len(lengths) > 1


def _memory_panel(facet: Facet, data: ReportData, name: str) -> Panel:
    drawn = series([p for p in facet.points if p.latency], _length, _peak)
    figure, axes = svg.new_panel(WIDTH, HEIGHT)
    ends = _ends(facet)
    low, high = span(drawn)
    low = min([low, *(size for _, size in _least(facet))])
    limit = facet.points[0].row["device_memory_bytes"]
    near = bool(limit) and (limit / high < 100 or bool(ends))  # noqa: PLR2004  two decades away
    svg.lengths_axis(axes, [*across(drawn), *(x for x, _ in ends)], "tokens")
    svg.bytes_axis(axes, low / 1.3, (limit if near else high) * 1.5)
    axes.set_ylabel("peak memory")
    if near:
        axes.axhline(limit, color=palette.MUTED, linewidth=1.2, zorder=1)
        axes.annotate(
            bytes_text(limit),
            (0.01, limit),
            xycoords=("axes fraction", "data"),
            xytext=(2, -4),
            textcoords="offset points",
            va="top",
            fontsize=10,
            color=palette.MUTED,
        )
    least = _least(facet)
    if len(least) > 1:
        axes.plot(*zip(*least, strict=True), color=palette.MUTED, dashes=(4, 3), linewidth=1.3)
    draw(axes, drawn, data.styles)
    for x, backend in ends:
        axes.plot(
            [x],
            [limit if near else high],
            marker="x",
            markersize=8,
            markeredgewidth=2,
            color=data.styles[backend].colour,
            zorder=4,
        )
    said = [f"{one.label}: up to {bytes_text(one.ys[-1])}" for one in drawn[:4]]
    about = f"Peak memory against length on logarithmic axes. {'; '.join(said)}"
    return Panel(facet.title, svg.render(figure, name, facet.title or _MEMORY_TITLE, about))


def _least(facet: Facet) -> list[tuple[int, float]]:
    """Bytes of q, k, v and the output by length: what the cost model says any call holds."""
    columns = ("bytes_q", "bytes_k", "bytes_v", "bytes_o", "bytes_scales")
    sizes = {
        point.length: float(sum(point.row[name] or 0 for name in columns))
        for point in facet.points
        if point.length and point.row["mode"] == "fwd" and point.row["bytes_q"]
    }
    return sorted(sizes.items())


def _ends(facet: Facet) -> list[tuple[int, str]]:
    """The shortest length at which each backend ran out of memory or was predicted to."""
    ends: dict[str, int] = {}
    for point in facet.points:
        reason = (point.case.reason or "").lower()
        no_room = point.case.status == "oom" or (
            point.case.status == "skipped" and ("memory" in reason or " free" in reason)
        )
        if no_room and point.length:
            ends[point.backend] = min(point.length, ends.get(point.backend, point.length))
    return [(length, backend) for backend, length in ends.items()][:6]


def _memory_table(shown: Sequence[Facet]) -> DataTable:
    rows = []
    for facet in shown:
        for point in facet.points:
            peak, work = point.middle("peak_bytes"), point.middle("workspace_bytes")
            if point.latency is None or peak is None or point.length is None:
                continue
            beside = "" if work is None else bytes_text(work)
            tokens = count_text(point.length)
            rows.append((facet.title, tokens, point.backend, bytes_text(peak), beside))
    return DataTable(("panel", "tokens", "backend", "peak", "workspace"), tuple(rows))


def _peak(point: Point) -> float | None:
    return point.middle("peak_bytes")


WIDTH, HEIGHT = 380, 270


@dataclass(frozen=True, slots=True)
class Series:
    """The line of one backend; ``band`` is its interval, None unless every point has one."""

    label: str
    xs: tuple[int, ...]
    ys: tuple[float, ...]
    band: tuple[tuple[float, ...], tuple[float, ...]] | None = None


def series(
    points: Sequence[Point],
    x: Callable[[Point], int | None],
    y: Callable[[Point], float | None],
    *,
    with_band: bool = False,
) -> list[Series]:
    """Make one line per backend.

    Args:
        points: the points of one panel.
        x: the place of a point along the axis; None leaves the point out.
        y: its height; None, zero and negative heights leave the point out.
        with_band: take the latency intervals as the band.

    """
    found: dict[str, dict[int, tuple[float, Point]]] = {}
    for point in points:
        across, up = x(point), y(point)
        if across is not None and up is not None and up > 0:
            found.setdefault(point.backend, {})[across] = (up, point)
    lines: list[Series] = []
    for label, members in found.items():
        ordered = sorted(members.items())
        lines.append(
            Series(
                label,
                tuple(across for across, _ in ordered),
                tuple(up for _, (up, _) in ordered),
                _band([point for _, (_, point) in ordered]) if with_band else None,
            )
        )
    return lines


def draw(axes: Axes, lines: Sequence[Series], styles: Mapping[str, Style]) -> None:
    """Draw the lines, the best backends last so that they lie on top."""
    order = {label: place for place, label in enumerate(styles)}
    for line in sorted(lines, key=lambda one: -order[one.label]):
        style = styles[line.label]
        grey = style.is_grey
        axes.plot(
            line.xs,
            line.ys,
            color=style.colour,
            marker=None if grey and len(line.xs) > 1 else style.marker,
            markersize=style.size,
            linestyle=(0, style.dash) if style.dash else "-",
            linewidth=0.9 if grey else 1.7,
            markeredgecolor=palette.GROUND,
            markeredgewidth=0.6,
            zorder=2 if grey else 3,
        )
        if line.band is not None and len(line.xs) > 1 and not grey:
            low, high = line.band
            axes.fill_between(line.xs, low, high, color=style.colour, alpha=0.18, linewidth=0)


def span(lines: Sequence[Series]) -> tuple[float, float]:
    """Return the lowest and the highest value of several lines and their bands.

    Band ends beyond three times the range of the lines are ignored: they would flatten the lines.
    """
    values = [value for line in lines for value in line.ys]
    low, high = min(values), max(values)
    bands = [line.band for line in lines if line.band is not None]
    lows = [value for band in bands for value in band[0] if value > low / 3]
    highs = [value for band in bands for value in band[1] if value < high * 3]
    return min([low, *lows]), max([high, *highs])


def across(lines: Sequence[Series]) -> list[int]:
    """Return every x of several lines."""
    return sorted({x for line in lines for x in line.xs})


def counts_axis(axes: Axes, values: Sequence[int], label: str) -> None:
    """Make x an axis of small counts: logarithmic, a tick at each value that is there."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log", base=2)
    axes.set_xlim(min(values) / 1.3, max(values) * 1.3)
    step = -(-len(values) // 8)
    axes.xaxis.set_major_locator(FixedLocator(list(values)[::step]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}"))
    axes.set_xlabel(label)


def _band(points: Sequence[Point]) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    lows, highs = [], []
    for point in points:
        latency = point.latency
        if latency is None or latency.low is None or latency.high is None:
            return None
        lows.append(latency.low)
        highs.append(latency.high)
    return tuple(lows), tuple(highs)
