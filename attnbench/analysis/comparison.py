"""One case on both sides as a value, from the arrays that the statistics are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.analysis.matching import Matched
from attnbench.analysis.sides import ABSENT
from attnbench.measurement import STATUSES
from attnbench.stats.decision import UNCLEAR, minimum_effect, verdicts
from attnbench.stats.difference import Array, Difference
from attnbench.stats.latency import Latency, latencies_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseComparison:
    """One case on both sides; ``key`` is the same in every comparison with one base.

    ``change``, ``low`` and ``high`` are shares (0.03 is 3 % slower) with the 95 % interval;
    ``verdict`` is None where a side is not ok, or where devices differ. ``effect`` is the smallest
    slowdown that would be found four times in five. A status is ``missing`` where a side has no
    row of the case.
    """

    key: str
    case_id: str
    label: str
    backend: str
    base_status: str
    new_status: str
    reason: str | None
    base: Latency | None
    new: Latency | None
    change: float | None
    low: float | None
    high: float | None
    verdict: str | None
    limit: float
    effect: float | None
    kernels_changed: bool
    facts: Mapping[str, Any]

    @property
    def ratio(self) -> float | None:
        """New latency over base."""
        if self.base is None or self.new is None:
            return None
        return self.new.seconds / self.base.seconds


def comparisons_of(
    one: Matched,
    other: Matched,
    texts: Sequence[Mapping[str, Any]],
    difference: Difference,
    limits: Array,
    *,
    ratios_only: bool,
) -> tuple[CaseComparison, ...]:
    """Put the arrays together as one value a case, in their order."""
    both = one.is_ok & other.is_ok
    words = verdicts(difference, limits)
    effects = minimum_effect(difference, limits, family=int(np.isfinite(difference.se).sum()))
    ends = [np.expm1(part).tolist() for part in _ends(difference)]
    ends.append(effects.tolist())
    latencies = [latencies_of(side.processes()) for side in (one, other)]
    changed = _kernels_changed(one, other) & both
    found = []
    for row, text in enumerate(texts):
        change, low, high, effect = (_plain(part[row]) for part in ends)
        old, now = latencies[0][row], latencies[1][row]
        is_judged = bool(both[row]) and not ratios_only
        found.append(
            CaseComparison(
                key=one.keys[row],
                case_id=text["case_id"],
                label=text["case_label"] or text["case_id"],
                backend=text["backend_label"] or "",
                base_status=_status(one, row),
                new_status=_status(other, row),
                reason=text["reason"],
                base=old,
                new=now,
                change=change if both[row] else None,
                low=low if is_judged else None,
                high=high if is_judged else None,
                verdict=(words[row] if low is not None else UNCLEAR) if is_judged else None,
                limit=float(limits[row]),
                effect=effect if is_judged else None,
                kernels_changed=bool(changed[row]),
                facts=text,
            )
        )
    return tuple(found)


def _ends(difference: Difference) -> tuple[Array, Array, Array]:
    return difference.estimate, difference.low, difference.high


def _kernels_changed(one: Matched, other: Matched) -> NDArray[np.bool_]:
    """Whether both sides name their kernels, and name others, though the backend is the same."""
    import pyarrow.compute as pc

    kernels, backends = [], []
    for side in (one, other):
        rows = np.where(side.first == ABSENT, 0, side.first)
        text = pc.fill_null(pc.binary_join(side.side.table["kernels"], " "), "")
        kernels.append(np.asarray(text.take(rows).to_pylist(), dtype=object))
        labels = side.side.table["backend_label"].take(rows).to_pylist()
        backends.append(np.asarray(labels, dtype=object))
    named = (kernels[0] != "") & (kernels[1] != "")
    flags: NDArray[np.bool_] = named & (kernels[0] != kernels[1]) & (backends[0] == backends[1])
    return flags


def _status(side: Matched, row: int) -> str:
    place = int(side.status[row])
    return MISSING if place == ABSENT else STATUSES[place]


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
