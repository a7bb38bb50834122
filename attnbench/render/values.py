"""Single values as short text: a change, an interval, a share, a latency, a count, a path.

The units themselves (µs, GB, TB/s) are written by ``attnbench.units``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.units import significant, spread_text, time_text

if TYPE_CHECKING:
    from attnbench.analysis.comparison import CaseComparison
    from attnbench.stats.latency import Latency

_BEYOND = 9.995  # a share above this is written as "more than", because its digits mean nothing
_TWO_DIGITS = 9.95  # a percentage below this is written with one decimal
_CENTS = 10  # dollars from which on cents are the last digits that matter
_KILO = 1024  # as suites write lengths
_MINUTE, _HOUR = 60, 3600
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*(?: [kMGT]?B\b| m?s\b| min\b| h\b)?")


def change_text(share: float | None) -> str:
    """Write a relative change: 0.07 is ``+7.0%``; empty where there is none."""
    if share is None:
        return ""
    return ">+999%" if share >= _BEYOND else f"{100 * share:+.1f}%"


def percent_text(share: float) -> str:
    """Write a share with two significant digits: ``3%``, ``2.4%``, ``>999%``."""
    return ">999%" if share >= _BEYOND else f"{float(f'{100 * share:.2g}'):g}%"


def interval_text(low: float | None, high: float | None) -> str:
    """Write an interval of relative changes: ``[+6.7%, +7.3%]``; empty where there is none."""
    return "" if low is None or high is None else f"[{change_text(low)}, {change_text(high)}]"


def ratio_text(ratio: float | None) -> str:
    """Write a ratio: ``1.43x``; empty where there is none."""
    return f"{ratio:.2f}x" if ratio else ""


def dollars_text(value: float) -> str:
    """Write ``$0.0211`` or ``$14.30``: three significant digits, and never fewer than cents."""
    return f"${value:,.2f}" if value >= _CENTS else f"${significant(value)}"


def reading_text(one: Latency | None, status: str = "", *, spread: bool = False) -> str:
    """Write a latency as ``489 µs`` or ``489 µs ±0.1%``, or the status that stands for it."""
    if one is None:
        return status
    known = spread and one.half_width is not None
    return time_text(one.seconds) + (f" {spread_text(one.half_width or 0)}" if known else "")


def nearest_limit(memory_percent: float | None, flop_percent: float | None) -> str:
    """Write the larger share of a hardware limit: ``91% mem``, ``0.3% flop``, or nothing."""
    both = ((memory_percent, "mem"), (flop_percent, "flop"))
    known = [(percent, word) for percent, word in both if percent is not None]
    if not known:
        return ""
    percent, word = max(known)
    return f"{percent:.{0 if percent >= _TWO_DIGITS else 1}f}% {word}"


def problem_of(case: CaseComparison) -> str:
    """Return the problem part of a case's label."""
    return case.label.partition(" · ")[0]


def problems_of(cases: Sequence[CaseComparison]) -> list[str]:
    """Return the problems' labels, with timer and cache mode where these differ."""
    timings = [f" {case.facts.get('timer')} {case.facts.get('l2')}" for case in cases]
    several = len(set(timings)) > 1
    return [
        problem_of(case) + (timing if several else "")
        for case, timing in zip(cases, timings, strict=True)
    ]


def length_text(kv_len: int) -> str:
    """Write a length rounded down: ``960``, ``27k``, ``9.8m``, or ``none``."""
    if not kv_len:
        return "none"
    if kv_len < _KILO:
        return str(kv_len)
    if kv_len < _KILO**2:
        return f"{kv_len // _KILO}k"
    return f"{kv_len * 10 // _KILO**2 / 10:.1f}m"


def shown_path(path: Path) -> str:
    """Write a path as one would type it here: relative below the working directory."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def about(seconds: float) -> str:
    """Write a predicted duration without false precision: ``about 7 min``."""
    if seconds < _MINUTE:
        return "under a minute"
    if seconds < _HOUR:
        return f"about {seconds / _MINUTE:.0f} min"
    return f"about {int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE)} min"


def left(seconds: float | None) -> str:
    """Write ``about 7 min left``; empty where it is unknown."""
    return "" if seconds is None else f"{about(seconds)} left"


def elapsed_text(seconds: float) -> str:
    """Write ``14:02`` in minutes and seconds, or ``1:14:02``."""
    minutes, rest = divmod(int(seconds), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def reason_lines(pairs: Iterable[tuple[str, str | None]]) -> Iterator[str]:
    """Count (backend, reason) pairs, most frequent first; only figures may differ in one line."""
    alike: dict[tuple[str, str], list[str]] = {}
    for backend, reason in pairs:
        first = (reason or "").partition("\n")[0]
        alike.setdefault((backend, _FIGURE.sub("0", first)), []).append(first)
    for (backend, _), reasons in sorted(alike.items(), key=lambda one: -len(one[1])):
        others = ", and similar" if len(set(reasons)) > 1 else ""
        yield f"  {len(reasons)} x {backend}: {reasons[0]}{others}"


def failure_text(status: str, label: str, reason: str | None) -> str:
    """Write the status, the case, and the first line of the reason."""
    first, _, more = (reason or "").partition("\n")
    return f"{status}  {label}: {first}{' …' if more.strip() else ''}"


def more_line(total: int, shown: int, tail: str = "") -> Iterator[str]:
    """Yield ``and 7 more`` where fewer than ``total`` were shown."""
    if (more := total - shown) > 0:
        yield f"and {more:,} more{tail}"
