"""What stands below the table of a comparison: cases without a number, other kernels, how sure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attnbench.cli.change_words import change_text, problem_of
from attnbench.units import time_text

if TYPE_CHECKING:
    from attnbench.analysis.compare import CaseComparison, RunComparison

_SHOWN = 10  # of each kind


def sections(one: RunComparison) -> Iterator[str]:
    """Cases that are on one side alone, fail now, or work again; the first of each kind."""
    for word, cases in one.changed_status().items():
        yield ""
        yield word
        for case in cases[:_SHOWN]:
            yield f"  {case.label}: {_fate(case)}"
        if (more := len(cases) - _SHOWN) > 0:
            yield f"  and {more:,} more (--json lists all)"


def kernel_lines(one: RunComparison) -> Iterator[str]:
    """Cases whose executed kernels have other names; the first of them."""
    cases = one.kernels_changed
    if not cases:
        return
    yield ""
    yield "other kernels than in the base"
    for case in cases[:_SHOWN]:
        yield f"  {case.label}"
    if (more := len(cases) - _SHOWN) > 0:
        yield f"  and {more:,} more (--json lists all)"


def explanations(one: RunComparison, cases: Sequence[CaseComparison]) -> Iterator[str]:
    """How each verdict was reached: processes, the smallest effect found, what would settle it."""
    yield ""
    if one.against is not None:
        yield (
            f"the suite as a whole moved by {change_text(one.against.shift)}; "
            f"runs like these shift by {100 * one.against.shift_sd:.1f}% (one standard deviation)"
        )
    rows = {id(case): row for row, case in enumerate(one.comparisons)}
    for case in cases:
        old, new = case.base, case.new
        processes = f"{old.processes if old else 0} and {new.processes if new else 0} processes"
        effect = (
            "no interval" if case.effect is None else f"finds {change_text(case.effect)} or more"
        )
        label = problem_of(case) if case.backend == one.new.name else case.label
        resampled = one.resampled(rows[id(case)]) if case.verdict else None
        check = ""
        if resampled is not None:
            low, high = (change_text(end - 1) for end in resampled)
            check = f"; processes alone, resampled: [{low}, {high}]"
        yield f"  {label}: {case.verdict or 'no verdict'}; {processes}; {effect}{check}"


def _fate(case: CaseComparison) -> str:
    before = time_text(case.base.seconds) if case.base else case.base_status
    after = time_text(case.new.seconds) if case.new else case.new_status
    first = (case.reason or "").partition("\n")[0]
    return f"{before} -> {after}" + (f" ({first})" if first and not case.new else "")
