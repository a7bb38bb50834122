"""The rulings of ``gate`` and ``ab``, and the proof of ``gate --selftest``, as screens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attnbench.analysis.gate import FAIL, INCONCLUSIVE, PASS
from attnbench.render import ruling_text as text
from attnbench.render.comparison import change_cells, changed_status_lines, explanations
from attnbench.render.screen import fitted, laid_out, split_common, width_of
from attnbench.render.values import (
    change_text,
    interval_text,
    more_line,
    percent_text,
    problems_of,
    reading_text,
    shown_path,
)
from attnbench.units import counted, the_counted

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.analysis.gate import CaseRuling, Ruling
    from attnbench.analysis.selftest import Proof
    from attnbench.render.screen import Screen

_GATE_ROWS, _AB_ROWS = 20, 40
_REASONS_SHOWN = 10
_INDENT = 6
_RANK = {FAIL: 0, INCONCLUSIVE: 1, PASS: 2}
_STYLES = {PASS: "green", FAIL: "red", INCONCLUSIVE: "yellow"}
_INCONCLUSIVE = {
    "fail": "inconclusive fails here (exit 3)",
    "warn": "inconclusive only warns here; --inconclusive fail makes it exit 3",
    "pass": "inconclusive passes here; --inconclusive fail makes it exit 3",
}
_AB_LEGEND = (
    "latency is the geometric mean over processes; a change is printed only when it is certain, "
    "its 95 % interval always; sees is the smallest slowdown that is found four times in five"
)


def show_gate(ruling: Ruling, screen: Screen) -> None:
    """Print a ruling against stored baselines: the outcome, its cases, and the next steps."""
    _show_outcome(
        ruling,
        screen,
        text.outcome_counts(ruling),
        text.largest_possible(ruling),
        text.baseline_text(ruling),
        text.sensitivity(ruling),
    )
    _show_remarks(ruling, screen)
    _show_gate_cases(ruling.of(FAIL), screen, undecided=False)
    _show_gate_cases(ruling.of(INCONCLUSIVE), screen, undecided=True)
    for entry in ruling.accepted:
        screen.line(f"accepted {entry['at'][:10]}: {entry['only']} ({entry['reason']})")
    screen.line()
    name = ruling.compared.new.name
    if ruling.outcome == FAIL:
        case_id, base = ruling.of(FAIL)[0].case.case_id, ruling.compared.base.name
        if ruling.baselines == 1:
            screen.line(f"look      attnbench compare {base} {name} --explain")
        else:
            screen.line(f"look      attnbench show {name} {case_id}")
        screen.line(f'accept    attnbench baseline accept {name} -k {case_id} --reason "..."')
    elif ruling.outcome == INCONCLUSIVE:
        screen.line(_INCONCLUSIVE[ruling.rule.inconclusive])
    screen.wrap(f"limits from {ruling.rule_source}; {text.STORED}", indent=0, style="dim")


def show_ab(
    ruling: Ruling, screen: Screen, files: Sequence[Path] = (), *, explain: bool = False
) -> None:
    """Print a ruling of ``ab``: the outcome, the sides, the cases, and where the files are."""
    assert ruling.ab is not None
    _show_outcome(
        ruling,
        screen,
        text.outcome_counts(ruling),
        text.sensitivity(ruling),
        text.largest_possible(ruling),
        text.baseline_text(ruling),
        text.canary_text(ruling.ab),
    )
    if ruling.ab.cut:
        screen.wrap(f"note  it ended early: {ruling.ab.cut}", style="yellow")
    _show_remarks(ruling, screen)
    screen.line()
    _show_sides(ruling, screen)
    _show_ab_cases(ruling, screen)
    for line in (*changed_status_lines(ruling.compared), *_remedies(ruling)):
        screen.line(line)
    if explain:
        for line in explanations(ruling.compared, ruling.compared.comparisons):
            screen.wrap(line)
    screen.line()
    if files:
        screen.line(f"saved   {', '.join(shown_path(path) for path in files)}")
    if ruling.outcome == FAIL:
        case, place = ruling.of(FAIL)[0].case, ruling.compared.new.paths[0]
        screen.line(f"look    attnbench show {shown_path(place)} {case.case_id}")
    elif ruling.outcome == INCONCLUSIVE:
        screen.line(_INCONCLUSIVE[ruling.rule.inconclusive])
    screen.wrap(f"limits from {ruling.rule_source}; {text.INTERLEAVED}", indent=0, style="dim")
    screen.wrap(_AB_LEGEND, indent=0, style="dim")


def show_proof(proof: Proof, screen: Screen) -> None:
    """Print which planted slowdowns the gate found."""
    if not proof.planted:
        screen.line("BLIND  no case has an interval, so nothing could be planted", "red")
        return
    found = sum(one.found for one in proof.planted)
    screen.line(
        f"{'PROVEN' if proof.holds else 'BLIND'}  the gate found {found} of "
        f"{len(proof.planted)} planted slowdowns",
        "green" if proof.holds else "red",
    )
    clean, planted = proof.clean.outcome, proof.red.outcome
    screen.line(f"{'':{_INDENT}}without them it says {clean}, with them {planted}")
    screen.line()
    rows = [("case", "planted", "")]
    rows += [
        (one.label, change_text(one.slowdown), "found" if one.found else "missed")
        for one in proof.planted[:_GATE_ROWS]
    ]
    screen.table(fitted(rows, screen.width), right=" r")


def _show_outcome(ruling: Ruling, screen: Screen, *sentences: str) -> None:
    headline = f"{ruling.outcome.upper()}  {text.headline(ruling)}"
    screen.wrap(headline, style=_STYLES[ruling.outcome])
    for sentence in sentences:
        if sentence:
            screen.wrap(f"{'':{_INDENT}}{sentence}")


def _show_remarks(ruling: Ruling, screen: Screen) -> None:
    for remark in ruling.remarks:
        screen.wrap(f"note  {remark}", style="yellow")


def _show_gate_cases(judged: Sequence[CaseRuling], screen: Screen, *, undecided: bool) -> None:
    """Print the first failing or undecided cases, then what would settle them."""
    if not judged:
        return
    screen.line()
    shown = judged[:_GATE_ROWS]
    shared, problems = split_common(problems_of([one.case for one in shown]))
    if shared:
        screen.wrap(f"all of  {shared}")
    rows = [("problem", "backend", "base", "new", "change", "95% interval", "limit")]
    for one, problem in zip(shown, problems, strict=True):
        case = one.case
        rows.append(
            (
                problem,
                case.backend,
                reading_text(case.base, case.base_status),
                reading_text(case.new, case.new_status),
                "" if undecided else change_text(case.change),
                interval_text(case.low, case.high),
                percent_text(case.limit),
            )
        )
    screen.table(fitted(rows, screen.width), right="  rrr r")
    for line in more_line(len(judged), len(shown), " (--json lists all)"):
        screen.line(line, "dim")
    reasons = Counter(text.remedy(one) for one in judged if one.why != "slower")
    for reason, count in reasons.most_common(_GATE_ROWS):
        screen.line(f"{count:>{_INDENT - 2},} x {reason}")


def _show_sides(ruling: Ruling, screen: Screen) -> None:
    compared = ruling.compared
    rows = []
    for role, side in (("base", compared.base), ("new", compared.new)):
        commits = ", ".join(str(one)[:12] for one in side.values("git_commit"))
        if commits and True in side.values("git_dirty"):
            commits = f"{commits} and changes"
        rows.append((role, side.name, commits, ", ".join(map(str, side.values("device_name")))))
    for line in laid_out(rows):
        screen.wrap(line)
    screen.line()


def _show_ab_cases(ruling: Ruling, screen: Screen) -> None:
    """Print the cases that are ok on both sides, the most serious first where there are many."""
    both = [one for one in ruling.judged if one.case.base and one.case.new]
    shown = both
    if len(both) > _AB_ROWS:
        shown = sorted(both, key=lambda one: _RANK.get(one.ruling, 3))[:_AB_ROWS]
    if not shown:
        return
    cases = [one.case for one in shown]
    backends = {case.backend for case in cases}
    shared, problems = split_common(problems_of(cases))
    if len(backends) == 1 and not {ruling.compared.base.name, ruling.compared.new.name} & backends:
        shared = f"{shared}  {next(iter(backends))}".strip()
    if shared:
        screen.wrap(f"all of  {shared}")
    for spread in (True, False):
        rows: list[tuple[str, ...]] = [
            ("problem", "backend", "base", "new", "change", "95% interval", "sees", "")
        ]
        rows += [
            (problem, *_ab_cells(one, spread=spread))
            for problem, one in zip(problems, shown, strict=True)
        ]
        if len(backends) == 1:
            rows = [(row[0], *row[2:]) for row in rows]
        lines = fitted(rows, screen.width)
        if width_of(lines) <= screen.width:
            break
    screen.table(lines, right=(" " if len(backends) == 1 else "  ") + "rrr r")
    mean = ruling.compared.mean
    if mean.ratio is not None:
        count = the_counted(mean.n, "pair")
        screen.line(f"geometric mean over {count}  {change_text(mean.ratio - 1)}")
    if (more := len(both) - len(shown)) > 0:
        screen.line(f"{counted(more, 'row')} not shown (the JSON has all)", "dim")


def _ab_cells(one: CaseRuling, *, spread: bool) -> tuple[str, ...]:
    case = one.case
    change, interval, verdict = change_cells(case)
    return (
        case.backend,
        reading_text(case.base, spread=spread),
        reading_text(case.new, spread=spread),
        change,
        interval,
        "" if case.effect is None else percent_text(case.effect),
        verdict,
    )


def _remedies(ruling: Ruling) -> Iterator[str]:
    """Say what would settle the undecided cases, the most frequent remedy first."""
    unit = text.unit_of(ruling)
    lines = Counter(text.remedy(one, unit=unit) for one in ruling.of(INCONCLUSIVE))
    if lines:
        yield from ("", "undecided")
    for line, count in lines.most_common(_REASONS_SHOWN):
        yield f"{count:>{_INDENT - 2},} x {line}"
    if (more := len(lines) - _REASONS_SHOWN) > 0:
        yield f"     and {more:,} other reasons (the JSON has all)"
