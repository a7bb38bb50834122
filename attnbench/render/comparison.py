"""One comparison as a screen: the sides, the verdict counts, the table, and what has no number.

A change is printed only when the verdict is faster or slower; its interval is always printed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.analysis.compare import unpriced
from attnbench.analysis.running_cost import NO_PRICES, dollars_a_million
from attnbench.render.screen import fitted, laid_out, split_common, width_of
from attnbench.render.values import (
    change_text,
    dollars_text,
    interval_text,
    more_line,
    problem_of,
    problems_of,
    ratio_text,
    reading_text,
    shown_path,
)
from attnbench.units import counted, the_counted, time_text

if TYPE_CHECKING:
    from attnbench.analysis.compare import CaseComparison, CaseGroup, RunComparison
    from attnbench.analysis.sides import Side
    from attnbench.render.screen import Screen
    from attnbench.stats.latency import Latency

Table = list[tuple[str, ...]]

ROWS_SHOWN = 40  # a longer table leaves out unchanged rows
VERDICTS = ("slower", "faster", "same", "unclear")
_LISTED = 10  # cases of each kind below the table
_VALUES_SHOWN = 4
_RANK = {word: rank for rank, word in enumerate(("slower", "faster", "unclear", "same"))}
_LEGEND = (
    "latency is the geometric mean over processes, ± half of the 95 % interval between them; "
    "a change is printed only when it is certain, its 95 % interval always"
)
_ACROSS = "measured in different sessions: the intervals include what shifts between sessions"
_DOLLARS_LEGEND = (
    "per dollar: how many times as many calls the same money pays for, on a device that does "
    "nothing else; $/M, where there is room: the cost of a million calls"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What to show of a comparison.

    Attributes:
        threshold: The share within which a change counts as none.
        everything: Show unchanged rows of a long table, too.
        explain: Say how certain each verdict is.
        rows: Fields whose values are the rows; without them each case is a row.

    """

    threshold: float
    everything: bool = False
    explain: bool = False
    rows: tuple[str, ...] = ()


def show_comparison(one: RunComparison, screen: Screen, view: View) -> None:
    """Print one comparison."""
    for line in (*_heading(one), "", verdict_line(one, view.threshold), ""):
        screen.wrap(line)
    if view.rows:
        _show_projection(one, screen, view.rows)
    else:
        _show_table(one, screen, view)
    for line in (*changed_status_lines(one), *kernel_lines(one)):
        screen.line(line)
    screen.line()
    screen.wrap(_LEGEND, style="dim")
    if one.ratios_only and one.prices.ratio is not None:
        screen.wrap(_DOLLARS_LEGEND, style="dim")
    if not one.paired and not one.ratios_only:
        screen.wrap(_ACROSS, style="dim")


def verdict_line(one: RunComparison, threshold: float) -> str:
    """Count all cases: ``1 slower, 2 faster, 20 same (within ±2%), 3 unclear, 1 newly oom``."""
    parts = []
    for word in VERDICTS:
        if count := one.verdicts[word]:
            within = f" (within ±{100 * threshold:g}%)" if word == "same" else ""
            parts.append(f"{count:,} {word}{within}")
    if one.ratios_only:
        parts.append(f"{one.mean.n:,} measured on both")
    parts += [f"{len(cases):,} {word}" for word, cases in one.changed_status().items()]
    if changed := len(one.kernels_changed):
        parts.append(f"{changed:,} with other kernels")
    return ", ".join(parts)


# The heading: who is compared, and what differs besides the numbers.


def _heading(one: RunComparison) -> Iterator[str]:
    yield from side_lines([one.base, one.new])
    for side in (one.base, one.new):
        yield from pool_notes(side)
    yield from difference_notes(one)


def side_lines(sides: Sequence[Side]) -> list[str]:
    """Name the sides, the base first, each with files, date, commit and device."""
    return laid_out(
        [("new" if number else "base", *_side_cells(side)) for number, side in enumerate(sides)]
    )


