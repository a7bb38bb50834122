"""A comparison with a row for each value of a few fields, and what hides inside a row."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from attnbench.cli.change_words import change_text, interval_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnbench.analysis.compare import RunComparison
    from attnbench.analysis.projection import Row
    from attnbench.cli.screen import Screen

_VALUES_SHOWN = 4


def show_rows(one: RunComparison, screen: Screen, fields: Sequence[str]) -> None:
    """Print the rows; a geometric mean stands where several cases meet, and has no verdict."""
    from attnbench.analysis.projection import projected

    rows = projected(one.comparisons, fields)
    footnotes: dict[str, int] = {}
    lines = []
    for row in rows:
        mark = ""
        if row.varying:
            mark = str(footnotes.setdefault(varying_text(row), len(footnotes) + 1))
        told = _gain(row, one) if one.ratios_only else _change(row)
        lines.append((*row.values, str(row.mean.n), *told, f"[{mark}]" if mark else ""))
    names = ("speed-up", "per dollar") if one.ratios_only else ("change", "95% interval", "")
    header = (*fields, "cases", *names, "")
    has_blank = one.ratios_only and one.prices.ratio is None
    table = [(*line[:-2], line[-1]) if has_blank else line for line in (header, *lines)]
    screen.table(table, right="r" * (len(fields) + 3 - has_blank))
    for text, number in footnotes.items():
        screen.line(f"[{number}] geometric mean over cases that vary in {text}")


def _change(row: Row) -> tuple[str, str, str]:
    if len(row.comparisons) == 1:
        case = row.comparisons[0]
        sure = case.verdict in ("slower", "faster")
        return change_text(case.change) if sure else "", interval_text(case), case.verdict or ""
    words = Counter(case.verdict for case in row.comparisons if case.verdict)
    counts = ", ".join(f"{count} {word}" for word, count in words.most_common())
    return change_text(None if row.mean.ratio is None else row.mean.ratio - 1), "", counts


def _gain(row: Row, one: RunComparison) -> tuple[str, str]:
    """Across devices: the speed-up, and the work a dollar where both have a price."""
    ratio = row.mean.ratio
    work = one.prices.work(ratio)
    return f"{1 / ratio:.2f}x" if ratio else "", "" if work is None else f"{work:.2f}x"


def varying_text(row: Row) -> str:
    """Name what varies inside a row, and between which values."""
    parts = []
    for name, values in row.varying:
        more = len(values) - _VALUES_SHOWN
        listed = ", ".join(values[:_VALUES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        parts.append(f"{name} ({listed})")
    return "; ".join(parts)
