"""One device against another: ratios beside the ratio of the measured ceilings, no verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attnbench.analysis.comparison import Comparison
from attnbench.analysis.energy import Energy, energies
from attnbench.report import canvas, palette
from attnbench.report.model import (
    Absent,
    DataTable,
    Figure,
    Key,
    Panel,
    Subject,
    backend_keys,
)
from attnbench.units import time_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.analysis.compare import Compared

NAME, TITLE = "devices", "What does the other device give?"
_MOST_PANELS = 8
_WIDTH, _HEIGHT = 430, 290
_ONE_LINE = 0.02  # ratios nearer than this (log) are one line
_TICKS = (
    *(0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0),
    *(1.2, 1.4, 1.7, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0),
)

Spent = Mapping[str, Energy]


def devices(subject: Subject) -> Figure | Absent:
    """Draw each case's speed-up on the other device, with lines at the ratios of the ceilings."""
    across = subject.comparisons.across
    if not across:
        return Absent(NAME, TITLE, "the runs are of one kind of device")
    held = [(pair, [one for one in pair.comparisons if one.ratio]) for pair in across]
    if not any(cases for _, cases in held):
        return Absent(NAME, TITLE, "no case was finished on both devices")
    spent = {id(pair): (energies(pair.base), energies(pair.new)) for pair in across}
    drawings = []
    for pair, cases in held:
        for phase in dict.fromkeys(_phase(one) for one in cases):
            members = [one for one in cases if _phase(one) == phase]
            whose = f", {pair.new.name} against {pair.base.name}" if len(across) > 1 else ""
            title = f"{phase}{whose}"
            drawings.append((pair, members, title, False))
            if any(_per_joule(one, *spent[id(pair)]) for one in members):
                drawings.append((pair, members, f"{phase}, work a joule{whose}", True))
    panels = tuple(
        _panel(pair, members, title, subject, f"{NAME}-{n}", spent[id(pair)] if joules else None)
        for n, (pair, members, title, joules) in enumerate(drawings[:_MOST_PANELS])
    )
    remarks = [
        f"Measured ceilings of {pair.new.name} over {pair.base.name}: "
        + ", ".join(f"{what.name} {what.ratio:.2f}x" for what in pair.ceilings)
        for pair in across
        if pair.ceilings
    ]
    if not any(joules for *_, joules in drawings):
        remarks.append("The runs do not tell their power, so there is no work a joule")
    present = sorted({one.backend for _, cases in held for one in cases})
    return Figure(
        name=NAME,
        title=TITLE,
        how="Each point is a case: how many times as fast it is on the other device, against what"
        " it took on the first. The lines are the ratios of the best bandwidth and of the best"
        " matrix product, as measured: a kernel that is limited by memory should lie on the first,"
        " one limited by arithmetic on the second. Below it, the kernel gains less than the"
        " hardware gives. Different devices have ratios and no verdicts. Work a joule is"
        " performance a watt: from the board's energy counter, or else from its power.",
        panels=panels,
        keys=(
            *backend_keys(subject, present),
            Key("limited by memory", sign="filled"),
            Key("limited by something else", sign="hollow"),
        ),
        table=_table(across, spent),
        remarks=tuple(remarks),
    )


def _phase(one: Comparison) -> str:
    return str(one.facts.get("phase") or "cases")


