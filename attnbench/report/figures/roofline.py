"""How close to the hardware: rates under the measured roofs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attnbench.report import palette, svg
from attnbench.report.facets import Facet, largest, not_shown, split
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
from attnbench.units import counted, flops_text, rate_text, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME, TITLE = "roofline", "Is it memory-bound or compute-bound?"
_WIDTH, _HEIGHT = 620, 400
_MOST_PANELS = 4
_MOST_POINTS = 1200


def roofline(data: ReportData) -> Figure | MissingFigure:
    """Draw TFLOP/s against FLOP per byte under the measured ceilings, per run and dtype."""
    priced = [point for point in data.ok if point.tflops and point.row["intensity"]]
    roofed = [point for point in priced if _roof(point) is not None]
    if not roofed:
        why = "no case has measured ceilings"
        if not priced:
            why = "no ok case has a cost" if data.ok else "no case is ok"
        return MissingFigure(NAME, TITLE, why)
    facets = split(roofed, _AXES)
    shown, left_out = largest(facets, _MOST_PANELS)
    panels = tuple(_panel(one, data, f"{NAME}-{n}") for n, one in enumerate(shown))
    remarks = not_shown(left_out, "panel")
    if any(len(one.points) > _MOST_POINTS for one in shown):
        remarks.append(f"Each panel draws at most {_MOST_POINTS:,} points, spread over its cases")
    outside = sum("L2_RESIDENT" in point.case.notes for one in shown for point in one.points)
    if outside:
        remarks.append(
            f"The working set of {counted(outside, 'point')} fits in the last-level cache"
            " (L2_RESIDENT): they may lie above the memory ceiling"
        )
    present = sorted({point.backend for one in shown for point in one.points})
    return Figure(
        name=NAME,
        title=TITLE,
        how="The slanted line is the best bandwidth measured on this device, the flat line its best"
        " matrix-product rate for the dtype. Points under the slanted line are memory-bound, points"
        " under the flat line compute-bound; the distance to the line is what is left to gain."
        " Filled points are prefill, hollow points are other phases. FLOP and bytes are the"
        " minimum that the problem needs, not what a kernel actually does.",
        panels=panels,
        keys=(
            *backend_keys(data, present),
            *(
                [Key("data sheet ceiling", sign="dashed")]
                if any(_sheet(one) for one in shown)
                else []
            ),
            Key("prefill", sign="filled"),
            Key("decode and other phases", sign="hollow"),
        ),
        table=_table([point for one in shown for point in one.points]),
        remarks=tuple(remarks),
    )


# A panel is a device and a dtype; everything else differs inside it.
def _axes() -> tuple[str, ...]:
    from attnbench.report.facets import CONTEXT

    return tuple(name for name in CONTEXT if name not in ("run", "dtype"))


_AXES = _axes()


def _roof(point: Point) -> tuple[float, float] | None:
    bandwidth, tflops = point.middle("peak_bandwidth_gbps"), point.middle("peak_tflops")
    return (bandwidth, tflops) if bandwidth and tflops else None


def _panel(facet: Facet, data: ReportData, name: str) -> Panel:
    roofs = [roof for point in facet.points if (roof := _roof(point)) is not None]
    bandwidth, peak = max(b for b, _ in roofs), max(t for _, t in roofs)
    points = facet.points[:: -(-len(facet.points) // _MOST_POINTS)]
    xs = [point.row["intensity"] for point in points]
    ys = [point.tflops or 0.0 for point in points]
    figure, axes = svg.new_panel(_WIDTH, _HEIGHT)
    ridge = peak * 1e12 / (bandwidth * 1e9)
    low, high = min(*xs, ridge) / 2, max(*xs, ridge) * 2
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    floor = max(min(ys) / 2, min(low * bandwidth / 1e3, peak) / 3e4)
    top = max(*ys, peak, (_sheet(facet) or (0.0, 0.0))[1])
    axes.set_ylim(floor, top * 2.2)
    axes.set_yscale("log")
    corners = [low * bandwidth / 1e3, peak, peak]
    axes.plot([low, ridge, high], corners, color=palette.MUTED, linewidth=1.4, zorder=1)
    axes.plot(
        [ridge, ridge], [floor, peak], color=palette.LINE, linewidth=1, dashes=(3, 3), zorder=1
    )
    _label_roofs(axes, (low, ridge, high), bandwidth, peak)
    sheet = _sheet(facet)
    if sheet is not None:
        _draw_sheet(axes, low, high, *sheet)
    for point, x, y in zip(points, xs, ys, strict=True):
        style = data.styles[point.backend]
        filled = point.phase == "prefill"
        axes.plot(
            [x],
            [y],
            marker=style.marker,
            markersize=style.size + 0.5,
            color=style.colour,
            markerfacecolor=style.colour if filled else "none",
            markeredgecolor=palette.GROUND if filled else style.colour,
            markeredgewidth=0.5 if filled else 1.3,
            linestyle="none",
            zorder=3,
        )
    _ticks(axes)
    axes.set_xlabel("FLOP per byte (minimum traffic)")
    axes.set_ylabel("rate")
    about = (
        f"{counted(len(facet.points), 'case')} by arithmetic intensity and rate. Ceilings:"
        f" {rate_text(bandwidth * 1e9)} and {flops_text(peak * 1e12)}, meeting at"
        f" {significant(ridge)} FLOP per byte."
    )
    return Panel(facet.title, svg.render(figure, name, facet.title or TITLE, about))


def _sheet(facet: Facet) -> tuple[float, float] | None:
    """The vendor's bandwidth (GB/s) and rate of the dtype (TFLOP/s); None for other devices."""
    from attnbench.device.rates import GPU_SPECS

    row = facet.points[0].row
    for one in GPU_SPECS.values():
        if one.name == row["device_name"] and row["dtype"] in one.tflops:
            return one.bandwidth_gbps, one.tflops[row["dtype"]]
    return None


