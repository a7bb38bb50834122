"""What another device gives more of: calls a second, a joule and a dollar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.analysis.energy import energies

if TYPE_CHECKING:
    from attnbench.analysis.compare import CaseComparison, RunComparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """One of them: its words, a case's figure, and that of the ceilings.

    ``ceiling`` is what the ratio of two ceilings is multiplied by; None where they are no limit.
    """

    word: str
    axis: str
    of: Callable[[CaseComparison], float | None]
    ceiling: float | None


def gains_of(pair: RunComparison) -> tuple[Gain, ...]:
    """Return as fast, then a joule and a dollar; a figure is None where it is not known."""
    spent = energies(pair.base), energies(pair.new)

    def a_joule(one: CaseComparison) -> float | None:
        before, after = (side.get(one.case_id) for side in spent)
        # Only where both sides know it one way.
        if before is None or after is None or before.counted != after.counted:
            return None
        return before.joules / after.joules

    price = pair.prices.ratio
    return (
        Gain(
            word="times as fast",
            axis="times as fast on",
            of=lambda one: 1 / one.ratio if one.ratio else None,
            ceiling=1.0,
        ),
        Gain(word="work a joule", axis="work a joule on", of=a_joule, ceiling=None),
        Gain(
            word="work a dollar",
            axis="work a dollar on",
            of=lambda one: pair.prices.work(one.ratio),
            ceiling=1 / price if price else None,
        ),
    )
