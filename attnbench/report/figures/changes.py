"""What changed between runs: a case each, all cases sorted, and the course over several runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

from attnbench.analysis.compare import group_cases
from attnbench.analysis.comparison import CaseComparison
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
from attnbench.units import counted, time_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.analysis.compare import RunComparison


_FOREST, _FOREST_TITLE = "forest", "Which cases changed, and by how much?"
_MOST_FORESTS, _MOST_ROWS = 6, 30
_SOME, _FEW = 8, 3  # unclear cases in a panel: they have nothing to say but their number
_NARROWEST, _ROW = 380, 21
_PLOT, _LETTER = 200, 6.0  # pixels of the axis, and of a letter beside it
_RANK = {"slower": 0, "faster": 0, "unclear": 1}
_LOST = ("newly", "only in base")  # what stands at the top: it worked in the base


@dataclass(frozen=True, slots=True)
class _Part:
    """The cases of one phase of one pair that are worth a line."""

    pair: RunComparison
    title: str
    lost: tuple[tuple[str, CaseComparison], ...]
    shown: tuple[CaseComparison, ...]
    left_out: int


def forest(data: ReportData) -> Figure | MissingFigure:
    """Draw each case that changed, with the 95 % interval of its change."""
    judged = data.comparisons.judged
    if not judged:
        other = "runs on different devices have ratios but no verdicts"
        why = other if data.comparisons.across else "this needs two runs on one device"
        return MissingFigure(_FOREST, _FOREST_TITLE, why)
    parts = [part for pair in judged for part in _parts(pair, several=len(judged) > 1)]
    if not parts:
        same = sum(one.verdicts["same"] for one in judged)
        why = (
            f"nothing changed in {counted(same, 'case')}"
            if same
            else "the runs have no case in common"
        )
        return MissingFigure(_FOREST, _FOREST_TITLE, why)
    shown = parts[:_MOST_FORESTS]
    threshold = data.comparisons.threshold
    panels = tuple(_forest_panel(one, threshold, f"{_FOREST}-{n}") for n, one in enumerate(shown))
    remarks = [f"{counted(count, 'case', 'are')} unchanged" for count in [_same(judged)] if count]
    hidden = sum(one.left_out for one in shown) + sum(
        len(one.shown) + len(one.lost) + one.left_out for one in parts[_MOST_FORESTS:]
    )
    if hidden:
        remarks.append(f"{counted(hidden, 'more case', 'are')} in the data table")
    return Figure(
        name=_FOREST,
        title=_FOREST_TITLE,
        how="Each dot is the change in a case's latency from the base; its line is the 95 %"
        f" interval. Changes within the band of ±{100 * threshold:g} % do not matter. Unclear means"
        " that the interval also allows a change beyond the band. New failures are at the top.",
        panels=panels,
        keys=(
            Key("slower", sign="d1"),
            Key("faster", sign="d7"),
            Key("unclear", sign="muted"),
        ),
        table=change_table(judged),
        remarks=tuple(remarks),
    )


def _same(judged: Sequence[RunComparison]) -> int:
    return sum(one.verdicts["same"] for one in judged)


def _parts(pair: RunComparison, *, several: bool) -> list[_Part]:
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


def _phase(one: CaseComparison) -> str:
    return str(one.facts.get("phase") or "")


def _forest_panel(part: _Part, threshold: float, name: str) -> Panel:
    cases = [*(case for _, case in part.lost), *part.shown]
    labels = distinct_words([one.label for one in cases])
    words = [*(word for word, _ in part.lost), *(one.verdict or "" for one in part.shown)]
    outcomes = [_change_words(one, word) for one, word in zip(cases, words, strict=True)]
    shown = [svg.literal(one, 46) for one in labels]
    beside = _LETTER * (max(map(_letters, shown)) + max(map(_letters, outcomes)))
    figure, axes = svg.new_panel(max(_NARROWEST, _PLOT + beside), 62 + _ROW * len(cases))
    values = [
        end for one in part.shown for end in (one.change, one.low, one.high) if end is not None
    ]
    low, high = reach(values, threshold)
    axes.axvspan(1 - threshold, 1 + threshold, color=palette.BLANK, linewidth=0, zorder=0)
    axes.axvline(1.0, color=palette.MUTED, linewidth=1, zorder=1)
    for place, (one, said) in enumerate(zip(cases, outcomes, strict=True)):
        y = len(cases) - 1 - place
        if place >= len(part.lost):
            _dot(axes, one, y)
        axes.text(1.01, y, said, transform=axes.get_yaxis_transform(), va="center", fontsize=10)
    axes.set_xscale("log")
    axes.set_xlim(1 + low, 1 + high)
    change_ticks(axes, low, high, pixels=_PLOT)
    axes.set_ylim(-0.7, len(cases) - 0.3)
    axes.set_yticks(range(len(cases)), shown[::-1])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("change in latency (lower is faster)")
    spoken = "; ".join(
        f"{label}: {word}" for label, word in zip(labels[:6], words[:6], strict=True)
    )
    title = part.title or _FOREST_TITLE
    return Panel(part.title, svg.render(figure, name, title, f"Changes of cases. {spoken}"))


def _letters(text: str) -> int:
    """The width of a text in letters; a wide East Asian letter counts as two."""
    return sum(2 if east_asian_width(one) in "WF" else 1 for one in text)


def _change_words(one: CaseComparison, word: str) -> str:
    return word if one.change is None else f"{100 * one.change:+.1f} %  {word}"


def _dot(axes: Axes, one: CaseComparison, y: float) -> None:
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


def distinct_words(labels: Sequence[str]) -> list[str]:
    """Remove the words that all labels share."""
    words = [label.split() for label in labels]
    if len(set(labels)) < 2 or len({len(one) for one in words}) > 1:  # noqa: PLR2004  one is alike
        return list(labels)
    alike = [len(set(column)) == 1 for column in zip(*words, strict=True)]
    return [
        " ".join(word for word, same in zip(one, alike, strict=True) if not same) for one in words
    ]


_CHANGES, _CHANGES_TITLE = "changes", "How did all cases change?"
_MOST_PANELS = 6
_COLOURS = {
    "slower": palette.step_colour(1),
    "faster": palette.step_colour(7),
    "unclear": palette.MUTED,
    "same": palette.OTHER,
}
# Changes at which an axis has a tick, as shares.
_CHANGE_TICKS = (
    *(-0.9, -0.8, -0.67, -0.5, -0.33, -0.2, -0.1, -0.05, -0.02, -0.01, 0.0),
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 9.0),
)
_NARROW, _WIDE, _MANY = 380, 620, 130  # more cases than that need the wide panel
_FEWEST_PIXELS = 44  # between two ticks


def changes(data: ReportData) -> Figure | MissingFigure:
    """Draw one bar per case, sorted by its change."""
    judged = [
        one
        for one in data.comparisons.judged
        if sum(case.change is not None for case in one.comparisons) > 1
    ]
    if not judged:
        return MissingFigure(
            _CHANGES, _CHANGES_TITLE, "fewer than two cases were completed in both runs"
        )
    panels = tuple(
        _sorted_panel(one, data.comparisons.threshold, f"{_CHANGES}-{n}")
        for n, one in enumerate(judged[:_MOST_PANELS])
    )
    return Figure(
        name=_CHANGES,
        title=_CHANGES_TITLE,
        how="Every case that both sides completed, from the largest slowdown to the largest"
        " speed-up. If the whole suite leans to one side, suspect the session or the machine rather"
        " than a kernel.",
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
    figure, axes = svg.new_panel(wide, 250)
    low, high = reach([one.change or 0.0 for one in known], threshold)
    axes.axhspan(1 - threshold, 1 + threshold, color=palette.BLANK, linewidth=0, zorder=0)
    width = max(0.6, min(14.0, (wide - 110) / len(known) * 0.75))
    for word, colour in _COLOURS.items():
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
    axes.set_xlabel(f"{counted(len(known), 'case')}, sorted")
    axes.set_ylabel("change in latency")
    title = f"{pair.new.name} against {pair.base.name}"
    about = (
        f"{counted(len(known), 'case')} from {100 * (known[0].change or 0):+.1f} % to"
        f" {100 * (known[-1].change or 0):+.1f} %."
    )
    return Panel(svg.literal(title, 80), svg.render(figure, name, title, about))


def reach(values: Sequence[float], threshold: float) -> tuple[float, float]:
    """Return the changes at which an axis begins and ends; it always shows the band."""
    low = min([-2 * threshold, *values])
    high = max([2 * threshold, *values])
    spread = math.log((1 + high) / max(1 + low, 1e-3)) * 0.05
    return max(1 + low, 1e-3) * math.exp(-spread) - 1, (1 + high) * math.exp(spread) - 1


def change_ticks(
    axes: Axes, low: float, high: float, *, pixels: float, vertical: bool = False
) -> None:
    """Label an axis of latency ratios with changes: -10%, 0, +20%.

    Args:
        axes: the axes whose x (or y, if ``vertical``) axis is labelled.
        low: lowest change shown, as a share.
        high: highest change shown, as a share.
        pixels: length of the axis; ticks keep a readable distance.
        vertical: label the y axis.

    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis = axes.yaxis if vertical else axes.xaxis
    whole = math.log((1 + high) / (1 + low))
    apart = whole * (_FEWEST_PIXELS if not vertical else 24) / pixels
    kept = [0.0]
    for tick in sorted(_CHANGE_TICKS, key=abs):
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
    """Return all cases of all pairs, new failures first."""
    rows = []
    for pair in pairs:
        sections = {one.key: word for word, cases in pair.changed_status().items() for one in cases}
        ranked = sorted(
            pair.comparisons,
            key=lambda one: (one.key not in sections, one.verdict == "same", -(one.change or 0.0)),
        )
        rows += [_change_row(pair, one, sections.get(one.key)) for one in ranked]
    columns = ("base", "new", "case", "before", "after", "change", "95 % interval", "verdict")
    return DataTable(columns, tuple(rows))


