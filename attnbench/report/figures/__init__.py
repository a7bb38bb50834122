"""The figures of a report, in the order of the questions that a reader has.

A figure is a function from a ``ReportData`` to a ``Figure``, or to ``MissingFigure`` with the
reason where there is no data for it. A new one is a function and a line here.
"""

from __future__ import annotations

from collections.abc import Callable

from attnbench.report.figures.bandwidth import by_batch, by_length
from attnbench.report.figures.changes import changes
from attnbench.report.figures.crossover import crossover
from attnbench.report.figures.devices import devices
from attnbench.report.figures.forest import forest
from attnbench.report.figures.groups import groups
from attnbench.report.figures.history import history
from attnbench.report.figures.latency import latency
from attnbench.report.figures.memory import memory
from attnbench.report.figures.roofline import roofline
from attnbench.report.figures.speedup import speedup
from attnbench.report.figures.trust import clocks, intervals, samples
from attnbench.report.model import Figure, MissingFigure, ReportData, Section

Draw = Callable[[ReportData], Figure | MissingFigure]

_COMPARED = "compared"  # the section that only several runs have

# Name and heading of each section, and its figures.
_SECTIONS: tuple[tuple[str, str, tuple[Draw, ...]], ...] = (
    ("which", "Which one should I use?", (crossover, speedup)),
    ("how-long", "How long does it take?", (latency,)),
    ("hardware", "How close is it to the hardware?", (roofline,)),
    ("decode", "Decode and the KV cache", (by_batch, by_length, groups)),
    ("fits", "What fits?", (memory,)),
    (_COMPARED, "What changed?", (history, forest, changes, devices)),
    ("trust", "Can I trust it?", (intervals, clocks, samples)),
)


# Each figure by its name, for a picture of one alone.
FIGURES: dict[str, Draw] = {
    "crossover": crossover,
    "speedup": speedup,
    "latency": latency,
    "roofline": roofline,
    "bandwidth-batch": by_batch,
    "bandwidth-length": by_length,
    "groups": groups,
    "memory": memory,
    "history": history,
    "forest": forest,
    "changes": changes,
    "devices": devices,
    "intervals": intervals,
    "clocks": clocks,
    "samples": samples,
}


def sections(subject: ReportData) -> tuple[Section, ...]:
    """Draw everything."""
    from attnbench.report.canvas import drawing

    with drawing():
        return tuple(
            Section(name, title, drawn_section(name, subject))
            for name, title, _ in _SECTIONS
            if name != _COMPARED or subject.comparisons.pairs
        )


def drawn_section(name: str, subject: ReportData) -> tuple[Figure | MissingFigure, ...]:
    """Draw one section; a comparison of two runs need not say what three would have shown."""
    figures = next(figures for known, _, figures in _SECTIONS if known == name)
    drawn = tuple(draw(subject) for draw in figures)
    if name != _COMPARED:
        return drawn
    return tuple(one for one in drawn if isinstance(one, Figure)) or drawn[:1]
