"""One device against another: ratios beside the ratio of the measured ceilings, no verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.analysis.compare import unpriced
from attnbench.analysis.comparison import CaseComparison
from attnbench.analysis.running_cost import NO_PRICES, dollars_a_million, energies
from attnbench.render.values import dollars_text, ratio_text
from attnbench.report import palette, svg
from attnbench.report.facets import not_shown
from attnbench.report.model import (
    DataTable,
    Figure,
    Key,
    MissingFigure,
    Panel,
    ReportData,
    backend_keys,
)
from attnbench.units import counted, time_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.analysis.compare import CaseComparison, RunComparison


_DEVICES, _DEVICES_TITLE = "devices", "How does the other device compare?"
_MOST_PANELS = 9  # three rows of a phase: speed, work per joule, work per dollar
_WIDTH, _HEIGHT = 380, 270
_FEWEST_TICKS = 3
_ONE_LINE = 0.02  # ratios nearer than this (log) are one line
_TICKS = (
    *(0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0),
    *(1.2, 1.4, 1.7, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0),
)
_FINE_TICKS = (0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2)  # where all is nearly even
_DOLLARS = (
    " Work per dollar is how many times as many calls the same money buys at the prices below, on a"
    " device that does nothing else. Its lines are the same ceilings per dollar."
)


def devices(data: ReportData) -> Figure | MissingFigure:
    """Draw each case's speed-up on the other device, with the ratios of the ceilings as lines."""
    across = data.comparisons.across
    if not across:
        return MissingFigure(_DEVICES, _DEVICES_TITLE, "all runs are on one kind of device")
    if not any(one.ratio for pair in across for one in pair.comparisons):
        return MissingFigure(_DEVICES, _DEVICES_TITLE, "no case was completed on both devices")
    gains = {id(pair): gains_of(pair) for pair in across}
    drawings = [
        (pair, members, gain, title)
        for pair in across
        for gain, members, title in _drawings(pair, gains[id(pair)], several=len(across) > 1)
    ]
    panels = tuple(
        _panel(pair, members, gain, title, data, f"{_DEVICES}-{n}")
        for n, (pair, members, gain, title) in enumerate(drawings[:_MOST_PANELS])
    )
    present = sorted({one.backend for pair in across for one in pair.comparisons if one.ratio})
    words = {gain.word for _, _, gain, _ in drawings}
    return Figure(
        name=_DEVICES,
        title=_DEVICES_TITLE,
        how="Each point is a case: its speed-up on the other device against its latency on the"
        " first. The lines are the ratios of the measured ceilings: memory-bound kernels should"
        " reach the ratio of the bandwidths, compute-bound kernels that of the FLOP rates. A kernel"
        " below its line gains less than the hardware offers. Different devices have ratios but no"
        " verdicts. Work per joule is performance per watt, from the board's energy counter or"
        " else from its power." + (_DOLLARS if "work per dollar" in words else ""),
        panels=panels,
        keys=(
            *backend_keys(data, present),
            Key("memory-bound", sign="filled"),
            Key("not memory-bound", sign="hollow"),
        ),
        table=_table(across, gains),
        remarks=tuple(_remarks(across, words, left_out=len(drawings) - len(panels))),
    )


def _drawings(
    pair: RunComparison, gains: Sequence[Gain], *, several: bool
) -> Iterator[tuple[Gain, list[CaseComparison], str]]:
    """Yield what each panel shows: a gain, the cases of one phase that have it, and a title."""
    cases = [one for one in pair.comparisons if one.ratio]
    whose = f", {pair.new.name} against {pair.base.name}" if several else ""
    for phase in dict.fromkeys(_phase(one) for one in cases):
        for gain in gains:
            members = [one for one in cases if _phase(one) == phase and gain.of(one)]
            if members:
                word = "" if gain is gains[0] else f", {gain.word}"
                yield gain, members, f"{phase}{word}{whose}"


def _remarks(across: Sequence[RunComparison], words: set[str], *, left_out: int) -> Iterator[str]:
    for pair in across:
        if pair.ceilings:
            yield f"Measured ceilings of {pair.new.name} over {pair.base.name}: " + ", ".join(
                f"{what.name} {ratio_text(what.ratio)}" for what in pair.ceilings
            )
    if "work per joule" not in words:
        yield "The runs do not report power, so work per joule is unknown"
    prices: dict[str, float | None] = {}
    for pair in across:
        prices |= {pair.base.name: pair.prices.base, pair.new.name: pair.prices.new}
    if known := [f"{name} {dollars_text(price)}" for name, price in prices.items() if price]:
        yield f"Prices as given, per hour and device: {', '.join(known)}"
    for name in unpriced(across):
        yield f"No price was given for {name}, so its work per dollar is unknown"
    yield from not_shown(left_out, "panel", "the data table has every case")


def _phase(one: CaseComparison) -> str:
    return str(one.facts.get("phase") or "cases")


