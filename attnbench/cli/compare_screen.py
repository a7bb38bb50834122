"""What one comparison looks like: who against whom, verdicts counted, the table, what is missing.

A change has its interval beside it and a word after it; a number stands where it is sure alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attnbench.cli.change_words import (
    change_text,
    interval_text,
    problem_of,
    problems_of,
    reading_text,
)
from attnbench.cli.compare_below import explanations, kernel_lines, sections
from attnbench.cli.compare_heading import heading
from attnbench.cli.compare_ratios import DOLLARS_LEGEND, Rows, gain_text, ratio_tables
from attnbench.cli.compare_view import ROWS_SHOWN, View
from attnbench.cli.fitting import fitted, told_apart, wrapped
from attnbench.cli.screen import laid_out
from attnbench.cli.summary import counted
from attnbench.render.verdicts import verdict_line

if TYPE_CHECKING:
    from attnbench.analysis.compare import CaseComparison, RunComparison
    from attnbench.cli.screen import Screen

_RANK = {"slower": 0, "faster": 1, "unclear": 2, "same": 3}
_LEGEND = (
    "latency is the geometric mean over processes, ± half of the 95 % interval between them; "
    "a change stands where it is sure, its 95 % interval always"
)
_ACROSS = (
    "the two were measured in different sessions: what shifts between sessions is in the intervals"
)


def show_one(one: RunComparison, screen: Screen, view: View) -> None:
    """Print one comparison."""
    for line in (*heading(one), "", verdict_line(one, view.threshold), ""):
        wrapped(screen, line)
    if view.rows:
        from attnbench.cli.compare_rows import show_rows

        show_rows(one, screen, view.rows)
    else:
        _show_table(one, screen, view)
    for line in (*sections(one), *kernel_lines(one)):
        screen.line(line)
    screen.line()
    wrapped(screen, _LEGEND, style="dim")
    if one.ratios_only and one.prices.ratio is not None:
        wrapped(screen, DOLLARS_LEGEND, style="dim")
    if not one.paired and not one.ratios_only:
        wrapped(screen, _ACROSS, style="dim")


def _show_table(one: RunComparison, screen: Screen, view: View) -> None:
    """Print cases that both sides finished: all, or those that changed, and their mean."""
    cases = [case for case in one.comparisons if case.base and case.new]
    shown = sorted(cases, key=lambda case: _RANK.get(case.verdict or "", 0))
    if one.ratios_only:
        shown = cases
    elif not view.everything and len(cases) > ROWS_SHOWN:
        shown = [case for case in shown if case.verdict != "same"][:ROWS_SHOWN]
    else:
        shown = cases
    if shown:
        _print_rows(one, shown, screen)
    if one.mean.ratio is not None:
        mean = gain_text(one) if one.ratios_only else change_text(one.mean.ratio - 1)
        screen.line(f"geometric mean over the {counted(one.mean.n, 'common case')}  {mean}")
    if (left := len(cases) - len(shown)) > 0:
        screen.line(f"{counted(left, 'row')} not shown: --all", "dim")
    if view.explain:
        for line in explanations(one, shown):
            wrapped(screen, line)


def _print_rows(one: RunComparison, shown: Sequence[CaseComparison], screen: Screen) -> None:
    """Print the table with as many columns as the screen has room for."""
    backends = {case.backend for case in shown}
    shared, problems = told_apart(problems_of(shown))
    if len(backends) == 1 and backends != {one.new.name}:
        shared = f"{shared}  {backends.copy().pop()}".strip()
    if shared:
        wrapped(screen, f"all of  {shared}")
    tables = ratio_tables if one.ratios_only else _change_tables
    for rows, right in tables(one, shown):
        places = right[1:] if len(backends) == 1 else right
        told = [rows[0], *((text, *row[1:]) for text, row in zip(problems, rows[1:], strict=True))]
        if len(backends) == 1:
            told = [(row[0], *row[2:]) for row in told]
        lines = fitted(told, screen.width)
        if max(map(len, laid_out(lines))) <= screen.width:
            break
    screen.table(lines, right=places)


def _change_tables(
    one: RunComparison, cases: Sequence[CaseComparison]
) -> Iterator[tuple[Rows, str]]:
    """The table of changes, then without what processes differ by."""
    yield _change_rows(one, cases, spread=True), "  rrr"
    yield _change_rows(one, cases, spread=False), "  rrr"


def _change_rows(one: RunComparison, cases: Sequence[CaseComparison], *, spread: bool) -> Rows:
    header = ("problem", "backend", one.base.name, one.new.name, "change", "95% interval", "")
    lines = [
        (
            problem_of(case),
            case.backend,
            reading_text(case.base, spread=spread),
            reading_text(case.new, spread=spread),
            change_text(case.change) if case.verdict in ("slower", "faster") else "",
            interval_text(case),
            case.verdict or "",
        )
        for case in cases
    ]
    return [header, *lines]
