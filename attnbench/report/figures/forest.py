"""Which cases changed: each change with its interval and its verdict, what fails now on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

from attnbench.analysis.comparison import CaseComparison
from attnbench.report import canvas, palette
from attnbench.report.figures.changes import COLOURS, change_table, change_ticks, reach
from attnbench.report.model import Figure, Key, MissingFigure, Panel, ReportData

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.analysis.compare import RunComparison

NAME, TITLE = "forest", "Which cases changed, and by how much?"
_MOST_PANELS, _MOST_ROWS = 6, 30
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


def forest(subject: ReportData) -> Figure | MissingFigure:
    """Draw the change of each case that did not stay the same, with its 95 % interval."""
    judged = subject.comparisons.judged
    if not judged:
        other = "the runs are of different devices, which have ratios and no verdicts"
        why = other if subject.comparisons.across else "it takes two runs of one device"
        return MissingFigure(NAME, TITLE, why)
    parts = [part for pair in judged for part in _parts(pair, several=len(judged) > 1)]
    if not parts:
        same = sum(one.verdicts["same"] for one in judged)
        why = f"nothing changed: {same:,} cases are the same" if same else "no case is on two sides"
        return MissingFigure(NAME, TITLE, why)
    shown = parts[:_MOST_PANELS]
    threshold = subject.comparisons.threshold
    panels = tuple(_panel(one, threshold, f"{NAME}-{n}") for n, one in enumerate(shown))
    remarks = [f"{count:,} cases stayed the same" for count in [_same(judged)] if count]
    hidden = sum(one.left_out for one in shown) + sum(
        len(one.shown) + len(one.lost) + one.left_out for one in parts[_MOST_PANELS:]
    )
    if hidden:
        remarks.append(f"{hidden:,} more cases are in the numbers")
    return Figure(
        name=NAME,
        title=TITLE,
        how="A dot is how much longer a case takes than in the base, its line the 95 % interval of"
        f" that change; the band is ±{100 * threshold:g} %, within which a change does not matter."
        " Unclear: the interval allows for more than the band. Cases that fail now stand on top.",
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


def _panel(part: _Part, threshold: float, name: str) -> Panel:
    cases = [*(case for _, case in part.lost), *part.shown]
    labels = told_apart([one.label for one in cases])
    words = [*(word for word, _ in part.lost), *(one.verdict or "" for one in part.shown)]
    told = [_said(one, word) for one, word in zip(cases, words, strict=True)]
    shown = [canvas.literal(one, 46) for one in labels]
    beside = _LETTER * (max(map(_letters, shown)) + max(map(_letters, told)))
    figure, axes = canvas.panel(max(_NARROWEST, _PLOT + beside), 62 + _ROW * len(cases))
    values = [
        end for one in part.shown for end in (one.change, one.low, one.high) if end is not None
    ]
    low, high = reach(values, threshold)
    axes.axvspan(1 - threshold, 1 + threshold, color=palette.BLANK, linewidth=0, zorder=0)
    axes.axvline(1.0, color=palette.MUTED, linewidth=1, zorder=1)
    for place, (one, said) in enumerate(zip(cases, told, strict=True)):
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
    axes.set_xlabel("change of the latency, lower is faster")
    spoken = "; ".join(
        f"{label}: {word}" for label, word in zip(labels[:6], words[:6], strict=True)
    )
    title = part.title or TITLE
    return Panel(part.title, canvas.to_svg(figure, name, title, f"Changes of cases. {spoken}"))


def _letters(text: str) -> int:
    """How many letters' room a text takes: a Chinese one takes that of two."""
    return sum(2 if east_asian_width(one) in "WF" else 1 for one in text)


def _said(one: CaseComparison, word: str) -> str:
    return word if one.change is None else f"{100 * one.change:+.1f} %  {word}"


def _dot(axes: Axes, one: CaseComparison, y: float) -> None:
    colour = COLOURS[one.verdict or "unclear"]
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


def told_apart(labels: Sequence[str]) -> list[str]:
    """Leave out of labels the words that all of them have."""
    words = [label.split() for label in labels]
    if len(set(labels)) < 2 or len({len(one) for one in words}) > 1:  # noqa: PLR2004  one is alike
        return list(labels)
    alike = [len(set(column)) == 1 for column in zip(*words, strict=True)]
    return [
        " ".join(word for word, same in zip(one, alike, strict=True) if not same) for one in words
    ]
