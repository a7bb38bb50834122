"""A ruling in sentences, the same on a terminal, in a pull request and in a test report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attnbench.analysis.gate import FAIL, INCONCLUSIVE, LISTED, PASS
from attnbench.units import time_text

if TYPE_CHECKING:
    from attnbench.analysis.compare import CaseComparison
    from attnbench.analysis.gate import CaseRuling, Ruling
    from attnbench.analysis.interleaved import Interleaved
    from attnbench.stats.latency import Latency

WEAKER = (
    "against stored baselines: what shifts between sessions is in the intervals; measuring both "
    "sides interleaved sees smaller changes"
)
BY_TURNS = (
    "both sides measured by turns in adjacent fresh processes, the order flipped each round; "
    "slower is what fresh rounds of the suspects alone confirmed"
)
FEW_BASELINES = 5
_BEYOND = 9.995  # a share of which the digits say nothing
_TOO_MANY = 10_000  # rounds or processes that nobody will measure


def headline(ruling: Ruling) -> str:
    """Say the outcome in one sentence."""
    limit, ruled = limit_text(ruling), f"{ruling.ruled:,} case{'' if ruling.ruled == 1 else 's'}"
    if ruling.outcome == PASS:
        return f"none of {ruled} is more than {limit} slower"
    if ruling.outcome == FAIL:
        slower = sum(one.case.verdict == "slower" for one in ruling.of(FAIL))
        lost = len(ruling.of(FAIL)) - slower
        parts = [f"{slower:,} of {ruled} more than {limit} slower"] if slower else []
        parts += [f"{lost:,} of {ruled} no longer ok"] if lost else []
        return ", ".join(parts)
    open_cases = len(ruling.of(INCONCLUSIVE))
    return f"nothing is proven slower, but {open_cases:,} of {ruled} cannot be judged at {limit}"


def tallies(ruling: Ruling) -> str:
    """Count every case of both runs by what came of it."""
    parts = [f"{len(ruling.of(PASS)):,} proven within the limit"]
    parts += [f"{len(ruling.of(FAIL)):,} fail"] if ruling.of(FAIL) else []
    parts += [f"{len(ruling.of(INCONCLUSIVE)):,} open"] if ruling.of(INCONCLUSIVE) else []
    if faster := ruling.compared.verdicts["faster"]:
        parts.append(f"{faster:,} of them faster")
    listed: dict[str, int] = {}
    for one in ruling.of(LISTED):
        word = _listed_word(one.case)
        listed[word] = listed.get(word, 0) + 1
    parts += [f"{count:,} {word} (not ruled)" for word, count in listed.items()]
    return ", ".join(parts)


def sight(ruling: Ruling) -> str:
    """Say how small a slowdown this gate sees, and how far the suite moved as a whole."""
    effects = sorted(one.case.effect for one in ruling.judged if one.case.effect is not None)
    if not effects:
        return "no case has an interval, so no slowdown can be seen"
    text = f"finds a slowdown of {percent(effects[len(effects) // 2])} in the median case"
    # Where cases have limits of their own, the one that needs most need not be the noisiest.
    several = len({one.case.limit for one in ruling.judged}) > 1
    last = "the one where it sees least" if several else "the noisiest"
    text += f", of {percent(effects[-1])} in {last} (four times in five)"
    against = ruling.compared.against
    shift = ruling.ab.shift if ruling.ab else None if against is None else against.shift
    if shift is not None:
        text += f"; the suite as a whole moved by {signed(shift)}"
    return text


def possible(ruling: Ruling) -> str:
    """Name the largest slowdown that a pass leaves possible; nothing where none passed."""
    highest = [(one.case.high, one.case) for one in ruling.of(PASS) if one.case.high is not None]
    if not highest:
        return ""
    high, case = max(highest, key=lambda pair: pair[0])
    return f"largest slowdown still possible: {signed(high)}  {case.label}"


def baseline_text(ruling: Ruling) -> str:
    """How many baselines, how old, and what differs beside the numbers; or the rounds of ab."""
    others = [one.text for one in ruling.compared.differing]
    differing = f"; differs: {'; '.join(others)}" if others else "; same device and software"
    if ruling.ab is not None:
        return rounds_text(ruling.ab) + differing
    count = f"{ruling.baselines} baseline{'' if ruling.baselines == 1 else 's'}"
    age = "" if ruling.age_days is None else f", the newest {age_text(ruling.age_days)}"
    few = f" (fewer than {FEW_BASELINES}: coarse)" if ruling.baselines < FEW_BASELINES else ""
    return f"{count}{age}{few}{differing}"


def rounds_text(ab: Interleaved) -> str:
    """``8 rounds of all cases, 12 fresh ones of 2 suspects``."""
    of = f"{ab.rounds} of {ab.planned}" if ab.rounds < ab.planned else f"{ab.rounds}"
    text = f"{of} round{'' if ab.planned == 1 else 's'} of all cases, "
    if not ab.suspects:
        return f"{text}no suspect"
    count = f"{len(ab.suspects):,} suspect{'' if len(ab.suspects) == 1 else 's'}"
    return f"{text}{ab.fresh} fresh ones of {count}"


def canary_text(ab: Interleaved) -> str:
    """What the canaries differ by between the sides; nothing where there are none."""
    if not ab.canaries:
        return ""
    parts = [
        f"{one.name} {signed(one.change)}"
        + ("" if one.low is None or one.high is None else f" {span(one.low, one.high)}")
        for one in ab.canaries
    ]
    return f"the machine between the sides, by calls that never change: {', '.join(parts)}"


def closing(ruling: Ruling) -> str:
    """What sort of measurement the ruling is from."""
    return f"history mode, {WEAKER}" if ruling.ab is None else BY_TURNS


def age_text(days: float) -> str:
    """``3 days older``."""
    if days < 0:
        return "measured after the run"
    if days < 1:
        return "measured on the same day"
    return f"{days:.0f} day{'' if round(days) == 1 else 's'} older"


def remedy(one: CaseRuling, *, unit: str = "process") -> str:
    """Say what would settle an inconclusive case: more processes, or more rounds of ab."""
    if one.processes is None:
        return one.why
    if math.isinf(one.processes) or one.processes > _TOO_MANY:
        more = "pool more baselines" if unit == "process" else "it is too near its limit"
        return f"{one.why}: no number of {_plural(unit, 2)} would do; {more}"
    have = one.case.new.processes if one.case.new else 0
    wanted = max(int(one.processes) - have, 1)
    return f"{one.why}: about {wanted} more {_plural(unit, wanted)}"


def unit_of(ruling: Ruling) -> str:
    """What more of would settle a case."""
    return "process" if ruling.ab is None else "round"


def _plural(unit: str, count: int) -> str:
    return unit if count == 1 else f"{unit}es" if unit.endswith("s") else f"{unit}s"


def limit_text(ruling: Ruling) -> str:
    """``3%``, or ``its limit`` where cases have limits of their own."""
    limits = {one.case.limit for one in ruling.judged}
    return percent(limits.pop()) if len(limits) == 1 else "its limit"


def reading(one: Latency | None, status: str) -> str:
    """A latency, or the status that stands for it."""
    return status if one is None else time_text(one.seconds)


def interval(case: CaseComparison) -> str:
    """``[+6.7%, +7.3%]``."""
    if case.low is None or case.high is None:
        return ""
    return span(case.low, case.high)


def span(low: float, high: float) -> str:
    """``[+6.7%, +7.3%]``."""
    return f"[{signed(low)}, {signed(high)}]"


def percent(share: float) -> str:
    """``3%``, ``2.4%``; what is beyond ten times says that it is."""
    if share >= _BEYOND:
        return ">999%"
    return f"{float(f'{100 * share:.2g}'):g}%"


def signed(share: float) -> str:
    """``+7.0%``; what is beyond ten times says that it is."""
    if share >= _BEYOND:
        return ">+999%"
    return f"{100 * share:+.1f}%"


def _listed_word(case: CaseComparison) -> str:
    if case.base_status == "missing":
        return "only in the run"
    return "fixed" if case.new_status == "ok" else "ok on neither side"
