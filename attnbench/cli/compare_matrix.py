"""Several comparisons with one base as one table: a row a case, a column for each new side.

A cell holds the change where it is sure and the verdict always; where devices differ, the speed-up.
What does not fit beside each other stands below each other, with the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.cli.change_words import change_text, problem_of, reading_text
from attnbench.cli.compare_below import explanations, kernel_lines, sections
from attnbench.cli.compare_heading import notes, pool_notes, side_lines
from attnbench.cli.compare_rows import varying_text
from attnbench.cli.compare_view import ROWS_SHOWN, View
from attnbench.cli.fitting import fitted, told_apart, wrapped
from attnbench.cli.screen import laid_out
from attnbench.cli.summary import counted
from attnbench.render.verdicts import verdict_line

if TYPE_CHECKING:
    from attnbench.analysis.compare import CaseComparison, RunComparison
    from attnbench.analysis.projection import Row
    from attnbench.cli.screen import Screen
    from attnbench.stats.latency import MeanRatio

_LEGEND = (
    "a cell compares with {base}: a change stands where it is sure; 95 % intervals: compare one by "
    "one, or --json"
)
_DOLLARS_LEGEND = (
    "x/$: how many times the calls the same money pays for, of a device that does nothing else"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the matrix: what it is, the base's reading, and a cell for each new side."""

    head: tuple[str, ...]
    base: str
    cells: tuple[str, ...]


def show_matrix(found: Sequence[RunComparison], screen: Screen, view: View) -> None:
    """Print who is compared, the verdicts of each, the matrix, and what has no number."""
    for line in _headings(found):
        wrapped(screen, line)
    screen.line()
    for one in found:
        wrapped(screen, f"{one.new.name}: {verdict_line(one, view.threshold)}")
    screen.line()
    if view.rows:
        _show_projection(found, screen, view.rows)
    else:
        _show_cases(found, screen, view)
    for one in found:
        for line in (*sections(one), *kernel_lines(one)):
            screen.line(f"{one.new.name}: {line}" if line and not line.startswith(" ") else line)
        if view.explain:
            screen.line()
            for line in (f"{one.new.name}: how sure", *list(explanations(one, _measured(one)))[1:]):
                wrapped(screen, line)
    screen.line()
    wrapped(screen, _LEGEND.format(base=found[0].base.name), style="dim")
    if any(one.ratios_only and one.prices.ratio is not None for one in found):
        wrapped(screen, _DOLLARS_LEGEND, style="dim")


def _headings(found: Sequence[RunComparison]) -> Iterator[str]:
    """Name the base and every new side, then what each differs in."""
    sides = [found[0].base, *(one.new for one in found)]
    yield from side_lines(sides)
    for side in sides:
        yield from pool_notes(side)
    for one in found:
        for text in notes(one):
            yield text.replace("note  ", f"note  {one.new.name}: ", 1)


def _measured(one: RunComparison) -> list[CaseComparison]:
    return [case for case in one.comparisons if case.base and case.new]


def _show_cases(found: Sequence[RunComparison], screen: Screen, view: View) -> None:
    """A row for each case that at least one side can be compared on."""
    by_key = [{case.key: case for case in one.comparisons} for one in found]
    cases = {key: case for part in by_key for key, case in part.items()}
    keys = [key for key in cases if any(_is_told(part.get(key)) for part in by_key)]
    shown = keys
    if not view.everything and len(keys) > ROWS_SHOWN:
        shown = [key for key in keys if any(_matters(part.get(key)) for part in by_key)]
        shown = shown[:ROWS_SHOWN]
    lines = [
        Line(
            head=_head(cases[key], found),
            base=_base_text([part.get(key) for part in by_key]),
            cells=tuple(
                cell_text(part.get(key), one) for part, one in zip(by_key, found, strict=True)
            ),
        )
        for key in shown
    ]
    heads, rest = told_apart([line.head[0] for line in lines])
    if heads:
        wrapped(screen, f"all of  {heads}")
    lines = [
        Line((text, *line.head[1:]), line.base, line.cells)
        for text, line in zip(rest, lines, strict=True)
    ]
    means = Line(("geometric mean", *[""] * (len(_columns(found)) - 1)), "", _means(found))
    _print(_columns(found), [*lines, means], found, screen)
    if (left := len(keys) - len(shown)) > 0:
        screen.line(f"{counted(left, 'row')} not shown: --all", "dim")


