"""What changed: each case's change with its interval, and all changes in one sorted picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.analysis.comparison import Comparison
from attnbench.report import canvas, palette
from attnbench.report.model import Absent, DataTable, Figure, Key, Panel, Subject
from attnbench.units import time_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.analysis.compare import Compared

FOREST, FOREST_TITLE = "forest", "Which cases changed, and by how much?"
CHANGES, CHANGES_TITLE = "changes", "How did everything change?"
_MOST_PANELS, _MOST_ROWS = 6, 30
_SOME, _FEW = 8, 3  # unclear cases in a panel: they have nothing to say but their number
_WIDTH, _ROW = 700, 21
_RANK = {"slower": 0, "faster": 0, "unclear": 1}
_LOST = ("newly", "only in base")  # what stands at the top: it worked in the base
_COLOURS = {
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
_FEWEST_PIXELS = 44  # between two ticks


@dataclass(frozen=True, slots=True)
class _Part:
    """The cases of one phase of one pair that are worth a line."""

    pair: Compared
    title: str
    lost: tuple[tuple[str, Comparison], ...]
    shown: tuple[Comparison, ...]
    left_out: int


def forest(subject: Subject) -> Figure | Absent:
    """Draw the change of each case that did not stay the same, with its 95 % interval."""
    judged = subject.comparisons.judged
    if not judged:
        why = "the runs are of different devices, which have ratios and no verdicts"
        return Absent(FOREST, FOREST_TITLE, why)
    parts = [part for pair in judged for part in _parts(pair, several=len(judged) > 1)]
    if not parts:
        same = sum(one.verdicts["same"] for one in judged)
        why = f"nothing changed: {same:,} cases are the same" if same else "no case is on two sides"
        return Absent(FOREST, FOREST_TITLE, why)
    shown = parts[:_MOST_PANELS]
    threshold = subject.comparisons.threshold
    panels = tuple(_panel(one, threshold, f"{FOREST}-{n}") for n, one in enumerate(shown))
    remarks = [f"{count:,} cases stayed the same" for count in [_same(judged)] if count]
    hidden = sum(one.left_out for one in shown) + sum(
        len(one.shown) + len(one.lost) + one.left_out for one in parts[_MOST_PANELS:]
    )
    if hidden:
        remarks.append(f"{hidden:,} more cases are in the numbers")
    return Figure(
        name=FOREST,
        title=FOREST_TITLE,
        how="A dot is how much longer a case takes than in the base, its line the 95 % interval of"
        f" that change; the band is ±{100 * threshold:g} %, within which a change does not matter."
        " Unclear: the interval allows for more than the band. Cases that fail now stand on top.",
        panels=panels,
        keys=(
            Key("slower", sign="d1"),
            Key("faster", sign="d7"),
            Key("unclear", sign="muted"),
        ),
        table=_table(judged),
        remarks=tuple(remarks),
    )


def changes(subject: Subject) -> Figure | Absent:
    """Draw the changes of all cases, sorted, a bar each."""
    judged = [
        one
        for one in subject.comparisons.judged
        if sum(case.change is not None for case in one.comparisons) > 1
    ]
    if not judged:
        return Absent(
            CHANGES, CHANGES_TITLE, "no two cases were measured on two sides of one device"
        )
    panels = tuple(
        _sorted_panel(one, subject.comparisons.threshold, f"{CHANGES}-{n}")
        for n, one in enumerate(judged[:_MOST_PANELS])
    )
    return Figure(
        name=CHANGES,
        title=CHANGES_TITLE,
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
        table=_table(judged),
    )


def _same(judged: Sequence[Compared]) -> int:
    return sum(one.verdicts["same"] for one in judged)


def _parts(pair: Compared, *, several: bool) -> list[_Part]:
    lost = [
        (word, case)
        for word, cases in pair.changed_status().items()
        if word.startswith(_LOST)
        for case in cases
    ]
    moved = [one for one in pair.comparisons if one.verdict in _RANK]
    phases = dict.fromkeys(_phase(one) for one in (*(case for _, case in lost), *moved))
    parts = []
    for phase in phases:
        own = [(word, one) for word, one in lost if _phase(one) == phase][:_MOST_ROWS]
        members = [one for one in moved if _phase(one) == phase]
        members.sort(key=lambda one: (_RANK[one.verdict or ""], -abs(one.change or 0.0)))
        sure = [one for one in members if one.verdict != "unclear"]
        unclear = [one for one in members if one.verdict == "unclear"]
        kept = (sure + unclear[: _FEW if several else _SOME])[: _MOST_ROWS - len(own)]
        title = ", ".join(
            filter(None, (f"{pair.new.name} against {pair.base.name}" if several else "", phase))
        )
        parts.append(
            _Part(
                pair,
                title,
                tuple(own),
                tuple(sorted(kept, key=lambda one: -(one.change or 0.0))),
                len(members) - len(kept),
            )
        )
    return parts


def _phase(one: Comparison) -> str:
    return str(one.facts.get("phase") or "")


def _panel(part: _Part, threshold: float, name: str) -> Panel:
    cases = [*(case for _, case in part.lost), *part.shown]
    labels = told_apart([one.label for one in cases])
    figure, axes = canvas.panel(_WIDTH, 62 + _ROW * len(cases))
    values = [
        end for one in part.shown for end in (one.change, one.low, one.high) if end is not None
    ]
    low, high = _reach(values, threshold)
    axes.axvspan(1 - threshold, 1 + threshold, color=palette.BLANK, linewidth=0, zorder=0)
    axes.axvline(1.0, color=palette.MUTED, linewidth=1, zorder=1)
    words = [*(word for word, _ in part.lost), *(one.verdict or "" for one in part.shown)]
    for place, (one, word) in enumerate(zip(cases, words, strict=True)):
        y = len(cases) - 1 - place
        if place >= len(part.lost):
            _dot(axes, one, y)
        said = word if one.change is None else f"{100 * one.change:+.1f} %  {word}"
        axes.text(1.01, y, said, transform=axes.get_yaxis_transform(), va="center", fontsize=10)
    axes.set_xscale("log")
    axes.set_xlim(1 + low, 1 + high)
    _change_ticks(axes, low, high)
    axes.set_ylim(-0.7, len(cases) - 0.3)
    axes.set_yticks(range(len(cases)), [canvas.literal(one, 46) for one in reversed(labels)])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("change of the latency, lower is faster")
    spoken = "; ".join(
        f"{label}: {word}" for label, word in zip(labels[:6], words[:6], strict=True)
    )
    title = part.title or FOREST_TITLE
    return Panel(part.title, canvas.to_svg(figure, name, title, f"Changes of cases. {spoken}"))


def _dot(axes: Axes, one: Comparison, y: float) -> None:
    colour = _COLOURS[one.verdict or "unclear"]
    if one.low is not None and one.high is not None:
        axes.plot([1 + one.low, 1 + one.high], [y, y], color=colour, linewidth=2, zorder=2)
    axes.plot(
        [1 + (one.change or 0.0)],
        [y],
        marker="o",
        markersize=6,
        color=colour,
        markeredgecolor=palette.GROUND,
        linestyle="none",
        zorder=3,
    )


def _sorted_panel(pair: Compared, threshold: float, name: str) -> Panel:
    known = sorted(
        (one for one in pair.comparisons if one.change is not None),
        key=lambda one: -(one.change or 0.0),
    )
    figure, axes = canvas.panel(620, 250)
    low, high = _reach([one.change or 0.0 for one in known], threshold)
    axes.axhspan(1 - threshold, 1 + threshold, color=palette.BLANK, linewidth=0, zorder=0)
    width = max(0.6, min(14.0, 480 / len(known) * 0.75))
    for word, colour in _COLOURS.items():
        places = [n for n, one in enumerate(known) if (one.verdict or "unclear") == word]
        tops = [1 + (known[n].change or 0.0) for n in places]
        axes.vlines(places, 1.0, tops, color=colour, linewidth=width, zorder=2)
    axes.axhline(1.0, color=palette.MUTED, linewidth=1, zorder=3)
    axes.set_yscale("log")
    axes.set_ylim(1 + low, 1 + high)
    _change_ticks(axes, low, high, vertical=True)
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


def _reach(values: Sequence[float], threshold: float) -> tuple[float, float]:
    """The shares at which an axis begins and ends; the band is always inside."""
    low = min([-2 * threshold, *values])
    high = max([2 * threshold, *values])
    spread = math.log((1 + high) / max(1 + low, 1e-3)) * 0.05
    return max(1 + low, 1e-3) * math.exp(-spread) - 1, (1 + high) * math.exp(spread) - 1


def _change_ticks(axes: Axes, low: float, high: float, *, vertical: bool = False) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis = axes.yaxis if vertical else axes.xaxis
    pixels = 190 if vertical else 380
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


def told_apart(labels: Sequence[str]) -> list[str]:
    """Leave out of labels the words that all of them have."""
    words = [label.split() for label in labels]
    if len(set(labels)) < 2 or len({len(one) for one in words}) > 1:  # noqa: PLR2004  one is alike
        return list(labels)
    alike = [len(set(column)) == 1 for column in zip(*words, strict=True)]
    return [
        " ".join(word for word, same in zip(one, alike, strict=True) if not same) for one in words
    ]


def _table(pairs: Sequence[Compared]) -> DataTable:
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


def _row(pair: Compared, one: Comparison, section: str | None) -> tuple[str, ...]:
    known = one.low is not None and one.high is not None
    return (
        pair.base.name,
        pair.new.name,
        one.label,
        time_text(one.base.latency) if one.base else one.base_status,
        time_text(one.new.latency) if one.new else one.new_status,
        "" if one.change is None else f"{100 * one.change:+.1f} %",
        f"{100 * (one.low or 0):+.1f} … {100 * (one.high or 0):+.1f} %" if known else "",
        section or one.verdict or "",
    )
