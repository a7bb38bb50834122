"""What a ruling looks like on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attnbench.analysis.gate import FAIL, INCONCLUSIVE, PASS
from attnbench.cli.change_words import problems_of
from attnbench.cli.fitting import fitted, told_apart, wrapped
from attnbench.render import ruling_text as words

if TYPE_CHECKING:
    from attnbench.analysis.gate import CaseRuling, Ruling
    from attnbench.analysis.selftest import Proof
    from attnbench.cli.screen import Screen

_SHOWN = 20
_INDENT = 6
STYLES = {PASS: "green", FAIL: "red", INCONCLUSIVE: "yellow"}
DECIDES = {
    "fail": "inconclusive fails here (exit 3)",
    "warn": "inconclusive only warns here; --inconclusive fail makes it exit 3",
    "pass": "inconclusive passes here; --inconclusive fail makes it exit 3",
}


def show_ruling(ruling: Ruling, screen: Screen) -> None:
    """Print the outcome, the cases that made it, and what they were judged with."""
    headline = f"{ruling.outcome.upper()}  {words.headline(ruling)}"
    wrapped(screen, headline, style=STYLES[ruling.outcome])
    for text in (
        words.tallies(ruling),
        words.possible(ruling),
        words.baseline_text(ruling),
        words.sight(ruling),
    ):
        if text:
            wrapped(screen, f"{'':{_INDENT}}{text}")
    for remark in ruling.remarks:
        wrapped(screen, f"note  {remark}", style="yellow")
    _show_cases(ruling.of(FAIL), screen, remedies=False)
    _show_cases(ruling.of(INCONCLUSIVE), screen, remedies=True)
    for entry in ruling.accepted:
        screen.line(f"accepted {entry['at'][:10]}: {entry['only']} ({entry['reason']})")
    screen.line()
    for line in _next_steps(ruling):
        screen.line(line)
    wrapped(screen, f"limits from {ruling.rule_source}; {words.WEAKER}", indent=0, style="dim")


def show_proof(proof: Proof, screen: Screen) -> None:
    """Print what was planted and what the gate made of it."""
    found = sum(one.found for one in proof.planted)
    if not proof.planted:
        screen.line("BLIND  no case has an interval, so nothing could be planted", "red")
        return
    verdict = "PROVEN" if proof.holds else "BLIND"
    screen.line(
        f"{verdict}  the gate found {found} of {len(proof.planted)} planted slowdowns",
        "green" if proof.holds else "red",
    )
    screen.line(
        f"{'':{_INDENT}}without them it says {proof.clean.outcome}, with them {proof.red.outcome}"
    )
    screen.line()
    rows = [("case", "planted", "")]
    rows += [
        (one.label, words.signed(one.slowdown), "found" if one.found else "missed")
        for one in proof.planted[:_SHOWN]
    ]
    screen.table(fitted(rows, screen.width), right=" r")


def _show_cases(judged: Sequence[CaseRuling], screen: Screen, *, remedies: bool) -> None:
    if not judged:
        return
    screen.line()
    rows = [("problem", "backend", "base", "new", "change", "95% interval", "limit")]
    shared, problems = told_apart(problems_of([one.case for one in judged[:_SHOWN]]))
    if shared:
        wrapped(screen, f"all of  {shared}")
    for one, problem in zip(judged, problems, strict=False):
        case = one.case
        rows.append(
            (
                problem,
                case.backend,
                words.reading(case.base, case.base_status),
                words.reading(case.new, case.new_status),
                "" if case.change is None or remedies else words.signed(case.change),
                words.interval(case),
                words.percent(case.limit),
            )
        )
    screen.table(fitted(rows, screen.width), right="  rrr r")
    if len(judged) > _SHOWN:
        screen.line(f"and {len(judged) - _SHOWN:,} more (--json lists all)", "dim")
    reasons: dict[str, int] = {}
    for one in judged:
        if one.why != "slower":
            reasons[words.remedy(one)] = reasons.get(words.remedy(one), 0) + 1
    for reason, count in sorted(reasons.items(), key=lambda pair: -pair[1])[:_SHOWN]:
        screen.line(f"{count:>{_INDENT - 2},} x {reason}")


def _next_steps(ruling: Ruling) -> list[str]:
    name = ruling.compared.new.name
    if ruling.outcome == FAIL:
        label = ruling.of(FAIL)[0].case.case_id
        return [
            f"look      attnbench compare {ruling.compared.base.name} {name} --explain"
            if ruling.baselines == 1
            else f"look      attnbench show {name} {label}",
            f'accept    attnbench baseline accept {name} -k {label} --reason "..."',
        ]
    return [DECIDES[ruling.rule.inconclusive]] if ruling.outcome == INCONCLUSIVE else []
