"""Can the numbers be trusted: intervals, clocks and temperature, samples in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attnbench.report import palette, svg
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
from attnbench.units import counted, significant, time_text

_INTERVALS = ("intervals", "How precise are the latencies?")
_CLOCKS = ("clocks", "Did the clocks stay stable?")
_SAMPLES = ("samples", "What do the noisiest cases look like?")
_MOST_NOISY = 6
_MOST_SAMPLES = 400  # of one process, in a drawing
_TICKS = (0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)
_FEW_TICKS = (0.01, 0.1, 1, 5, 20, 100)
_WIDE_RANGE = (
    100  # ratio of the widest to the narrowest interval, above which the ticks would overlap
)


def intervals(data: ReportData) -> Figure | MissingFigure:
    """Draw the share of cases whose interval is no wider than x, one line per backend."""
    name, title = _INTERVALS
    known = [p for p in data.ok if p.latency and p.latency.half_width is not None]
    if not known:
        why = "has the three processes that an interval needs"
        return MissingFigure(name, title, f"no case {why if data.ok else 'is ok'}")
    width = [100 * max((p.latency.half_width if p.latency else None) or 0, 1e-5) for p in known]
    order = [label for label in data.styles if label in {p.backend for p in known}]
    below = sum(one <= 1 for one in width)
    within = sum(one <= 5 for one in width)  # noqa: PLR2004  the second line
    about = (
        f"{below} of {counted(len(width), 'case', 'have')} an interval of ±1 % or better,"
        f" {within} of ±5 % or better."
    )
    missing = len(data.ok) - len(known)
    worst = sorted(zip(width, known, strict=True), key=lambda one: -one[0])
    return Figure(
        name=name,
        title=title,
        how="For each width, the share of cases whose 95 % interval between processes is that"
        f" narrow. Lines further up and to the left are more precise. {about}",
        panels=(_shares(data, known, width, about),),
        keys=backend_keys(data, order),
        table=DataTable(
            ("run", "problem", "backend", "latency", "interval"),
            tuple(
                (p.run, p.case.problem, p.backend, time_text(p.seconds), f"±{half:.2f} %")
                for half, p in worst
            ),
        ),
        remarks=(f"{missing} ok cases have fewer than three processes and so no interval",)
        if missing
        else (),
    )


def clocks(data: ReportData) -> Figure | MissingFigure:
    """Draw clock and temperature of every measured row against the time of day."""
    name, title = _CLOCKS
    rows = [row for point in data.ok for row in point.case.rows if row["started_at"] is not None]
    panels = []
    for column, label in (("sm_clock_mhz", "SM clock, MHz"), ("temperature_c", "temperature, °C")):
        known = [row for row in rows if row[column] is not None]
        if len(known) > 1:
            panels.append(_trace(known, column, label, f"{name}-{column}"))
    if not panels:
        why = "this device does not report clocks or temperature"
        return MissingFigure(name, title, why if rows else "no case is ok")
    throttled = [row for row in rows if "THROTTLED" in (row["notes"] or ())]
    tabled = [row for row in rows if row["sm_clock_mhz"] is not None or row["temperature_c"]]
    return Figure(
        name=name,
        title=title,
        how="Every measured row at the time it began. A clock that falls while the temperature"
        " rises makes later cases look slower than they are.",
        panels=tuple(panels),
        keys=(Key("the device lowered its clocks (THROTTLED)", sign="cross"),) if throttled else (),
        table=DataTable(
            ("case", "process", "clock, MHz", "temperature, °C", "throttle reasons"),
            tuple(
                (
                    str(row["case_label"]),
                    str(row["process"]),
                    _number(row["sm_clock_mhz"]),
                    _number(row["temperature_c"]),
                    str(row["throttle_reasons"] or ""),
                )
                for row in tabled
            ),
        ),
    )


def samples(data: ReportData) -> Figure | MissingFigure:
    """Draw the samples of the noisiest cases in the order they were taken."""
    name, title = _SAMPLES
    known = [p for p in data.ok if any(row["samples_us"] for row in p.case.rows)]
    if not known:
        return MissingFigure(name, title, "no ok case has its samples")
    noisiest = sorted(known, key=lambda point: -_unsteadiness(point))[:_MOST_NOISY]
    panels = tuple(_samples_panel(point, f"{name}-{n}", data) for n, point in enumerate(noisiest))
    return Figure(
        name=name,
        title=title,
        how="Samples in the order they were taken; vertical lines separate processes. A slope"
        " means that the device warms up, steps mean that the process matters, single peaks mean"
        " that something else ran. Dots at the top are out of range.",
        panels=panels,
        table=DataTable(
            ("run", "problem", "backend", "latency", "noise within a process", "processes"),
            tuple(
                (
                    point.run,
                    point.case.problem,
                    point.backend,
                    time_text(point.seconds),
                    f"±{100 * (point.middle('noise') or 0):.1f} %",
                    str(point.latency.processes if point.latency else 0),
                )
                for point in noisiest
            ),
        ),
    )


def _shares(data: ReportData, known: Sequence[Point], width: Sequence[float], about: str) -> Panel:
    """The share of each backend's cases whose interval is no wider than x percent."""
    import pandas as pd
    import seaborn as sns

    figure, axes = svg.new_panel(400, 280)
    axes.set_xscale("log")
    frame = pd.DataFrame({"width": list(width), "backend": [p.backend for p in known]})
    for label, style in data.styles.items():
        own = frame.loc[frame["backend"] == label, "width"]
        if own.empty:
            continue
        linestyle: Any = (0, style.dash) if style.dash else "-"
        sns.ecdfplot(
            x=own, ax=axes, stat="percent", color=style.colour, linestyle=linestyle, log_scale=True
        )
    for share in (1, 5):
        axes.axvline(share, color=palette.MUTED, linewidth=1, dashes=(3, 3), zorder=1)
    _percent_axis(axes, min(width), max(width))
    axes.set_ylabel("% of cases")
    return Panel("", svg.render(figure, _INTERVALS[0], _INTERVALS[1], about))


