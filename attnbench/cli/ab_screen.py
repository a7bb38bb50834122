"""What a ruling of ``ab`` looks like: the sentence, what could have been seen, and the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attnbench.analysis.gate import FAIL, INCONCLUSIVE, PASS
from attnbench.cli.change_words import problems_of, reading_text
from attnbench.cli.compare_below import explanations, sections
from attnbench.cli.fitting import fitted, told_apart, wrapped
from attnbench.cli.gate_screen import DECIDES, STYLES
from attnbench.cli.screen import laid_out
from attnbench.cli.summary import counted, shown_path
from attnbench.render import ruling_text as words

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.analysis.gate import CaseRuling, Ruling
    from attnbench.cli.screen import Screen

ROWS_SHOWN = 40
_REASONS_SHOWN = 10
_INDENT = 6
_RANK = {FAIL: 0, INCONCLUSIVE: 1, PASS: 2}
_LEGEND = (
    "latency is the geometric mean over processes; a change stands where it is sure, its 95 % "
    "interval always; sees is the smallest slowdown that would be found four times in five"
)


def show_ruling(
    ruling: Ruling, screen: Screen, files: Sequence[Path] = (), *, explain: bool = False
) -> None:
    """Print the outcome, what it was judged with, the cases, and where all is kept."""
    assert ruling.ab is not None
    headline = f"{ruling.outcome.upper()}  {words.headline(ruling)}"
    wrapped(screen, headline, style=STYLES[ruling.outcome])
    texts = (words.tallies(ruling), words.sight(ruling), words.possible(ruling))
    for text in (*texts, words.baseline_text(ruling), words.canary_text(ruling.ab)):
        if text:
            wrapped(screen, f"{'':{_INDENT}}{text}")
    if ruling.ab.cut:
        wrapped(screen, f"note  it did not get to its end: {ruling.ab.cut}", style="yellow")
    for remark in ruling.remarks:
        wrapped(screen, f"note  {remark}", style="yellow")
    screen.line()
    _show_sides(ruling, screen)
    _show_table(ruling, screen)
    for line in (*sections(ruling.compared), *_reasons(ruling)):
        screen.line(line)
    if explain:
        for line in explanations(ruling.compared, ruling.compared.comparisons):
            wrapped(screen, line)
    screen.line()
    for line in _next_steps(ruling, files):
        screen.line(line)
    wrapped(screen, f"limits from {ruling.rule_source}; {words.BY_TURNS}", indent=0, style="dim")
    wrapped(screen, _LEGEND, indent=0, style="dim")


def _show_sides(ruling: Ruling, screen: Screen) -> None:
    compared = ruling.compared
    rows = []
    for role, side in (("base", compared.base), ("new", compared.new)):
        commits = ", ".join(str(one)[:12] for one in side.values("git_commit"))
        if commits and True in side.values("git_dirty"):
            commits = f"{commits} and changes"
        rows.append((role, side.name, commits, ", ".join(map(str, side.values("device_name")))))
    for line in laid_out(rows):
        wrapped(screen, line)
    screen.line()


def _show_table(ruling: Ruling, screen: Screen) -> None:
    """The cases that are ok on both sides, the gravest first where there are many."""
    both = [one for one in ruling.judged if one.case.base and one.case.new]
    shown = both
    if len(both) > ROWS_SHOWN:
        shown = sorted(both, key=lambda one: _RANK.get(one.ruling, 3))[:ROWS_SHOWN]
    if not shown:
        return
    cases = [one.case for one in shown]
    backends = {case.backend for case in cases}
    shared, problems = told_apart(problems_of(cases))
    if len(backends) == 1:
        own = "" if {ruling.compared.base.name, ruling.compared.new.name} & backends else backends
        shared = f"{shared}  {''.join(own)}".strip()
    if shared:
        wrapped(screen, f"all of  {shared}")
    for spread in (True, False):
        rows: list[tuple[str, ...]] = [
            ("problem", "backend", "base", "new", "change", "95% interval", "sees", "")
        ]
        rows += [
            (problem, *_cells(one, spread=spread))
            for problem, one in zip(problems, shown, strict=True)
        ]
        if len(backends) == 1:
            rows = [(row[0], *row[2:]) for row in rows]
        lines = fitted(rows, screen.width)
        if max(map(len, laid_out(lines))) <= screen.width:
            break
    screen.table(lines, right=(" " if len(backends) == 1 else "  ") + "rrr r")
    mean = ruling.compared.mean
    if mean.ratio is not None:
        count = counted(mean.n, "pair")
        screen.line(f"geometric mean over the {count}  {words.signed(mean.ratio - 1)}")
    if (more := len(both) - len(shown)) > 0:
        screen.line(f"{counted(more, 'row')} not shown (the JSON has all)", "dim")


def _cells(one: CaseRuling, *, spread: bool) -> tuple[str, ...]:
    case = one.case
    sure = case.verdict in ("slower", "faster") and case.change is not None
    return (
        case.backend,
        reading_text(case.base, spread=spread),
        reading_text(case.new, spread=spread),
        words.signed(case.change or 0.0) if sure else "",
        words.interval(case),
        "" if case.effect is None else words.percent(case.effect),
        case.verdict or "",
    )


def _reasons(ruling: Ruling) -> Iterator[str]:
    """What would settle the cases that could not be judged, the commonest first."""
    unit = words.unit_of(ruling)
    lines = Counter(words.remedy(one, unit=unit) for one in ruling.of(INCONCLUSIVE))
    if lines:
        yield ""
        yield "open"
    for text, count in lines.most_common(_REASONS_SHOWN):
        yield f"{count:>{_INDENT - 2},} x {text}"
    if (more := len(lines) - _REASONS_SHOWN) > 0:
        yield f"     and {more:,} other reasons (the JSON has all)"


def _next_steps(ruling: Ruling, files: Sequence[Path]) -> Iterator[str]:
    if files:
        yield f"saved   {', '.join(shown_path(path) for path in files)}"
    if ruling.outcome == FAIL:
        case, place = ruling.of(FAIL)[0].case, ruling.compared.new.paths[0]
        yield f"look    attnbench show {shown_path(place)} {case.case_id}"
    if ruling.outcome == INCONCLUSIVE:
        yield DECIDES[ruling.rule.inconclusive]