def pool_notes(side: Side) -> Iterator[str]:
    """Warn about what varies between the runs that a side pools."""
    from attnbench.analysis.comparability import varying

    if found := varying(side):
        runs = counted(len(side.runs[1]), "run")
        yield f"note  {side.name} pools {runs} that vary in {'; '.join(found)}"
    for remark in side.remarks:
        yield f"note  {remark}"


def difference_notes(one: RunComparison) -> Iterator[str]:
    """Say what the two sides differ in besides their numbers."""
    kinds = (("chip", "another chip"), ("state", "state differs"), ("software", "software differs"))
    for kind, word in kinds:
        if texts := [what.text for what in one.differing if what.kind == kind]:
            yield f"note  {word}: {'; '.join(texts)}"
    if one.ratios_only:
        texts = [what.text for what in one.differing if what.kind == "device"]
        yield f"note  different devices, so ratios and no verdicts: {'; '.join(texts)}"
        for what in one.ceilings:
            ratio = f"({ratio_text(what.ratio)})"
            yield f"note  measured {what.name} {what.base:.4g} -> {what.new:.4g} {ratio}"
    yield from _price_notes(one)


def _price_notes(one: RunComparison) -> Iterator[str]:
    """Say what an hour costs, or why that says nothing here."""
    prices = one.prices
    if prices == NO_PRICES:
        return
    if not one.ratios_only:
        yield "note  one kind of device on both sides: work per dollar changes as latency does"
        return
    if prices.base is not None and prices.new is not None:
        both = f"{dollars_text(prices.base)} -> {dollars_text(prices.new)}"
        yield f"note  an hour of a device, as given: {both} ({ratio_text(prices.ratio)})"
    for name in unpriced([one]):
        yield f"note  {name} has no price, so no work per dollar: --price '{name}=DOLLARS'"


def _side_cells(side: Side) -> tuple[str, ...]:
    moments = side.values("started_at")
    commits = [str(one)[:7] for one in side.values("git_commit")]
    runs = "" if len(side.runs[1]) == 1 else counted(len(side.runs[1]), "run")
    # A side that was cut out of several files does not know which of them its rows are from.
    own = side.paths if len(side.paths) <= len(side.runs[1]) else ()
    files = ", ".join(shown_path(path) for path in own[:2])
    same = side.paths and side.name == side.paths[0].name.removesuffix(".parquet")
    return (
        side.name,
        runs or ("" if same else files),
        f"{max(moments):%Y-%m-%d %H:%M}" if moments else "",
        ", ".join(commits[:2]),
        ", ".join(map(str, side.values("device_name")[:2])),
    )


# The table of cases.


def _show_table(one: RunComparison, screen: Screen, view: View) -> None:
    """Print the cases that both sides completed (all, or those that changed), and their mean."""
    cases = [case for case in one.comparisons if case.base and case.new]
    shown = cases
    if not one.ratios_only and not view.everything and len(cases) > ROWS_SHOWN:
        ranked = sorted(cases, key=lambda case: _RANK.get(case.verdict or "", 0))
        shown = [case for case in ranked if case.verdict != "same"][:ROWS_SHOWN]
    if shown:
        _print_rows(one, shown, screen)
    if one.mean.ratio is not None:
        mean = _gain_text(one) if one.ratios_only else change_text(one.mean.ratio - 1)
        screen.line(f"geometric mean over {the_counted(one.mean.n, 'common case')}  {mean}")
    if (left := len(cases) - len(shown)) > 0:
        screen.line(f"{counted(left, 'row')} not shown: --all", "dim")
    if view.explain:
        for line in explanations(one, shown):
            screen.wrap(line)