def _panel(
    pair: RunComparison,
    members: Sequence[CaseComparison],
    gain: Gain,
    title: str,
    data: ReportData,
    name: str,
) -> Panel:
    xs = [one.base.seconds if one.base else 1.0 for one in members]
    ys = [gain.of(one) or 1.0 for one in members]
    figure, axes = svg.new_panel(_WIDTH, _HEIGHT)
    lines = _ceiling_lines(pair, members, gain)
    low, high = min([1.0, *ys, *(y for y, _ in lines)]), max([1.0, *ys, *(y for y, _ in lines)])
    axes.set_xscale("log")
    axes.set_xlim(min(xs) / 1.4, max(xs) * 1.4)
    axes.set_yscale("log")
    axes.set_ylim(low / 1.15, high * 1.15)
    axes.axhline(1.0, color=palette.MUTED, linewidth=1, zorder=1)
    _draw_ceilings(axes, lines)
    for one, x, y in zip(members, xs, ys, strict=True):
        _draw_case(axes, one, (x, y), data)
    _axes_ticks(axes, min(xs), max(xs), low, high)
    axes.set_xlabel(f"latency on {svg.literal(pair.base.name, 30)}")
    axes.set_ylabel(f"{gain.axis} {svg.literal(pair.new.name, 22)}")
    about = f"{counted(len(members), 'case')} from {min(ys):.2f} to {max(ys):.2f} times."
    return Panel(svg.literal(title, 80), svg.render(figure, name, title, about))


def _draw_ceilings(axes: Axes, lines: Sequence[tuple[float, str]]) -> None:
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


def _draw_case(
    axes: Axes, one: CaseComparison, place: tuple[float, float], data: ReportData
) -> None:
    style = data.styles.get(one.backend)
    colour = style.colour if style else palette.OTHER
    filled = one.facts.get("bound") == "memory"
    axes.plot(
        place[:1],
        place[1:],
        marker=style.marker if style else "o",
        markersize=(style.size if style else 4.0) + 0.5,
        color=colour,
        markerfacecolor=colour if filled else "none",
        markeredgecolor=palette.GROUND if filled else colour,
        markeredgewidth=0.5 if filled else 1.3,
        linestyle="none",
        zorder=3,
    )


def _ceiling_lines(
    pair: RunComparison, members: Sequence[CaseComparison], gain: Gain
) -> list[tuple[float, str]]:
    """The ratios of the ceilings that apply to these cases; nearly equal ones share a line."""
    if gain.ceiling is None:
        return []
    dtypes = {f"{one.facts.get('dtype')} FLOPs" for one in members}
    found: list[tuple[float, str]] = []
    for what in pair.ceilings:
        if what.name != "bandwidth" and what.name not in dtypes:
            continue
        ratio = what.ratio * gain.ceiling
        near = next(
            (n for n, (y, _) in enumerate(found) if abs(math.log(y / ratio)) < _ONE_LINE), None
        )
        if near is None:
            found.append((ratio, f"{what.name} {ratio:.2f}x"))
        else:
            y, text = found[near]
            found[near] = (y, f"{what.name} and {text}")
    return found


def _axes_ticks(axes: Axes, left: float, right: float, low: float, high: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    shown = [tick for tick in _TICKS if low / 1.15 <= tick <= high * 1.15]
    if len(shown) < _FEWEST_TICKS:
        shown = [tick for tick in _FINE_TICKS if low / 1.15 <= tick <= high * 1.15]
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


def _table(across: Sequence[RunComparison], gains: Mapping[int, tuple[Gain, ...]]) -> DataTable:
    columns = ["base", "new", "case", "on base", "on new", "times as fast", "ceiling", "bound"]
    columns.append("work per joule")
    if has_prices := any(pair.prices != NO_PRICES for pair in across):
        columns += ["work per dollar", "1M calls on base", "1M calls on new"]
    rows = []
    for pair in across:
        for one in pair.comparisons:
            if one.base is None or one.new is None or not one.ratio:
                continue
            fast, joule, dollar = (gain.of(one) for gain in gains[id(pair)])
            row = [pair.base.name, pair.new.name, one.label]
            row += [time_text(one.base.seconds), time_text(one.new.seconds), _times(fast)]
            row += [_times(pair.ceiling_of(one)), str(one.facts.get("bound") or ""), _times(joule)]
            if has_prices:
                costs = (
                    dollars_a_million(one.base, pair.prices.base),
                    dollars_a_million(one.new, pair.prices.new),
                )
                row += [_times(dollar), *("" if x is None else dollars_text(x) for x in costs)]
            rows.append(tuple(row))
    return DataTable(tuple(columns), tuple(rows))


def _times(value: float | None) -> str:
    return ratio_text(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """One kind of gain on another device, such as speed or work per dollar.

    ``of`` returns the gain of one case, None where it is unknown. ``ceiling`` is the factor from
    the ratio of two hardware ceilings to the limit of this gain; None where there is no limit.
    """

    word: str
    axis: str
    of: Callable[[CaseComparison], float | None]
    ceiling: float | None


def gains_of(pair: RunComparison) -> tuple[Gain, ...]:
    """Return the gains in speed, per joule and per dollar."""
    spent = energies(pair.base), energies(pair.new)

    def work_per_joule(one: CaseComparison) -> float | None:
        before, after = (side.get(one.case_id) for side in spent)
        # Energy is comparable only if both sides measured it in the same way.
        if before is None or after is None or before.counted != after.counted:
            return None
        return before.joules / after.joules

    price = pair.prices.ratio
    return (
        Gain(
            word="times as fast",
            axis="times as fast on",
            of=lambda one: 1 / one.ratio if one.ratio else None,
            ceiling=1.0,
        ),
        Gain(word="work per joule", axis="work per joule on", of=work_per_joule, ceiling=None),
        Gain(
            word="work per dollar",
            axis="work per dollar on",
            of=lambda one: pair.prices.work(one.ratio),
            ceiling=1 / price if price else None,
        ),
    )
