"""The rule that turns a run and stored baselines into pass, fail or inconclusive.

This is the weaker way to gate: base and new were measured in different sessions, and what shifts
between sessions must be paid for in the interval. More accepted baselines make it finer; measuring
both sides interleaved makes it as fine as the machine allows.

- fail: a case is slower, or was ok in the base and is oom, incorrect, implausible, timeout, crashed
  or failed now;
- inconclusive: no fail, but a case that was ok in the base is missing, not measured, timed by
  another method or in too few processes, or its interval reaches past the limit;
- pass: the rest. Cases only in new, fixed ones and improvements are listed and never ruled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from attnbench.analysis.accept import restarted
from attnbench.analysis.cases import row_fields
from attnbench.analysis.comparability import kinds
from attnbench.analysis.compare import CaseComparison, Limits, RunComparison, Source, compare_sides
from attnbench.analysis.machine import CanaryShift
from attnbench.analysis.sides import Side, joined, load_sides
from attnbench.errors import InputError, NotComparable, NothingSelected
from attnbench.filter import parse
from attnbench.problem import FIELDS
from attnbench.stats.decision import SLOWER, processes_needed
from attnbench.stats.difference import Array
from attnbench.suite import Gate, Limit

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"
LOST = ("oom", "incorrect", "implausible", "timeout", "crashed", "failed")
LISTED = "listed"
OLD_DAYS = 30.0
_DAY_US = 86_400 * 1e6
_FIELDS = (*FIELDS, "phase", "group_size", "backend", "backend_options", "model", "tp")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRuling:
    """One case and what the gate makes of it: fail, inconclusive, pass or listed.

    ``processes`` is how many processes of the run in all would settle an inconclusive case, None
    where it is not a question of processes, infinity where no number would.
    """

    case: CaseComparison
    ruling: str
    why: str = ""
    processes: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interleaved:
    """The rounds that a ruling is made from.

    ``words`` are the SIDE words of base and new, ``rounds`` how many of ``planned`` rounds all
    cases had, ``fresh`` how many more the ``suspects`` had. ``first`` and ``later`` hold log new -
    log base, [case, round], NaN where a round has no pair. ``shift`` is the change of all cases
    together, a share, ``canaries`` what calls that never change differ by between the sides.
    ``cut`` says what ended it before its time.
    """

    words: tuple[str, str]
    planned: int
    rounds: int
    fresh: int
    suspects: tuple[str, ...]
    first: Array
    later: Array
    shift: float | None
    canaries: tuple[CanaryShift, ...] = ()
    cut: str | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What unchanging calls say against taking every change for the code's."""
        moved = [f"{one.name} {one.change:+.1%}" for one in self.canaries if one.is_real]
        if not moved:
            return ()
        text = (
            f"the machine itself differed beside the new side ({', '.join(moved)}, which never "
            "change): look for what runs with one side alone"
        )
        return (text,)

    @property
    def interrupted(self) -> bool:
        """Whether the user ended it."""
        return self.cut == "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """The decision of the gate, and everything that it is based on.

    ``rule_source`` says where the limits come from, ``age_days`` how old the newest baseline is.
    ``ab`` is present if both sides were measured alternately, not against stored baselines.
    """

    outcome: str
    judged: tuple[CaseRuling, ...]
    compared: RunComparison
    rule: Gate
    rule_source: str
    baselines: int
    age_days: float | None
    accepted: tuple[Mapping[str, Any], ...]
    ab: Interleaved | None = None

    def of(self, ruling: str) -> list[CaseRuling]:
        """The cases with one ruling, the largest change first."""
        found = [one for one in self.judged if one.ruling == ruling]
        return sorted(found, key=lambda one: -(one.case.change or 0.0))

    @property
    def ruled(self) -> int:
        """How many cases were judged: those that are ok in the baseline."""
        return sum(one.ruling != LISTED for one in self.judged)

    @property
    def remarks(self) -> list[str]:
        """What a reader must know of the baseline."""
        found = list(self.compared.new.remarks)
        found += self.compared.base.remarks
        if self.age_days is not None and self.age_days > OLD_DAYS:
            found.append(f"the newest baseline is {self.age_days:.0f} days older than the run")
        if self.ab is not None:
            found += self.ab.remarks
        return found


def gate(
    run: Source,
    baselines: Sequence[Source],
    *,
    max_slowdown: float | None = None,
    inconclusive: str | None = None,
    filter: str | None = None,
    any_chip: bool = False,
) -> Ruling:
    """Rule on a run against one or more accepted runs of the same suite on the same device.

    ``max_slowdown`` (a share) and ``inconclusive`` stand for what the run's suite says under
    ``gate``; the suite's limits of single cases hold all the same.

    Raises:
        InputError: an unreadable file or filter, or no limit anywhere.
        NotComparable: another device, another chip without ``any_chip``, or another method.
        NothingSelected: no common case, or none that is ok in the baseline.

    """
    new = load_run(run, filter)
    base = load_baselines(baselines, filter)
    rule, source = rule_for(new, max_slowdown=max_slowdown, inconclusive=inconclusive)
    return rule_on(base, new, rule, source, any_chip=any_chip)


def rule_for(
    run: Side, *, max_slowdown: float | None = None, inconclusive: str | None = None
) -> tuple[Gate, str]:
    """Return the limits for a run, and where they are from.

    Raises:
        InputError: neither the suite nor the command line has a limit, or not a single one.

    """
    found = [block for one in run.metadata if (block := _gate_block(one, run)) is not None]
    if any(block != found[0] for block in found) and max_slowdown is None:
        raise InputError(
            f"the runs in {run.name} have different gates", hint="name one: --max-slowdown 3%"
        )
    rule, source = Gate(), ""
    if found:
        rule, source = _gate(found[0], run), "the suite of the run"
    if max_slowdown is not None:
        rule = replace(rule, max_slowdown=max_slowdown, given=True)
        source = "--max-slowdown" + (" and the suite's limits of cases" if rule.limits else "")
    if not rule.given:
        raise InputError(
            f"there is no limit: the suite of {run.name} has no gate, and none was named",
            hint="say how much slower is too slow: --max-slowdown 3%, or gate: {max_slowdown: 3%}",
        )
    return (replace(rule, inconclusive=inconclusive) if inconclusive else rule), source


def load_run(source: Source, filter: str | None = None) -> Side:
    """Read the run that is to be ruled on.

    Raises:
        InputError: the file or the filter cannot be read.
        NothingSelected: the filter picks nothing of it.

    """
    (side,) = load_sides([source], filter=filter, columns=_FIELDS)
    return side.selected(filter)


def load_baselines(sources: Sequence[Source], filter: str | None = None) -> list[Side]:
    """Read baselines; one that the filter leaves nothing of is named in the remarks of the others.

    Raises:
        InputError: a file or the filter that cannot be read.
        NothingSelected: the filter leaves nothing of any.

    """
    found, empty = [], []
    for side in load_sides(sources, filter=filter, columns=_FIELDS):
        try:
            found.append(side.selected(filter))
        except NothingSelected:
            empty.append(side.name)
    if not found:
        raise NothingSelected(f"no case of any baseline matches {filter!r}")
    if empty:
        text = f"without a selected case, and left out: {', '.join(empty)}"
        found[0] = replace(found[0], remarks=(*found[0].remarks, text))
    return found


def rule_on(
    baselines: Sequence[Side], new: Side, rule: Gate, source: str, *, any_chip: bool = False
) -> Ruling:
    """Rule on sides that were read; see ``gate``."""
    _refuse_itself(baselines, new)
    base, accepted = restarted(baselines)
    pooled = joined(base, base[0].name if len(base) == 1 else f"{len(base)} baselines")
    compared = compare_sides(pooled, new, limit=_limits(rule), fields=_FIELDS)
    _require_same_device(compared, any_chip=any_chip)
    wanted = processes_needed(
        compared.difference, np.array([one.limit for one in compared.comparisons])
    )
    measured = set(new.values("case_id"))
    judged = tuple(
        _judge(one, float(processes), rule, measured)
        for one, processes in zip(compared.comparisons, wanted, strict=True)
    )
    if all(one.ruling == LISTED for one in judged):
        raise NothingSelected(f"no case of {pooled.name} is ok, so there is nothing to rule on")
    rulings = {one.ruling for one in judged}
    return Ruling(
        outcome=next((word for word in (FAIL, INCONCLUSIVE) if word in rulings), PASS),
        judged=judged,
        compared=compared,
        rule=rule,
        rule_source=source,
        baselines=len(pooled.runs[1]),
        age_days=_age_days(pooled, new),
        accepted=accepted,
    )


def _refuse_itself(baselines: Sequence[Side], new: Side) -> None:
    """Against a copy of itself any run would pass."""
    for side in baselines:
        if shared := set(side.runs[1]) & set(new.runs[1]):
            place = ", ".join(map(str, side.paths))
            raise InputError(
                f"{place} holds the run that is to be ruled on ({min(shared).strip()})",
                hint="take it out of the baselines, or measure again: a run says nothing of itself",
            )


def _limits(rule: Gate) -> Limits:
    def limits(texts: Sequence[Mapping[str, Any]]) -> np.ndarray:
        if not rule.limits:
            return np.full(len(texts), rule.max_slowdown)
        return np.array([rule.limit_for(row_fields(text)) for text in texts])

    return limits


def _require_same_device(compared: RunComparison, *, any_chip: bool) -> None:
    base, new = compared.base, compared.new
    found = kinds(compared.differing)
    if "device" in found:
        named = "; ".join(one.text for one in compared.differing if one.kind == "device")
        raise NotComparable(
            f"the baseline was measured on another device than this run: {named}\n"
            "  a limit on latency between different devices means nothing",
            hint=f"for the ratios: attnbench compare {base.paths[0]} {new.paths[0]}",
        )
    if "chip" in found and not any_chip:
        named = "; ".join(one.text for one in compared.differing if one.kind == "chip")
        raise NotComparable(
            f"the baseline was measured on another chip of the same kind: {named}\n"
            "  chips of one kind differ by several percent",
            hint="measure a baseline on this chip, or accept the difference with --any-chip",
        )


def _judge(case: CaseComparison, processes: float, rule: Gate, measured: set[str]) -> CaseRuling:
    if case.base_status != "ok":
        return CaseRuling(case=case, ruling=LISTED)
    if case.new_status in LOST:
        reason = (case.reason or "").partition("\n")[0]
        return CaseRuling(
            case=case, ruling=FAIL, why=f"{case.new_status} now: {reason}".rstrip(": ")
        )
    if case.new is None:
        other = case.new_status == "missing" and case.case_id in measured
        why = "timed by another method" if other else case.new_status
        return CaseRuling(case=case, ruling=INCONCLUSIVE, why=why)
    if case.verdict == SLOWER:
        return CaseRuling(case=case, ruling=FAIL, why="slower")
    return _unless_wide(case, processes, rule)


def _unless_wide(case: CaseComparison, processes: float, rule: Gate) -> CaseRuling:
    """Pass a case whose interval lies below the limit, if it is of enough processes."""
    have = case.new.processes if case.new else 0
    if have < rule.min_processes:
        why = f"{have} of {rule.min_processes} processes"
        return CaseRuling(
            case=case, ruling=INCONCLUSIVE, why=why, processes=float(rule.min_processes)
        )
    if case.high is None:
        return CaseRuling(case=case, ruling=INCONCLUSIVE, why="too few processes in the baseline")
    if case.high > case.limit:
        return CaseRuling(
            case=case, ruling=INCONCLUSIVE, why="interval too wide", processes=processes
        )
    return CaseRuling(case=case, ruling=PASS)


def _age_days(base: Side, new: Side) -> float | None:
    """How much later the run began than the newest baseline."""
    then, now = int(base.moments.max()), int(new.moments.max())
    return (now - then) / _DAY_US if then and now else None


def _gate_block(metadata: dict[str, Any], run: Side) -> dict[str, Any] | None:
    """The checked ``gate`` block of a run's suite text; None where it has none."""
    text = metadata.get("suite_text")
    if not text:
        return None
    from attnbench.suite.schema import shape_of
    from attnbench.suite.source import read

    source, _ = read(text, "suite")
    shape = shape_of(source)
    if not shape.is_right("gate"):
        raise InputError(
            f"the gate of the suite in {run.name} cannot be read: it is of another version",
            hint="measure again with this version",
        )
    block: dict[str, Any] | None = shape.sections.get("gate")
    return block


def _gate(block: dict[str, Any], run: Side) -> Gate:
    known = run.table["backend_options"].unique().to_pylist()
    options = {name for text in known for name in row_fields({"backend_options": text})}
    limits = tuple(
        Limit(where=parse(one["where"], extra=options), max_slowdown=one["max_slowdown"])
        for one in block.get("limits") or ()
    )
    return Gate(**{**block, "limits": limits}, given=True)
