"""How everything changed: all cases of a pair in one sorted picture; and the axis of changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attnbench.analysis.comparison import CaseComparison
from attnbench.report import canvas, palette
from attnbench.report.model import DataTable, Figure, Key, MissingFigure, Panel, ReportData
from attnbench.units import time_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.analysis.compare import RunComparison

NAME, TITLE = "changes", "How did everything change?"
_MOST_PANELS = 6
COLOURS = {
    "slower": palette.step_colour(1),
    "faster": palette.step_colour(7),
    "unclear": palette.MUTED,
    "same": palette.OTHER,
}
# Changes at which an axis has a tick, as shares.
_TICKS = (
    *(-0.9, -0.8, -0.67, -0.5, -0.33, -0.2, -0.1, -0.05, -0.02, -0.01, 0.0),
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 9.0),
)
_NARROW, _WIDE, _MANY = 380, 620, 130  # more cases than that need the room
_FEWEST_PIXELS = 44  # between two ticks


def changes(subject: ReportData) -> Figure | MissingFigure:
    """Draw the changes of all cases, sorted, a bar each."""
    judged = [
        one
        for one in subject.comparisons.judged
        if sum(case.change is not None for case in one.comparisons) > 1
    ]
    if not judged:
        return MissingFigure(NAME, TITLE, "no two cases were measured on two sides of one device")
    panels = tuple(
        _sorted_panel(one, subject.comparisons.threshold, f"{NAME}-{n}")
        for n, one in enumerate(judged[:_MOST_PANELS])
    )
    return Figure(
        name=NAME,
        title=TITLE,
        how="Every case that both sides finished, from the one that got slower most to the one that"
        " got faster most. A whole suite that leans to one side is the session or the machine"
        " rather than one kernel.",
        panels=panels,
        keys=(
            Key("slower", sign="d1"),
            Key("same", sign="other"),
            Key("unclear", sign="muted"),
            Key("faster", sign="d7"),
        ),
        table=change_table(judged),
    )


def _sorted_panel(pair: RunComparison, threshold: float, name: str) -> Panel:
    known = sorted(
        (one for one in pair.comparisons if one.change is not None),
        key=lambda one: -(one.change or 0.0),
    )
    wide = _WIDE if len(known) > _MANY else _NARROW
    figure, axes = canvas.panel(wide, 250)
    low, high = reach([one.change or 0.0 for one in known], threshold)
    axes.axhspan(1 - threshold, 1 + threshold, color=palette.BLANK, linewidth=0, zorder=0)
    width = max(0.6, min(14.0, (wide - 110) / len(known) * 0.75))
    for word, colour in COLOURS.items():
        places = [n for n, one in enumerate(known) if (one.verdict or "unclear") == word]
        tops = [1 + (known[n].change or 0.0) for n in places]
        axes.vlines(places, 1.0, tops, color=colour, linewidth=width, zorder=2)
    axes.axhline(1.0, color=palette.MUTED, linewidth=1, zorder=3)
    axes.set_yscale("log")
    axes.set_ylim(1 + low, 1 + high)
    change_ticks(axes, low, high, pixels=190, vertical=True)
    axes.set_xlim(-0.8, len(known) - 0.2)
    axes.set_xticks([])
    axes.grid(visible=False, axis="x")
    axes.set_xlabel(f"{len(known):,} cases, sorted")
    axes.set_ylabel("change of the latency")
    title = f"{pair.new.name} against {pair.base.name}"
    about = (
        f"{len(known)} cases from {100 * (known[0].change or 0):+.1f} % to"
        f" {100 * (known[-1].change or 0):+.1f} %."
    )
    return Panel(canvas.literal(title, 80), canvas.to_svg(figure, name, title, about))


def reach(values: Sequence[float], threshold: float) -> tuple[float, float]:
    """Return the shares at which an axis begins and ends; the band is always inside."""
    low = min([-2 * threshold, *values])
    high = max([2 * threshold, *values])
    spread = math.log((1 + high) / max(1 + low, 1e-3)) * 0.05
    return max(1 + low, 1e-3) * math.exp(-spread) - 1, (1 + high) * math.exp(spread) - 1


def change_ticks(
    axes: Axes, low: float, high: float, *, pixels: float, vertical: bool = False
) -> None:
    """Give an axis of ratios, so many pixels long, ticks that are changes: -10%, 0, +20%."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis = axes.yaxis if vertical else axes.xaxis
    whole = math.log((1 + high) / (1 + low))
    apart = whole * (_FEWEST_PIXELS if not vertical else 24) / pixels
    kept = [0.0]
    for tick in sorted(_TICKS, key=abs):
        if low <= tick <= high and all(
            abs(math.log((1 + tick) / (1 + other))) >= apart for other in kept
        ):
            kept.append(tick)
    axis.set_major_locator(FixedLocator([1 + tick for tick in sorted(kept)]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(_percent_tick))


def _percent_tick(ratio: float, _: object) -> str:
    share = round(100 * (ratio - 1))
    return f"{share:+d}%" if share else "0"


def change_table(pairs: Sequence[RunComparison]) -> DataTable:
    """Return all cases of all pairs, those that fail now first."""
    rows = []
    for pair in pairs:
        sections = {one.key: word for word, cases in pair.changed_status().items() for one in cases}
        ranked = sorted(
            pair.comparisons,
            key=lambda one: (one.key not in sections, one.verdict == "same", -(one.change or 0.0)),
        )
        rows += [_row(pair, one, sections.get(one.key)) for one in ranked]
    columns = ("base", "new", "case", "before", "after", "change", "95 % interval", "verdict")
    return DataTable(columns, tuple(rows))


def _row(pair: RunComparison, one: CaseComparison, section: str | None) -> tuple[str, ...]:
    known = one.low is not None and one.high is not None
    return (
        pair.base.name,
        pair.new.name,
        one.label,
        time_text(one.base.seconds) if one.base else one.base_status,
        time_text(one.new.seconds) if one.new else one.new_status,
        "" if one.change is None else f"{100 * one.change:+.1f} %",
        f"{100 * (one.low or 0):+.1f} … {100 * (one.high or 0):+.1f} %" if known else "",
        section or one.verdict or "",
    )
