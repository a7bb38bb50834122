"""A ruling in sentences, the same on a terminal, in a pull request and in a test report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attnbench.analysis.gate import FAIL, INCONCLUSIVE, LISTED, PASS
from attnbench.units import time_text

if TYPE_CHECKING:
    from attnbench.analysis.compare import Comparison, Reading
    from attnbench.analysis.gate import Judged, Ruling

WEAKER = (
    "against stored baselines: what shifts between sessions is in the intervals; measuring both "
    "sides interleaved sees smaller changes"
)
FEW_BASELINES = 5


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
    text += f", of {percent(effects[-1])} in the noisiest (four times in five)"
    if ruling.compared.against is not None:
        text += f"; the suite as a whole moved by {signed(ruling.compared.against.shift)}"
    return text


def possible(ruling: Ruling) -> str:
    """Name the largest slowdown that a pass leaves possible; nothing where none passed."""
    highest = [(one.case.high, one.case) for one in ruling.of(PASS) if one.case.high is not None]
    if not highest:
        return ""
    high, case = max(highest, key=lambda pair: pair[0])
    return f"largest slowdown still possible: {signed(high)}  {case.label}"


def baseline_text(ruling: Ruling) -> str:
    """How many baselines, how old, and what differs beside the numbers."""
    count = f"{ruling.baselines} baseline{'' if ruling.baselines == 1 else 's'}"
    age = "" if ruling.age_days is None else f", the newest {age_text(ruling.age_days)}"
    few = f" (fewer than {FEW_BASELINES}: coarse)" if ruling.baselines < FEW_BASELINES else ""
    others = [one.text for one in ruling.compared.differing]
    differing = f"; differs: {'; '.join(others)}" if others else "; same device and software"
    return f"{count}{age}{few}{differing}"


def age_text(days: float) -> str:
    """``3 days older``."""
    if days < 0:
        return "measured after the run"
    if days < 1:
        return "measured on the same day"
    return f"{days:.0f} day{'' if round(days) == 1 else 's'} older"


def remedy(one: Judged) -> str:
    """Say what would settle an inconclusive case."""
    if one.launches is None:
        return one.why
    if math.isinf(one.launches):
        return f"{one.why}: no number of launches would do; pool more baselines"
    have = one.case.new.launches if one.case.new else 0
    more = max(int(one.launches) - have, 1)
    return f"{one.why}: about {more} more launch{'' if more == 1 else 'es'}"


def limit_text(ruling: Ruling) -> str:
    """``3%``, or ``its limit`` where cases have limits of their own."""
    limits = {one.case.limit for one in ruling.judged}
    return percent(limits.pop()) if len(limits) == 1 else "its limit"


def reading(one: Reading | None, status: str) -> str:
    """A latency, or the status that stands for it."""
    return status if one is None else time_text(one.latency)


def interval(case: Comparison) -> str:
    """``[+6.7%, +7.3%]``."""
    if case.low is None or case.high is None:
        return ""
    return f"[{signed(case.low)}, {signed(case.high)}]"


def percent(share: float) -> str:
    """``3%``, ``2.4%``."""
    return f"{float(f'{100 * share:.2g}'):g}%"


def signed(share: float) -> str:
    """``+7.0%``."""
    return f"{100 * share:+.1f}%"


def _listed_word(case: Comparison) -> str:
    if case.base_status == "missing":
        return "only in the run"
    return "fixed" if case.new_status == "ok" else "ok on neither side"