def _panel(
    pair: Compared,
    members: Sequence[Comparison],
    title: str,
    subject: Subject,
    name: str,
    spent: tuple[Spent, Spent] | None,
) -> Panel:
    points = [(one, _per_joule(one, *spent) if spent else 1 / (one.ratio or 1)) for one in members]
    known = [(one, value) for one, value in points if value]
    xs = [one.base.latency if one.base else 1.0 for one, _ in known]
    ys = [value or 1.0 for _, value in known]
    figure, axes = canvas.panel(_WIDTH, _HEIGHT)
    lines = [] if spent else _ceiling_lines(pair, members)
    low, high = min([1.0, *ys, *(y for y, _ in lines)]), max([1.0, *ys, *(y for y, _ in lines)])
    axes.set_xscale("log")
    axes.set_xlim(min(xs) / 1.4, max(xs) * 1.4)
    axes.set_yscale("log")
    axes.set_ylim(low / 1.15, high * 1.15)
    axes.axhline(1.0, color=palette.MUTED, linewidth=1, zorder=1)
    for y, text in lines:
        axes.axhline(y, color=palette.MUTED, linewidth=1.2, dashes=(4, 3), zorder=1)
        axes.annotate(
            text,
            (0.995, y),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
            fontsize=10,
            color=palette.MUTED,
        )
    for (one, _), x, y in zip(known, xs, ys, strict=True):
        style = subject.styles.get(one.backend)
        colour = style.colour if style else palette.OTHER
        filled = one.facts.get("bound") == "memory"
        axes.plot(
            [x],
            [y],
            marker=style.marker if style else "o",
            markersize=(style.size if style else 4.0) + 0.5,
            color=colour,
            markerfacecolor=colour if filled else "none",
            markeredgecolor=palette.GROUND if filled else colour,
            markeredgewidth=0.5 if filled else 1.3,
            linestyle="none",
            zorder=3,
        )
    _axes_ticks(axes, min(xs), max(xs), low, high)
    axes.set_xlabel(f"latency on {canvas.literal(pair.base.name, 30)}")
    what = "times the work a joule on" if spent else "times as fast on"
    axes.set_ylabel(f"{what} {canvas.literal(pair.new.name, 24)}")
    about = f"{len(known)} cases from {min(ys):.2f} to {max(ys):.2f} times."
    return Panel(canvas.literal(title, 80), canvas.to_svg(figure, name, title, about))


def _ceiling_lines(pair: Compared, members: Sequence[Comparison]) -> list[tuple[float, str]]:
    """The ratios of the ceilings that these cases stand under; equal ones are one line."""
    dtypes = {f"{one.facts.get('dtype')} FLOPs" for one in members}
    found: list[tuple[float, str]] = []
    for what in pair.ceilings:
        if what.name != "bandwidth" and what.name not in dtypes:
            continue
        near = next(
            (n for n, (y, _) in enumerate(found) if abs(math.log(y / what.ratio)) < _ONE_LINE), None
        )
        if near is None:
            found.append((what.ratio, f"{what.name} {what.ratio:.2f}x"))
        else:
            y, text = found[near]
            found[near] = (y, f"{what.name} and {text}")
    return found


def _axes_ticks(axes: Axes, left: float, right: float, low: float, high: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    shown = [tick for tick in _TICKS if low / 1.15 <= tick <= high * 1.15]
    axes.yaxis.set_major_locator(FixedLocator(shown[:: -(-len(shown) // 8)] or [1.0]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}x"))
    few = right / left < 10  # noqa: PLR2004  a decade
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=8))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_time_tick))


def _time_tick(seconds: float, _: object) -> str:
    number, _, unit = time_text(seconds).partition(" ")
    return f"{float(number):g} {unit}"


def _per_joule(one: Comparison, base: Spent, new: Spent) -> float | None:
    """How many times the calls that a joule pays for; only where both sides know it one way."""
    before, after = base.get(one.case_id), new.get(one.case_id)
    if before is None or after is None or before.counted != after.counted:
        return None
    return before.joules / after.joules


def _table(across: Sequence[Compared], spent: Mapping[int, tuple[Spent, Spent]]) -> DataTable:
    rows = []
    for pair in across:
        ratios = {what.name: what.ratio for what in pair.ceilings}
        for one in pair.comparisons:
            if one.base is None or one.new is None or not one.ratio:
                continue
            bound = str(one.facts.get("bound") or "")
            name = "bandwidth" if bound == "memory" else f"{one.facts.get('dtype')} FLOPs"
            ceiling = ratios.get(name) if bound in ("memory", "compute") else None
            work = _per_joule(one, *spent[id(pair)])
            rows.append(
                (
                    pair.base.name,
                    pair.new.name,
                    one.label,
                    time_text(one.base.latency),
                    time_text(one.new.latency),
                    f"{1 / one.ratio:.2f}x",
                    "" if ceiling is None else f"{ceiling:.2f}x",
                    bound,
                    "" if work is None else f"{work:.2f}x",
                )
            )
    columns = ("base", "new", "case", "on base", "on new", "times as fast", "ceiling", "bound")
    return DataTable((*columns, "work a joule"), tuple(rows))