def _change_row(pair: RunComparison, one: CaseComparison, section: str | None) -> tuple[str, ...]:
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


_HISTORY, _HISTORY_TITLE = "history", "How did latency change over time?"
_FEWEST_RUNS = 3


@dataclass(frozen=True, slots=True)
class _HistoryLine:
    """One backend: its mean ratio to the base in each run; None where it has no such case."""

    label: str
    cases: int
    ratios: tuple[float | None, ...]


def history(data: ReportData) -> Figure | MissingFigure:
    """Draw each backend's geometric mean over the cases that every run completed."""
    judged = data.comparisons.judged
    if len(judged) + 1 < _FEWEST_RUNS:
        why = f"this needs {_FEWEST_RUNS} runs on one device"
        return MissingFigure(_HISTORY, _HISTORY_TITLE, why)
    ordered = sorted(judged, key=_moment)
    everywhere = set.intersection(
        *({one.key for one in pair.comparisons if one.ratio} for pair in ordered)
    )
    if not everywhere:
        return MissingFigure(_HISTORY, _HISTORY_TITLE, "no case was completed in all of these runs")
    lines = _history_lines(ordered, everywhere)
    return Figure(
        name=_HISTORY,
        title=_HISTORY_TITLE,
        how="Each line is one backend: the geometric mean of its latency relative to the first run,"
        " over the cases that every run completed. Sessions drift on their own: look for trends"
        " here, and judge single steps case by case below.",
        panels=(_history_panel(ordered, lines, data),),
        keys=backend_keys(data, [one.label for one in lines]),
        table=DataTable(
            ("run", "commit", "measured", "backend", "cases", "vs first run"),
            tuple(
                (
                    pair.new.name,
                    _commit(pair),
                    _moment(pair)[:16],
                    line.label,
                    str(line.cases),
                    "" if ratio is None else f"{100 * (ratio - 1):+.2f} %",
                )
                for line in lines
                for pair, ratio in zip(ordered, line.ratios, strict=True)
            ),
        ),
    )


