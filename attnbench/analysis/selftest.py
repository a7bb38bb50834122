"""Proof that a gate can turn red: a slowdown is planted into the run and must be found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attnbench.analysis.cases import coded
from attnbench.analysis.gate import FAIL, Ruling, rule_on
from attnbench.analysis.sides import Side
from attnbench.suite import Gate

ONE_IN = 20  # cases are planted into
OVER = 1.5  # times the smallest effect that the case can show
FOUND_SHARE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A slowdown (share) that was planted into a case, and whether the gate found it."""

    label: str
    slowdown: float
    found: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the gate said of the planted run; ``clean`` is what it says of the run as it is."""

    clean: Ruling
    red: Ruling
    planted: tuple[Planted, ...]

    @property
    def holds(self) -> bool:
        """Whether the gate turned red for nine planted slowdowns in ten."""
        found = sum(one.found for one in self.planted)
        return self.red.outcome == FAIL and 0 < FOUND_SHARE * len(self.planted) <= found


def prove(
    baselines: Sequence[Side], new: Side, rule: Gate, source: str, *, any_chip: bool = False
) -> Proof:
    """Plant slowdowns into one case in twenty, each as large as the gate says that it can see.

    The planted rows go the way of every row: the same pooling, the same statistics, the same rule.
    """
    clean = rule_on(baselines, new, rule, source, any_chip=any_chip)
    able = [one for one in clean.judged if one.case.effect is not None]
    chosen = able[:: max(1, min(ONE_IN, len(able)))]
    wanted = {
        one.case.case_id: _slowdown(one.case.change, one.case.effect, one.case.limit)
        for one in chosen
    }
    codes, case_ids = coded(new.table["case_id"])
    shares = np.array([wanted.get(one, 0.0) for one in case_ids])
    red = rule_on(baselines, new.slowed(shares[codes]), rule, source, any_chip=any_chip)
    fails = {one.case.case_id for one in red.judged if one.ruling == FAIL}
    planted = tuple(
        Planted(
            label=one.case.label,
            slowdown=wanted[one.case.case_id],
            found=one.case.case_id in fails,
        )
        for one in chosen
    )
    return Proof(clean=clean, red=red, planted=planted)


def _slowdown(change: float | None, effect: float | None, limit: float) -> float:
    """What must be planted for the case to end well past what can be seen, from where it is."""
    target = max(OVER * (effect or 0.0), 2 * limit)
    return max((1 + target) / (1 + (change or 0.0)) - 1, 0.0)
