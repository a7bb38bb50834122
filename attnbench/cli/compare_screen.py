"""What a comparison looks like: who against whom, the verdicts counted, the table, what is missing.

A change has its interval beside it and a word after it; a number stands where it is sure alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.analysis.compare_text import verdict_line
from attnbench.cli.change_words import change_text, interval_text, problem_of, reading_text
from attnbench.cli.compare_heading import heading
from attnbench.cli.compare_ratios import DOLLARS_LEGEND, Rows, gain_text, ratio_tables
from attnbench.cli.screen import Screen, cropped, laid_out
from attnbench.cli.summary import counted
from attnbench.units import time_text

if TYPE_CHECKING:
    from attnbench.analysis.compare import Compared, Comparison

ROWS_SHOWN = 40  # unchanged rows are left out of a longer table
_SECTION_SHOWN = 10
_NARROWEST_PROBLEM = 12
_RANK = {"slower": 0, "faster": 1, "unclear": 2, "same": 3}
_LEGEND = (
    "latency is the geometric mean over launches, ± half of the 95 % interval between them; "
    "a change stands where it is sure, its 95 % interval always"
)
_ACROSS = (
    "the two were measured in different sessions: what shifts between sessions is in the intervals"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the user asked to see."""

    threshold: float
    everything: bool = False
    explain: bool = False
    rows: tuple[str, ...] = ()


def show(found: Sequence[Compared], screen: Screen, view: View) -> None:
    """Print a comparison, or several with one base as a matrix."""
    if len(found) > 1:
        from attnbench.cli.compare_matrix import show_matrix

        show_matrix(found, screen, view)
        return
    show_one(found[0], screen, view)


def show_one(one: Compared, screen: Screen, view: View) -> None:
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


def wrapped(screen: Screen, text: str, *, indent: int = 6, style: str = "") -> None:
    """Print a sentence in as many lines as the screen needs."""
    if len(text) <= screen.width:
        screen.line(text, style)
        return
    for line in textwrap.wrap(
        text, screen.width, subsequent_indent=" " * indent, break_on_hyphens=False
    ):
        screen.line(line, style)


def problems_of(cases: Sequence[Comparison]) -> list[str]:
    """The problems' labels, with the timing where there are several."""
    timings = [f" {case.facts.get('timer')} {case.facts.get('l2')}" for case in cases]
    several = len(set(timings)) > 1
    return [
        problem_of(case) + (timing if several else "")
        for case, timing in zip(cases, timings, strict=True)
    ]


def fitted(rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Shorten the first column so that the table fits, unless cases could not be told apart."""
    longest = max(len(row[0]) for row in rows)
    others = max(map(len, laid_out(rows))) - longest
    room = max(width - others, _NARROWEST_PROBLEM)
    short = [cropped(row[0], room) for row in rows]
    if len(set(short)) < len({row[0] for row in rows}):
        return [list(row) for row in rows]
    return [[text, *row[1:]] for text, row in zip(short, rows, strict=True)]


def told_apart(labels: Sequence[str]) -> tuple[str, list[str]]:
    """Split labels into the words that all have, once, and those in which they differ."""
    words = [label.split() for label in labels]
    if len(set(labels)) < 2 or len({len(one) for one in words}) > 1:  # noqa: PLR2004  one is alike
        return "", list(labels)
    alike = [len(set(column)) == 1 for column in zip(*words, strict=True)]
    kept = [
        " ".join(word for word, same in zip(one, alike, strict=True) if not same) for one in words
    ]
    shared = "  ".join(word for word, same in zip(words[0], alike, strict=True) if same)
    return shared, kept


def sections(one: Compared) -> Iterator[str]:
    """Cases that are on one side alone, fail now, or work again; the first of each kind."""
    for word, cases in one.changed_status().items():
        yield ""
        yield word
        for case in cases[:_SECTION_SHOWN]:
            yield f"  {case.label}: {_fate(case)}"
        if (more := len(cases) - _SECTION_SHOWN) > 0:
            yield f"  and {more:,} more (--json lists all)"


def _show_table(one: Compared, screen: Screen, view: View) -> None:
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


def _print_rows(one: Compared, shown: Sequence[Comparison], screen: Screen) -> None:
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


def _change_tables(one: Compared, cases: Sequence[Comparison]) -> Iterator[tuple[Rows, str]]:
    """The table of changes, then without what launches differ by."""
    yield _change_rows(one, cases, spread=True), "  rrr"
    yield _change_rows(one, cases, spread=False), "  rrr"


def _change_rows(one: Compared, cases: Sequence[Comparison], *, spread: bool) -> Rows:
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


def explanations(one: Compared, cases: Sequence[Comparison]) -> Iterator[str]:
    """How each verdict was reached: launches, the smallest effect found, what would settle it."""
    yield ""
    if one.against is not None:
        yield (
            f"the suite as a whole moved by {change_text(one.against.shift)}; "
            f"runs like these shift by {100 * one.against.shift_sd:.1f}% (one standard deviation)"
        )
    rows = {id(case): row for row, case in enumerate(one.comparisons)}
    for case in cases:
        old, new = case.base, case.new
        launches = f"{old.launches if old else 0} and {new.launches if new else 0} launches"
        effect = (
            "no interval" if case.effect is None else f"finds {change_text(case.effect)} or more"
        )
        label = problem_of(case) if case.backend == one.new.name else case.label
        resampled = one.resampled(rows[id(case)]) if case.verdict else None
        check = ""
        if resampled is not None:
            low, high = (change_text(end - 1) for end in resampled)
            check = f"; launches alone, resampled: [{low}, {high}]"
        yield f"  {label}: {case.verdict or 'no verdict'}; {launches}; {effect}{check}"


def kernel_lines(one: Compared) -> Iterator[str]:
    """Cases whose executed kernels have other names; the first of them."""
    cases = one.kernels_changed
    if not cases:
        return
    yield ""
    yield "other kernels than in the base"
    for case in cases[:_SECTION_SHOWN]:
        yield f"  {case.label}"
    if (more := len(cases) - _SECTION_SHOWN) > 0:
        yield f"  and {more:,} more (--json lists all)"


def _fate(case: Comparison) -> str:
    before = time_text(case.base.latency) if case.base else case.base_status
    after = time_text(case.new.latency) if case.new else case.new_status
    first = (case.reason or "").partition("\n")[0]
    return f"{before} -> {after}" + (f" ({first})" if first and not case.new else "")
