"""One comparison in words: a change, its interval, a latency with its spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attnbench.units import spread_text, time_text

if TYPE_CHECKING:
    from attnbench.analysis.comparison import CaseComparison
    from attnbench.stats.latency import Latency


def change_text(share: float | None) -> str:
    """``+7.0%``."""
    return "" if share is None else f"{100 * share:+.1f}%"


def interval_text(case: CaseComparison) -> str:
    """``[+6.7%, +7.3%]``."""
    if case.low is None or case.high is None:
        return ""
    return f"[{change_text(case.low)}, {change_text(case.high)}]"


def reading_text(one: Latency | None, *, spread: bool = True) -> str:
    """``489 µs ±0.1%``."""
    if one is None:
        return ""
    known = spread and one.half_width is not None
    reach = f" {spread_text(one.half_width or 0)}" if known else ""
    return f"{time_text(one.seconds)}{reach}"


def problem_of(case: CaseComparison) -> str:
    """The problem's label."""
    return case.label.partition(" · ")[0]


def problems_of(cases: Sequence[CaseComparison]) -> list[str]:
    """The problems' labels, with the timing where there are several."""
    timings = [f" {case.facts.get('timer')} {case.facts.get('l2')}" for case in cases]
    several = len(set(timings)) > 1
    return [
        problem_of(case) + (timing if several else "")
        for case, timing in zip(cases, timings, strict=True)
    ]