def _draw_sheet(axes: Axes, low: float, high: float, bandwidth: float, peak: float) -> None:
    """Draw the ceiling of the data sheet, above the measured one."""
    ridge = peak * 1e12 / (bandwidth * 1e9)
    xs = [low, ridge, high] if low < ridge < high else [low, high]
    ys = [min(x * bandwidth / 1e3, peak) for x in xs]
    axes.plot(xs, ys, color=palette.MUTED, linewidth=1, dashes=(4, 3), zorder=1)


def _label_roofs(axes: Axes, at: tuple[float, float, float], bandwidth: float, peak: float) -> None:
    """Write both measured rates below their lines; the data sheet's may be drawn above."""
    low, ridge, high = at

    def say(text: str, x: float, y: float, offset: tuple[int, int], ha: str) -> None:
        axes.annotate(
            text,
            (x, y),
            textcoords="offset points",
            fontsize=10,
            color=palette.MUTED,
            xytext=offset,
            ha=ha,
            va="top",
        )

    say(flops_text(peak * 1e12), high, peak, (-3, -4), "right")
    middle = (low * ridge) ** 0.5
    say(rate_text(bandwidth * 1e9), middle, middle * bandwidth / 1e3, (8, -4), "left")


def _ticks(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(numticks=8))
        axis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(_rate_tick))


def _rate_tick(tflops: float, _: object) -> str:
    number, _, unit = flops_text(tflops * 1e12).partition(" ")
    return f"{float(number):g} {unit}"


def _table(points: Sequence[Point]) -> DataTable:
    rows = tuple(
        (
            point.run,
            point.case.problem,
            point.backend,
            significant(point.row["intensity"]),
            flops_text((point.tflops or 0) * 1e12),
            str(point.row["bound"] or ""),
        )
        for point in points
    )
    return DataTable(("run", "problem", "backend", "FLOP/B", "rate", "bound"), rows)
