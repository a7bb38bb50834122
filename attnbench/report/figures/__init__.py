"""The figures of a report, in the order of the questions that a reader has.

A figure is a function from a ``Subject`` to a ``Figure``, or to ``Absent`` with the reason where
there is no data for it. A new one is a function and a line here.
"""

from __future__ import annotations

from collections.abc import Callable

from attnbench.report.figures.bandwidth import by_batch, by_length
from attnbench.report.figures.crossover import crossover
from attnbench.report.figures.groups import groups
from attnbench.report.figures.latency import latency
from attnbench.report.figures.memory import memory
from attnbench.report.figures.roofline import roofline
from attnbench.report.figures.speedup import speedup
from attnbench.report.figures.trust import clocks, intervals, samples
from attnbench.report.model import Absent, Figure, Section, Subject

Draw = Callable[[Subject], Figure | Absent]

# Name and heading of each section, and its figures.
_SECTIONS: tuple[tuple[str, str, tuple[Draw, ...]], ...] = (
    ("which", "Which one should I use?", (crossover, speedup)),
    ("how-long", "How long does it take?", (latency,)),
    ("hardware", "How close is it to the hardware?", (roofline,)),
    ("decode", "Decode and the KV cache", (by_batch, by_length, groups)),
    ("fits", "What fits?", (memory,)),
    ("trust", "Can I trust it?", (intervals, clocks, samples)),
)


def sections(subject: Subject) -> tuple[Section, ...]:
    """Draw everything."""
    from attnbench.report.canvas import drawing

    with drawing():
        return tuple(
            Section(name, title, tuple(draw(subject) for draw in figures))
            for name, title, figures in _SECTIONS
        )