def _print_rows(one: RunComparison, shown: Sequence[CaseComparison], screen: Screen) -> None:
    """Print the table with as many columns as fit the screen."""
    backends = {case.backend for case in shown}
    shared, problems = split_common(problems_of(shown))
    if len(backends) == 1 and backends != {one.new.name}:
        shared = f"{shared}  {next(iter(backends))}".strip()
    if shared:
        screen.wrap(f"all of  {shared}")
    for rows, right in (_ratio_tables if one.ratios_only else _change_tables)(one, shown):
        named = [rows[0], *((text, *row[1:]) for text, row in zip(problems, rows[1:], strict=True))]
        if len(backends) == 1:
            named, right = [(row[0], *row[2:]) for row in named], right[1:]  # noqa: PLW2901
        lines = fitted(named, screen.width)
        if width_of(lines) <= screen.width:
            break
    screen.table(lines, right=right)


def _change_tables(
    one: RunComparison, cases: Sequence[CaseComparison]
) -> Iterator[tuple[Table, str]]:
    """Yield the table of changes, then the same without the spread between processes."""
    header = ("problem", "backend", one.base.name, one.new.name, "change", "95% interval", "")
    for spread in (True, False):
        lines = [
            (
                problem_of(case),
                case.backend,
                reading_text(case.base, spread=spread),
                reading_text(case.new, spread=spread),
                *change_cells(case),
            )
            for case in cases
        ]
        yield [header, *lines], "  rrr"


def change_cells(case: CaseComparison) -> tuple[str, str, str]:
    """Return the change where it is certain, its interval, and the verdict."""
    certain = case.verdict in ("slower", "faster")
    change = change_text(case.change) if certain else ""
    return change, interval_text(case.low, case.high), case.verdict or ""


def _ratio_tables(
    one: RunComparison, cases: Sequence[CaseComparison]
) -> Iterator[tuple[Table, str]]:
    """Yield the table of two devices with all columns, then with fewer and fewer.

    The cost of a million calls follows from the other columns and is dropped first, then the spread
    between processes, then the bound of a case.
    """
    has_prices = one.prices != NO_PRICES
    if has_prices:
        yield _ratio_table(one, cases, spread=True, costs=True)
    yield _ratio_table(one, cases, spread=True)
    yield _ratio_table(one, cases)
    if has_prices:
        yield _ratio_table(one, cases, bound=False)


def _ratio_table(
    one: RunComparison,
    cases: Sequence[CaseComparison],
    *,
    spread: bool = False,
    costs: bool = False,
    bound: bool = True,
) -> tuple[Table, str]:
    base, new, prices = one.base.name, one.new.name, one.prices
    columns = [
        ("problem", " ", [problem_of(case) for case in cases]),
        ("backend", " ", [case.backend for case in cases]),
        (base, "r", [reading_text(case.base, spread=spread) for case in cases]),
        (new, "r", [reading_text(case.new, spread=spread) for case in cases]),
        ("speed-up", "r", [ratio_text(1 / case.ratio if case.ratio else None) for case in cases]),
    ]
    if prices != NO_PRICES:
        work = [ratio_text(prices.work(case.ratio)) for case in cases]
        columns.append(("per dollar", "r", work))
    if costs:
        columns.append((f"{base} $/M", "r", [_cost_text(case.base, prices.base) for case in cases]))
        columns.append((f"{new} $/M", "r", [_cost_text(case.new, prices.new) for case in cases]))
    columns.append(("ceiling", "r", [ratio_text(one.ceiling_of(case)) for case in cases]))
    if bound:
        columns.append(("bound", " ", [case.facts.get("bound") or "" for case in cases]))
    rows = list(zip(*((name, *texts) for name, _, texts in columns), strict=True))
    return rows, "".join(place for _, place, _ in columns)


def _cost_text(reading: Latency | None, hourly: float | None) -> str:
    cost = dollars_a_million(reading, hourly)
    return "" if cost is None else dollars_text(cost)


def _gain_text(one: RunComparison) -> str:
    """Write the mean across devices: ``0.71x as fast, 1.08x work per dollar``."""
    ratio = one.mean.ratio
    if ratio is None:
        return ""
    work = one.prices.work(ratio)
    return f"{ratio_text(1 / ratio)} as fast" + (
        f", {ratio_text(work)} work per dollar" if work else ""
    )


