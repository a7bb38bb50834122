"""A comparison in a line: how many cases got slower, faster, stayed, are unclear, or fail now."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnbench.analysis.compare import RunComparison

WORDS = ("slower", "faster", "same", "unclear")


def verdict_line(one: RunComparison, threshold: float) -> str:
    """``1 slower, 2 faster, 20 same (within ±2%), 3 unclear, 1 newly oom``: all cases, counted."""
    parts = []
    for word in WORDS:
        if count := one.verdicts[word]:
            within = f" (within ±{100 * threshold:g}%)" if word == "same" else ""
            parts.append(f"{count:,} {word}{within}")
    if one.ratios_only:
        parts.append(f"{one.mean.n:,} measured on both")
    parts += [f"{len(cases):,} {word}" for word, cases in one.changed_status().items()]
    if changed := len(one.kernels_changed):
        parts.append(f"{changed:,} with other kernels")
    return ", ".join(parts)