def _history_lines(ordered: Sequence[RunComparison], everywhere: set[str]) -> list[_HistoryLine]:
    by_run: list[dict[str, tuple[float | None, int]]] = []
    for pair in ordered:
        kept: list[CaseComparison] = [one for one in pair.comparisons if one.key in everywhere]
        rows = group_cases(kept, ("backend_label",))
        by_run.append({row.values[0]: (row.mean.ratio, row.mean.n) for row in rows})
    labels = dict.fromkeys(label for one in by_run for label in one)
    return [
        _HistoryLine(
            label,
            max(one[label][1] for one in by_run if label in one),
            tuple(one[label][0] if label in one else None for one in by_run),
        )
        for label in labels
    ]


def _history_panel(
    ordered: Sequence[RunComparison], lines: Sequence[_HistoryLine], data: ReportData
) -> Panel:
    names = [_tick(ordered[0].base.name, _commits(ordered[0].base))]
    names += [_tick(pair.new.name, _commit(pair)) for pair in ordered]
    width = max(380, min(1000, 150 + 74 * len(names)))
    figure, axes = svg.new_panel(width, 270)
    axes.axhline(0.0, color=palette.MUTED, linewidth=1, zorder=1)
    for line in lines:
        style = data.styles.get(line.label)
        ys = [0.0, *(float("nan") if one is None else 100 * (one - 1) for one in line.ratios)]
        axes.plot(
            range(len(ys)),
            ys,
            color=style.colour if style else palette.OTHER,
            marker=style.marker if style else "o",
            markersize=style.size if style else 4.0,
            linestyle=(0, style.dash) if style and style.dash else "-",
            markeredgecolor=palette.GROUND,
            markeredgewidth=0.6,
        )
    step = -(-len(names) // 12)
    axes.set_xticks(range(0, len(names), step), names[::step])
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -1.0), max(high, 1.0))
    axes.set_xlim(-0.3, len(names) - 0.7)
    axes.set_ylabel("% vs first run")
    said = [
        f"{one.label}: {100 * (one.ratios[-1] - 1):+.1f} % in the last run"
        for one in lines
        if one.ratios[-1] is not None
    ]
    return Panel(
        "", svg.render(figure, _HISTORY, _HISTORY_TITLE, f"{len(names)} runs. {'; '.join(said)}")
    )


def _tick(name: str, commit: str) -> str:
    return commit or svg.literal(name, 11)


def _commit(pair: RunComparison) -> str:
    return _commits(pair.new)


def _commits(side: object) -> str:
    found = [str(one)[:7] for one in side.values("git_commit")]  # type: ignore[attr-defined]
    return found[0] if len(found) == 1 else ""


def _moment(pair: RunComparison) -> str:
    moments = pair.new.values("started_at")
    return f"{max(moments):%Y-%m-%d %H:%M}" if moments else ""
