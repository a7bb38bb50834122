"""The figures of a report, in the order of a reader's questions.

A figure is a function from a ``ReportData`` to a ``Figure``, or to a ``MissingFigure`` that says
why there is no data for it. To add one, write the function and name it in ``_SECTIONS``.
"""

from __future__ import annotations

from collections.abc import Callable

from attnbench.report.figures import changes, decode, devices, grids, lines, roofline, trust
from attnbench.report.model import Figure, MissingFigure, ReportData, Section

Draw = Callable[[ReportData], Figure | MissingFigure]

_COMPARED = "compared"  # the section that only several runs have

# Name and heading of each section, and its figures.
_SECTIONS: tuple[tuple[str, str, tuple[Draw, ...]], ...] = (
    ("which", "Which backend should I use?", (grids.crossover, grids.speedup)),
    ("how-long", "How long does it take?", (lines.latency,)),
    ("hardware", "How close is it to the hardware?", (roofline.roofline,)),
    (
        "decode",
        "Decode and the KV cache",
        (decode.bandwidth_batch, decode.bandwidth_length, decode.groups),
    ),
    ("fits", "What fits in memory?", (lines.memory,)),
    (
        _COMPARED,
        "What changed?",
        (changes.history, changes.forest, changes.changes, devices.devices),
    ),
    ("trust", "Can I trust the numbers?", (trust.intervals, trust.clocks, trust.samples)),
)

# Each figure by its name, for a picture of one figure: ``bandwidth_batch`` is ``bandwidth-batch``.
FIGURES: dict[str, Draw] = {
    draw.__name__.replace("_", "-"): draw for _, _, figures in _SECTIONS for draw in figures
}


def sections(data: ReportData) -> tuple[Section, ...]:
    """Draw all figures; "What changed?" is there only where runs are compared."""
    from attnbench.report.svg import figure_style

    with figure_style():
        return tuple(
            Section(name, title, drawn_section(name, data))
            for name, title, _ in _SECTIONS
            if name != _COMPARED or data.comparisons.pairs
        )


def drawn_section(name: str, data: ReportData) -> tuple[Figure | MissingFigure, ...]:
    """Draw one section; the section on changes leaves out figures that have no data."""
    figures = next(figures for known, _, figures in _SECTIONS if known == name)
    drawn = tuple(draw(data) for draw in figures)
    if name != _COMPARED:
        return drawn
    return tuple(one for one in drawn if isinstance(one, Figure)) or drawn[:1]