def _percent_axis(axes: Any, low: float, high: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    known = _TICKS if high / low < _WIDE_RANGE else _FEW_TICKS
    ticks = [tick for tick in known if low / 2 <= tick <= high * 2]
    axes.xaxis.set_major_locator(FixedLocator(ticks or [1]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"±{x:g} %"))
    axes.set_xlabel("half width of the 95 % interval")
    axes.set_xlim(min(low, 1) / 1.5, max(high, 5) * 1.5)
    axes.set_ylim(0, 102)


def _trace(rows: Sequence[Any], column: str, label: str, name: str) -> Panel:
    start = min(row["started_at"] for row in rows)
    ordered = sorted(rows, key=lambda row: row["started_at"])
    minutes = [(row["started_at"] - start).total_seconds() / 60 for row in ordered]
    values = [row[column] for row in ordered]
    figure, axes = svg.new_panel(400, 200)
    axes.plot(minutes, values, color=palette.step_colour(7), linewidth=1.2)
    hot = [n for n, row in enumerate(ordered) if "THROTTLED" in (row["notes"] or ())]
    axes.plot(
        [minutes[n] for n in hot],
        [values[n] for n in hot],
        marker="x",
        linestyle="none",
        color=palette.step_colour(1),
        markeredgewidth=2,
        markersize=7,
    )
    axes.set_xlabel("minutes since the first case")
    axes.set_ylabel(label)
    about = f"{label} from {min(values):g} to {max(values):g} over {minutes[-1]:.0f} minutes."
    return Panel(label, svg.render(figure, name, label, about))


def _unsteadiness(point: Point) -> float:
    half = point.latency.half_width if point.latency else None
    return max(half or 0.0, point.middle("noise") or 0.0)


def _samples_panel(point: Point, name: str, data: ReportData) -> Panel:
    figure, axes = svg.new_panel(380, 215)
    colour, place, ceiling = data.styles[point.backend].colour, 0, 0.0
    everything: list[float] = []
    for row in point.case.rows:
        taken = list(row["samples_us"] or ())
        if not taken:
            continue
        kept = taken[:: -(-len(taken) // _MOST_SAMPLES)]
        axes.plot(range(place, place + len(kept)), kept, color=colour, linewidth=0.9)
        place += len(kept)
        everything += kept
        axes.axvline(place - 0.5, color=palette.LINE, linewidth=0.8, zorder=1)
    ordered = sorted(everything)
    ceiling = min(ordered[-1], 4 * ordered[len(ordered) // 2]) * 1.08
    axes.set_ylim(0, ceiling)
    outside = [n for n, one in enumerate(everything) if one > ceiling]
    axes.plot(outside, [ceiling * 0.985] * len(outside), ".", color=palette.MARK, markersize=3)
    axes.set_xlim(-1, max(place, 2))
    axes.set_xlabel("sample")
    axes.set_ylabel("µs")
    axes.grid(visible=False, axis="x")
    about = (
        f"{len(everything)} samples from {significant(ordered[0])} to {significant(ordered[-1])} µs"
        f" around {time_text(point.seconds)}."
    )
    return Panel(point.case.label, svg.render(figure, name, point.case.label, about))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
