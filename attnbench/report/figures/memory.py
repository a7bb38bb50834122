"""Where memory ends: peak bytes against length, and the first length that did not fit."""

from __future__ import annotations

from collections.abc import Sequence

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
from attnbench.units import bytes_text, count_text

NAME, TITLE = "memory", "Where does memory end?"
_MOST_PANELS = 6


def memory(subject: ReportData) -> Figure | MissingFigure:
    """Draw the peak of one call against length, with the device's memory as a line."""
    points = [point for point in subject.points if point.length]
    facets = [one for one in split(points, ("length",)) if _grows(one)]
    if not facets:
        return MissingFigure(NAME, TITLE, "no problem has its peak memory at two lengths or more")
    shown, left_out = largest(facets, _MOST_PANELS)
    panels = tuple(_panel(one, subject, f"{NAME}-{n}") for n, one in enumerate(shown))
    keys = backend_keys(
        subject, sorted({p.backend for one in shown for p in one.points if p.latency})
    )
    if any(len(_least(one)) > 1 for one in shown):
        keys = (*keys, Key("predicted: q, k, v and the output alone", sign="dashed"))
    if any(_ends(one) for one in shown):
        keys = (*keys, Key("did not fit: out of memory, or predicted so", sign="cross"))
    return Figure(
        name=NAME,
        title=TITLE,
        how="The most memory held during one call: inputs, what the backend prepared, workspace and"
        " output. Dashed is what the cost model predicts any call to hold; what lies above it is"
        " the backend's. A horizontal line is the device's memory, where it is near. A flash"
        " kernel's peak grows with the length, that of one that keeps the scores with its square.",
        panels=panels,
        keys=keys,
        table=_table(shown),
        remarks=(f"{left_out} more panels are left out",) if left_out else (),
    )


def _grows(facet: Facet) -> bool:
    lengths = {p.length for p in facet.points if p.latency and p.middle("peak_bytes")}
    return len(lengths) > 1


def _panel(facet: Facet, subject: ReportData, name: str) -> Panel:
    drawn = lines.series([p for p in facet.points if p.latency], _length, _peak)
    figure, axes = canvas.panel(lines.WIDTH, lines.HEIGHT)
    ends = _ends(facet)
    low, high = lines.span(drawn)
    low = min([low, *(size for _, size in _least(facet))])
    limit = facet.points[0].row["device_memory_bytes"]
    near = bool(limit) and (limit / high < 100 or bool(ends))  # noqa: PLR2004  two decades away
    canvas.lengths_axis(axes, [*lines.across(drawn), *(x for x, _ in ends)], "tokens")
    canvas.bytes_axis(axes, low / 1.3, (limit if near else high) * 1.5)
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
    lines.draw(axes, drawn, subject.styles)
    for x, backend in ends:
        axes.plot(
            [x],
            [limit if near else high],
            marker="x",
            markersize=8,
            markeredgewidth=2,
            color=subject.styles[backend].colour,
            zorder=4,
        )
    said = [f"{one.label}: up to {bytes_text(one.ys[-1])}" for one in drawn[:4]]
    about = f"Peak memory against length on logarithmic axes. {'; '.join(said)}"
    return Panel(facet.title, canvas.to_svg(figure, name, facet.title or TITLE, about))


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
    """The shortest length at which each backend ran out of memory, or was predicted to."""
    ends: dict[str, int] = {}
    for point in facet.points:
        reason = (point.case.reason or "").lower()
        no_room = point.case.status == "oom" or (
            point.case.status == "skipped" and ("memory" in reason or " free" in reason)
        )
        if no_room and point.length:
            ends[point.backend] = min(point.length, ends.get(point.backend, point.length))
    return [(length, backend) for backend, length in ends.items()][:6]


def _table(shown: Sequence[Facet]) -> DataTable:
    rows = []
    for facet in shown:
        for point in facet.points:
            peak, work = point.middle("peak_bytes"), point.middle("workspace_bytes")
            if point.latency is None or peak is None or point.length is None:
                continue
            beside = "" if work is None else bytes_text(work)
            tokens = count_text(point.length)
            rows.append((facet.title, tokens, point.backend, bytes_text(peak), beside))
    return DataTable(("panel", "tokens", "backend", "peak", "of it workspace"), tuple(rows))


def _length(point: Point) -> int | None:
    return point.length


def _peak(point: Point) -> float | None:
    return point.middle("peak_bytes")
