"""A ruling in sentences, the same on a terminal, in a pull request and in a test report."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from attnbench.analysis.gate import FAIL, INCONCLUSIVE, LISTED, PASS
from attnbench.render.values import change_text, interval_text, percent_text
from attnbench.units import counted

if TYPE_CHECKING:
    from attnbench.analysis.compare import CaseComparison
    from attnbench.analysis.gate import CaseRuling, Interleaved, Ruling

STORED = (
    "compared with stored baselines: the intervals include what shifts between sessions; measuring "
    "both sides interleaved sees smaller changes"
)
INTERLEAVED = (
    "both sides measured interleaved in fresh processes, the order flipped each round; a case is "
    "slower when fresh rounds of the suspects confirmed it"
)
FEW_BASELINES = 5
_TOO_MANY = 10_000  # rounds or processes that nobody will measure


def headline(ruling: Ruling) -> str:
    """Say the outcome in one sentence."""
    limit, ruled = limit_text(ruling), counted(ruling.ruled, "case")
    if ruling.outcome == PASS:
        return f"none of {ruled} is more than {limit} slower"
    if ruling.outcome == FAIL:
        slower = sum(one.case.verdict == "slower" for one in ruling.of(FAIL))
        lost = len(ruling.of(FAIL)) - slower
        parts = [f"{slower:,} of {ruled} more than {limit} slower"] if slower else []
        parts += [f"{lost:,} of {ruled} no longer ok"] if lost else []
        return ", ".join(parts)
    undecided = len(ruling.of(INCONCLUSIVE))
    return f"nothing is proven slower, but {undecided:,} of {ruled} cannot be decided at {limit}"


def outcome_counts(ruling: Ruling) -> str:
    """Count every case of both runs by its outcome."""
    parts = [f"{len(ruling.of(PASS)):,} proven within the limit"]
    parts += [f"{len(ruling.of(FAIL)):,} fail"] if ruling.of(FAIL) else []
    parts += [f"{len(ruling.of(INCONCLUSIVE)):,} undecided"] if ruling.of(INCONCLUSIVE) else []
    if faster := ruling.compared.verdicts["faster"]:
        parts.append(f"{faster:,} of them faster")
    listed = Counter(_listed_word(one.case) for one in ruling.of(LISTED))
    parts += [f"{count:,} {word} (not judged)" for word, count in listed.items()]
    return ", ".join(parts)


def sensitivity(ruling: Ruling) -> str:
    """Say how small a slowdown this gate finds, and how far the suite moved as a whole."""
    effects = sorted(one.case.effect for one in ruling.judged if one.case.effect is not None)
    if not effects:
        return "no case has an interval, so no slowdown can be seen"
    text = f"finds a slowdown of {percent_text(effects[len(effects) // 2])} in the median case"
    # Where cases have limits of their own, the least sensitive case need not be the noisiest.
    several = len({one.case.limit for one in ruling.judged}) > 1
    last = "the least sensitive" if several else "the noisiest"
    text += f", of {percent_text(effects[-1])} in {last} (four times in five)"
    against = ruling.compared.against
    shift = ruling.ab.shift if ruling.ab else None if against is None else against.shift
    return text if shift is None else f"{text}; the suite as a whole moved by {change_text(shift)}"


def largest_possible(ruling: Ruling) -> str:
    """Name the largest slowdown that a pass leaves possible; empty where nothing passed."""
    highest = [(one.case.high, one.case) for one in ruling.of(PASS) if one.case.high is not None]
    if not highest:
        return ""
    high, case = max(highest, key=lambda pair: pair[0])
    return f"largest slowdown still possible: {change_text(high)}  {case.label}"


def baseline_text(ruling: Ruling) -> str:
    """Say how many baselines, how old, and what else differs; or the rounds of ``ab``."""
    others = [one.text for one in ruling.compared.differing]
    differing = f"; differs: {'; '.join(others)}" if others else "; same device and software"
    if ruling.ab is not None:
        return rounds_text(ruling.ab) + differing
    count = counted(ruling.baselines, "baseline")
    age = "" if ruling.age_days is None else f", the newest {age_text(ruling.age_days)}"
    few = f" (fewer than {FEW_BASELINES}: coarse)" if ruling.baselines < FEW_BASELINES else ""
    return f"{count}{age}{few}{differing}"


def rounds_text(ab: Interleaved) -> str:
    """Write ``8 rounds of all cases, 12 fresh rounds of 2 suspects``."""
    of = f"{ab.rounds} of {ab.planned}" if ab.rounds < ab.planned else f"{ab.rounds}"
    text = f"{of} round{'' if ab.planned == 1 else 's'} of all cases, "
    if not ab.suspects:
        return f"{text}no suspect"
    return f"{text}{counted(ab.fresh, 'fresh round')} of {counted(len(ab.suspects), 'suspect')}"


def canary_text(ab: Interleaved) -> str:
    """Say by how much the canaries differ between the sides; empty where there are none."""
    if not ab.canaries:
        return ""
    parts = [
        f"{one.name} {change_text(one.change)} {interval_text(one.low, one.high)}".rstrip()
        for one in ab.canaries
    ]
    return f"the machine between the sides, by calls that never change: {', '.join(parts)}"


def method_text(ruling: Ruling) -> str:
    """Say how the ruling was measured."""
    return f"history mode, {STORED}" if ruling.ab is None else INTERLEAVED


def age_text(days: float) -> str:
    """Write ``3 days older``."""
    if days < 0:
        return "measured after the run"
    if days < 1:
        return "measured on the same day"
    return f"{days:.0f} day{'' if round(days) == 1 else 's'} older"


def remedy(one: CaseRuling, *, unit: str = "process") -> str:
    """Say what would settle an inconclusive case: more processes, or more rounds of ``ab``."""
    if one.processes is None:
        return one.why
    if math.isinf(one.processes) or one.processes > _TOO_MANY:
        more = "pool more baselines" if unit == "process" else "it is too near its limit"
        return (
            f"{one.why}: no number of {unit}{'es' if unit == 'process' else 's'} settles it; {more}"
        )
    have = one.case.new.processes if one.case.new else 0
    return f"{one.why}: about {counted(max(int(one.processes) - have, 1), f'more {unit}')}"


def unit_of(ruling: Ruling) -> str:
    """Return what settles a case when there is more of it: ``process`` or ``round``."""
    return "process" if ruling.ab is None else "round"


def limit_text(ruling: Ruling) -> str:
    """Write ``3%``, or ``its limit`` where cases have limits of their own."""
    limits = {one.case.limit for one in ruling.judged}
    return percent_text(limits.pop()) if len(limits) == 1 else "its limit"


def _listed_word(case: CaseComparison) -> str:
    if case.base_status == "missing":
        return "only in the run"
    return "fixed" if case.new_status == "ok" else "ok on neither side"
