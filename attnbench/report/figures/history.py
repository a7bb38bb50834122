"""Several runs of one device in their order: the geometric mean against the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.analysis.comparison import CaseComparison
from attnbench.analysis.projection import projected
from attnbench.report import canvas, palette
from attnbench.report.model import DataTable, Figure, MissingFigure, Panel, ReportData, backend_keys

if TYPE_CHECKING:
    from attnbench.analysis.compare import RunComparison

NAME, TITLE = "history", "How did it go over time?"
_FEWEST_RUNS = 3


@dataclass(frozen=True, slots=True)
class _Line:
    """One backend: its mean ratio to the base in each run; None where it has no such case."""

    label: str
    cases: int
    ratios: tuple[float | None, ...]


def history(subject: ReportData) -> Figure | MissingFigure:
    """Draw each backend's geometric mean over the cases that every run finished."""
    judged = subject.comparisons.judged
    if len(judged) + 1 < _FEWEST_RUNS:
        why = f"it takes {_FEWEST_RUNS} runs of one device"
        return MissingFigure(NAME, TITLE, why)
    ordered = sorted(judged, key=_moment)
    everywhere = set.intersection(
        *({one.key for one in pair.comparisons if one.ratio} for pair in ordered)
    )
    if not everywhere:
        return MissingFigure(NAME, TITLE, "no case was finished in all of these runs")
    lines = _lines(ordered, everywhere)
    return Figure(
        name=NAME,
        title=TITLE,
        how="Each line is one backend: the geometric mean of its latency over that of the first"
        " run, over the cases that every run finished. Sessions shift by themselves: one step is"
        " judged below, case by case; a trend is seen here.",
        panels=(_panel(ordered, lines, subject),),
        keys=backend_keys(subject, [one.label for one in lines]),
        table=DataTable(
            ("run", "commit", "measured", "backend", "cases", "over the first run"),
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


def _lines(ordered: Sequence[RunComparison], everywhere: set[str]) -> list[_Line]:
    by_run: list[dict[str, tuple[float | None, int]]] = []
    for pair in ordered:
        kept: list[CaseComparison] = [one for one in pair.comparisons if one.key in everywhere]
        rows = projected(kept, ("backend_label",))
        by_run.append({row.values[0]: (row.mean.ratio, row.mean.n) for row in rows})
    labels = dict.fromkeys(label for one in by_run for label in one)
    return [
        _Line(
            label,
            max(one[label][1] for one in by_run if label in one),
            tuple(one[label][0] if label in one else None for one in by_run),
        )
        for label in labels
    ]


def _panel(ordered: Sequence[RunComparison], lines: Sequence[_Line], subject: ReportData) -> Panel:
    names = [_tick(ordered[0].base.name, _commits(ordered[0].base))]
    names += [_tick(pair.new.name, _commit(pair)) for pair in ordered]
    width = max(380, min(1000, 150 + 74 * len(names)))
    figure, axes = canvas.panel(width, 270)
    axes.axhline(0.0, color=palette.MUTED, linewidth=1, zorder=1)
    for line in lines:
        style = subject.styles.get(line.label)
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
    axes.set_ylabel("% over the first run")
    said = [
        f"{one.label}: {100 * (one.ratios[-1] - 1):+.1f} % in the last run"
        for one in lines
        if one.ratios[-1] is not None
    ]
    return Panel("", canvas.to_svg(figure, NAME, TITLE, f"{len(names)} runs. {'; '.join(said)}"))


def _tick(name: str, commit: str) -> str:
    return commit or canvas.literal(name, 11)


def _commit(pair: RunComparison) -> str:
    return _commits(pair.new)


def _commits(side: object) -> str:
    found = [str(one)[:7] for one in side.values("git_commit")]  # type: ignore[attr-defined]
    return found[0] if len(found) == 1 else ""


def _moment(pair: RunComparison) -> str:
    moments = pair.new.values("started_at")
    return f"{max(moments):%Y-%m-%d %H:%M}" if moments else ""
