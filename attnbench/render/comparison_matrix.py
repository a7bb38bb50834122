"""Several comparisons with one base as one table: one row a case, one column for each new side.

A cell holds the verdict and, where it is certain, the change; between devices it holds the
speed-up. Columns that do not fit the screen are printed below, with the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.render.comparison import (
    ROWS_SHOWN,
    View,
    changed_status_lines,
    difference_notes,
    explanations,
    footnote,
    kernel_lines,
    pool_notes,
    side_lines,
    verdict_counts,
    verdict_line,
)
from attnbench.render.screen import fitted, split_common, width_of
from attnbench.render.values import change_text, problem_of, ratio_text, reading_text
from attnbench.units import counted

if TYPE_CHECKING:
    from attnbench.analysis.compare import CaseComparison, CaseGroup, RunComparison
    from attnbench.render.screen import Screen
    from attnbench.stats.latency import MeanRatio

_LEGEND = (
    "a cell compares with {base}; a change is printed only when it is certain; for 95 % intervals "
    "compare one by one, or use --json"
)
_DOLLARS_LEGEND = (
    "x/$: how many times as many calls the same money pays for, on a device that does nothing else"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the matrix: its name, the base's latency, and a cell for each new side."""

    head: tuple[str, ...]
    base: str
    cells: tuple[str, ...]


def show_matrix(found: Sequence[RunComparison], screen: Screen, view: View) -> None:
    """Print the sides, the verdict counts of each, the matrix, and cases without a number."""
    for line in _headings(found):
        screen.wrap(line)
    screen.line()
    for one in found:
        screen.wrap(f"{one.new.name}: {verdict_line(one, view.threshold)}")
    screen.line()
    if view.rows:
        _show_projection(found, screen, view.rows)
    else:
        _show_cases(found, screen, view)
    for one in found:
        for line in (*changed_status_lines(one), *kernel_lines(one)):
            screen.line(f"{one.new.name}: {line}" if line and not line.startswith(" ") else line)
        if view.explain:
            screen.line()
            both = [case for case in one.comparisons if case.base and case.new]
            for line in (f"{one.new.name}: how certain", *list(explanations(one, both))[1:]):
                screen.wrap(line)
    screen.line()
    screen.wrap(_LEGEND.format(base=found[0].base.name), style="dim")
    if any(one.ratios_only and one.prices.ratio is not None for one in found):
        screen.wrap(_DOLLARS_LEGEND, style="dim")


def _headings(found: Sequence[RunComparison]) -> Iterator[str]:
    """Name the base and every new side, then say what each differs in."""
    sides = [found[0].base, *(one.new for one in found)]
    yield from side_lines(sides)
    for side in sides:
        yield from pool_notes(side)
    for one in found:
        for text in difference_notes(one):
            yield text.replace("note  ", f"note  {one.new.name}: ", 1)


def _show_cases(found: Sequence[RunComparison], screen: Screen, view: View) -> None:
    """Print a row for each case that has a latency on some side."""
    by_key = [{case.key: case for case in one.comparisons} for one in found]
    cases = {key: case for part in by_key for key, case in part.items()}
    keys = [key for key in cases if any(_has_latency(part.get(key)) for part in by_key)]
    shown = keys
    if not view.everything and len(keys) > ROWS_SHOWN:
        shown = [key for key in keys if any(_has_changed(part.get(key)) for part in by_key)]
        shown = shown[:ROWS_SHOWN]
    columns = _columns(found)
    heads, names = split_common([problem_of(cases[key]) for key in shown])
    if heads:
        screen.wrap(f"all of  {heads}")
    lines = [
        Line(
            head=(name, cases[key].backend)[: len(columns)],
            base=_base_text([part.get(key) for part in by_key]),
            cells=tuple(
                _cell_text(part.get(key), one) for part, one in zip(by_key, found, strict=True)
            ),
        )
        for key, name in zip(shown, names, strict=True)
    ]
    means = tuple(_mean_text(one.mean, one) for one in found)
    lines.append(Line(("geometric mean", *[""] * (len(columns) - 1)), "", means))
    _print(columns, lines, found, screen)
    if (left := len(keys) - len(shown)) > 0:
        screen.line(f"{counted(left, 'row')} not shown: --all", "dim")


