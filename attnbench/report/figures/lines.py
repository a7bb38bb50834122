"""Lines over lengths, batches or KV heads: one for each backend, with its interval as a band."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.report import palette
from attnbench.report.palette import Style
from attnbench.report.points import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 380, 270


@dataclass(frozen=True, slots=True)
class Series:
    """The line of one backend; ``band`` is its interval where every point has one."""

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
    """Make a line of each backend from the points that have both coordinates."""
    found: dict[str, dict[int, tuple[float, Point]]] = {}
    for point in points:
        across, up = x(point), y(point)
        if across is not None and up is not None and up > 0:
            found.setdefault(point.backend, {})[across] = (up, point)
    lines = []
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
    """Draw the best backends last, so that they lie on top."""
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
    """Return the lowest and the highest value of several lines, their bands included.

    A band that is wider than three times its line is cut off: it must not press the rest flat.
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