def _columns(found: Sequence[RunComparison]) -> tuple[str, ...]:
    """The backend has a column unless all cases have one, or it is what sides are set apart by."""
    backends = {case.backend for one in found for case in one.comparisons}
    names = {one.new.name for one in found}
    return ("problem", "backend") if len(backends) > 1 and not backends <= names else ("problem",)


def _head(case: CaseComparison, found: Sequence[RunComparison]) -> tuple[str, ...]:
    return (problem_of(case), case.backend)[: len(_columns(found))]


def _is_told(case: CaseComparison | None) -> bool:
    return case is not None and bool(case.base or case.new)


def _matters(case: CaseComparison | None) -> bool:
    return case is not None and (case.verdict != "same" or case.new is None)


def _base_text(cases: Sequence[CaseComparison | None]) -> str:
    """The base's latency, or the status that stands for it: the same in all comparisons."""
    case = next((one for one in cases if one is not None and one.base is not None), None)
    if case is not None:
        return reading_text(case.base, spread=False)
    known = next((one for one in cases if one is not None), None)
    return "" if known is None else known.base_status


def cell_text(case: CaseComparison | None, one: RunComparison) -> str:
    """``+7.0% slower``, ``same``, ``1.43x``, ``1.43x, 0.94x/$``, ``oom``."""
    if case is None:
        return "missing"
    if case.new is None:
        return case.new_status
    if case.base is None:
        return reading_text(case.new, spread=False)
    if case.verdict is None:
        return _gain(case.ratio, one)
    if case.verdict in ("slower", "faster"):
        return f"{change_text(case.change)} {case.verdict}"
    return case.verdict


def _means(found: Sequence[RunComparison]) -> tuple[str, ...]:
    return tuple(_mean_text(one.mean, one) for one in found)


def _mean_text(mean: MeanRatio, one: RunComparison) -> str:
    if mean.ratio is None:
        return ""
    text = _gain(mean.ratio, one) if one.ratios_only else change_text(mean.ratio - 1)
    return f"{text} of {mean.n:,}"


def _gain(ratio: float | None, one: RunComparison) -> str:
    """The speed-up and, at given prices, the work a dollar."""
    if not ratio:
        return ""
    work = one.prices.work(ratio)
    return f"{1 / ratio:.2f}x" + (f", {work:.2f}x/$" if work else "")


def _show_projection(found: Sequence[RunComparison], screen: Screen, fields: Sequence[str]) -> None:
    """A row for each value of a few fields; several cases in a cell are their geometric mean."""
    from attnbench.analysis.projection import projected

    tables = [{row.values: row for row in projected(one.comparisons, fields)} for one in found]
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
        wrapped(screen, f"[{number}] geometric mean over cases that vary in {text}")


def _row_text(row: Row | None, one: RunComparison, footnotes: dict[str, int]) -> str:
    if row is None:
        return ""
    if len(row.comparisons) == 1:
        return cell_text(row.comparisons[0], one)
    words = Counter(case.verdict for case in row.comparisons if case.verdict)
    counts = ", ".join(f"{count} {word}" for word, count in words.most_common())
    mark = ""
    if row.varying:
        mark = f"[{footnotes.setdefault(varying_text(row), len(footnotes) + 1)}]"
    mean = _mean_text(row.mean, one)
    return " ".join(filter(None, (mean, f"({counts})" if counts else "", mark)))


def _print(
    columns: Sequence[str], lines: Sequence[Line], found: Sequence[RunComparison], screen: Screen
) -> None:
    """Print as many new sides beside each other as fit, and the others below."""
    has_base = any(line.base for line in lines)
    begin = 0
    while begin < len(found):
        end = begin + 1
        while end < len(found) and _width(columns, lines, found, begin, end + 1) <= screen.width:
            end += 1
        if begin:
            screen.line()
        rows = _rows(columns, lines, found, begin, end)
        if not has_base:
            rows = [[*row[: len(columns)], *row[len(columns) + 1 :]] for row in rows]
        right = " " * len(columns) + ("r" if has_base else "")
        screen.table(fitted(rows, screen.width), right=right)
        begin = end


def _rows(
    columns: Sequence[str],
    lines: Sequence[Line],
    found: Sequence[RunComparison],
    begin: int,
    end: int,
) -> list[list[str]]:
    names = [one.new.name for one in found[begin:end]]
    header = [*columns, found[0].base.name, *names]
    return [header, *([*line.head, line.base, *line.cells[begin:end]] for line in lines)]


def _width(
    columns: Sequence[str],
    lines: Sequence[Line],
    found: Sequence[RunComparison],
    begin: int,
    end: int,
) -> int:
    return max(map(len, laid_out(_rows(columns, lines, found, begin, end))))