def _columns(found: Sequence[RunComparison]) -> tuple[str, ...]:
    """Leave out the backend's column where all cases have one, or where it names the sides."""
    backends = {case.backend for one in found for case in one.comparisons}
    names = {one.new.name for one in found}
    return ("problem", "backend") if len(backends) > 1 and not backends <= names else ("problem",)


def _has_latency(case: CaseComparison | None) -> bool:
    return case is not None and bool(case.base or case.new)


def _has_changed(case: CaseComparison | None) -> bool:
    return case is not None and (case.verdict != "same" or case.new is None)


def _base_text(cases: Sequence[CaseComparison | None]) -> str:
    """Write the base's latency, or its status; it is the same in all comparisons."""
    known = [one for one in cases if one is not None]
    case = next((one for one in known if one.base is not None), known[0] if known else None)
    return "" if case is None else reading_text(case.base, case.base_status)


def _cell_text(case: CaseComparison | None, one: RunComparison) -> str:
    """Write ``+7.0% slower``, ``same``, ``1.43x``, ``1.43x, 0.94x/$`` or ``oom``."""
    if case is None:
        return "missing"
    if case.new is None or case.base is None:
        return reading_text(case.new, case.new_status)
    if case.verdict is None:
        return _gain_text(case.ratio, one)
    if case.verdict in ("slower", "faster"):
        return f"{change_text(case.change)} {case.verdict}"
    return case.verdict


def _mean_text(mean: MeanRatio, one: RunComparison) -> str:
    if mean.ratio is None:
        return ""
    text = _gain_text(mean.ratio, one) if one.ratios_only else change_text(mean.ratio - 1)
    return f"{text} of {mean.n:,}"


def _gain_text(ratio: float | None, one: RunComparison) -> str:
    """Write the speed-up and, where prices are given, the work per dollar."""
    if not ratio:
        return ""
    work = one.prices.work(ratio)
    return ratio_text(1 / ratio) + (f", {ratio_text(work)}/$" if work else "")


def _show_projection(found: Sequence[RunComparison], screen: Screen, fields: Sequence[str]) -> None:
    """Print a row for each value of a few fields; several cases in a cell have a geometric mean."""
    from attnbench.analysis.compare import group_cases

    tables = [{row.values: row for row in group_cases(one.comparisons, fields)} for one in found]
    footnotes: dict[str, int] = {}
    lines = [
        Line(
            head=values,
            base="",
            cells=tuple(
                _row_text(table.get(values), one, footnotes)
                for table, one in zip(tables, found, strict=True)
            ),
        )
        for values in dict.fromkeys(values for table in tables for values in table)
    ]
    _print(tuple(fields), lines, found, screen)
    for text, number in footnotes.items():
        screen.wrap(f"[{number}] geometric mean over cases that vary in {text}")


def _row_text(row: CaseGroup | None, one: RunComparison, footnotes: dict[str, int]) -> str:
    if row is None:
        return ""
    if len(row.comparisons) == 1:
        return _cell_text(row.comparisons[0], one)
    counts = verdict_counts(row)
    parts = (_mean_text(row.mean, one), f"({counts})" if counts else "", footnote(row, footnotes))
    return " ".join(part for part in parts if part)


def _print(
    columns: Sequence[str], lines: Sequence[Line], found: Sequence[RunComparison], screen: Screen
) -> None:
    """Print as many new sides next to each other as fit, and the others below."""
    has_base = any(line.base for line in lines)

    def rows(begin: int, end: int) -> list[list[str]]:
        names = [one.new.name for one in found[begin:end]]
        header = [*columns, found[0].base.name, *names]
        cells = [[*line.head, line.base, *line.cells[begin:end]] for line in lines]
        return [header, *cells]

    begin = 0
    while begin < len(found):
        end = begin + 1
        while end < len(found) and width_of(rows(begin, end + 1)) <= screen.width:
            end += 1
        if begin:
            screen.line()
        shown, right = rows(begin, end), " " * len(columns) + "r"
        if not has_base:
            at = len(columns)
            shown, right = [[*row[:at], *row[at + 1 :]] for row in shown], ""
        screen.table(fitted(shown, screen.width), right=right)
        begin = end