# The table of --rows: one row for each value of a few fields.


def _show_projection(one: RunComparison, screen: Screen, fields: Sequence[str]) -> None:
    """Print the rows; several cases in a row have their geometric mean and no verdict."""
    from attnbench.analysis.compare import group_cases

    footnotes: dict[str, int] = {}
    lines = []
    for row in group_cases(one.comparisons, fields):
        cells = _gain_cells(row, one) if one.ratios_only else _projected_cells(row)
        lines.append((*row.values, str(row.mean.n), *cells, footnote(row, footnotes)))
    names = ("speed-up", "per dollar") if one.ratios_only else ("change", "95% interval", "")
    header = (*fields, "cases", *names, "")
    no_prices = one.ratios_only and one.prices.ratio is None
    table = [(*line[:-2], line[-1]) if no_prices else line for line in (header, *lines)]
    screen.table(table, right="r" * (len(fields) + 3 - no_prices))
    for text, number in footnotes.items():
        screen.line(f"[{number}] geometric mean over cases that vary in {text}")


def _projected_cells(row: CaseGroup) -> tuple[str, str, str]:
    if len(row.comparisons) == 1:
        return change_cells(row.comparisons[0])
    mean = row.mean.ratio
    return change_text(None if mean is None else mean - 1), "", verdict_counts(row)


def _gain_cells(row: CaseGroup, one: RunComparison) -> tuple[str, str]:
    ratio = row.mean.ratio
    return ratio_text(1 / ratio if ratio else None), ratio_text(one.prices.work(ratio))


def verdict_counts(row: CaseGroup) -> str:
    """Count the verdicts inside a row: ``3 slower, 1 same``."""
    counts = Counter(case.verdict for case in row.comparisons if case.verdict)
    return ", ".join(f"{count} {word}" for word, count in counts.most_common())


def footnote(row: CaseGroup, footnotes: dict[str, int]) -> str:
    """Return the mark of the footnote that says what varies in a row; add a new footnote."""
    if not row.varying:
        return ""
    parts = []
    for name, values in row.varying:
        more = len(values) - _VALUES_SHOWN
        listed = ", ".join(values[:_VALUES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        parts.append(f"{name} ({listed})")
    return f"[{footnotes.setdefault('; '.join(parts), len(footnotes) + 1)}]"


# Below the table: cases without a number, other kernels, and how certain each verdict is.


def changed_status_lines(one: RunComparison) -> Iterator[str]:
    """List cases that only one side has, that fail now, or that work again."""
    for word, cases in one.changed_status().items():
        yield from ("", word)
        for case in cases[:_LISTED]:
            yield f"  {case.label}: {_status_change(case)}"
        yield from _unlisted(cases)


def kernel_lines(one: RunComparison) -> Iterator[str]:
    """List cases that ran kernels of other names than in the base."""
    cases = one.kernels_changed
    if cases:
        yield from ("", "other kernels than in the base")
        yield from (f"  {case.label}" for case in cases[:_LISTED])
        yield from _unlisted(cases)


def explanations(one: RunComparison, cases: Sequence[CaseComparison]) -> Iterator[str]:
    """Say how each verdict was reached: processes, the smallest effect found, a resampled check."""
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
            low, high = resampled
            check = f"; resampled processes: {interval_text(low - 1, high - 1)}"
        yield f"  {label}: {case.verdict or 'no verdict'}; {processes}; {effect}{check}"


def _status_change(case: CaseComparison) -> str:
    before = time_text(case.base.seconds) if case.base else case.base_status
    after = time_text(case.new.seconds) if case.new else case.new_status
    first = (case.reason or "").partition("\n")[0]
    return f"{before} -> {after}" + (f" ({first})" if first and not case.new else "")


def _unlisted(cases: Sequence[CaseComparison]) -> Iterator[str]:
    for line in more_line(len(cases), _LISTED, " (--json lists all)"):
        yield f"  {line}"
