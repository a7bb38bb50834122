"""Many cases at once: geometric means over matched cases only, with their number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One backend among others: geometric-mean latency relative to the fastest, over n problems.

    ``wins`` counts the problems in which it is the fastest of those that all finished.
    """

    label: str
    ratio: float
    n: int
    wins: int


def standings(latencies: Mapping[str, Mapping[str, float]]) -> list[Standing]:
    """Rank backends over the problems that all of them finished, the fastest first.

    ``latencies`` maps a problem to what each backend took. Where some problem lacks a backend it is
    left out for every backend: a mean over different populations ranks the populations. A backend
    that finished nothing that all the others finished empties the list.
    """
    labels = sorted({label for one in latencies.values() for label in one})
    common = [one for one in latencies.values() if len(one) == len(labels)]
    if len(labels) < 2 or not common:  # noqa: PLR2004  one backend has no rank
        return []
    means = {
        label: math.exp(math.fsum(math.log(one[label]) for one in common) / len(common))
        for label in labels
    }
    best = min(means.values())
    wins = {label: sum(min(one.values()) == one[label] for one in common) for label in labels}
    ranked = [
        Standing(label=label, ratio=mean / best, n=len(common), wins=wins[label])
        for label, mean in means.items()
    ]
    return sorted(ranked, key=lambda one: one.ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """Geometric mean of new over base: over ``n`` matched cases; ``missing`` lack one side."""

    ratio: float | None
    n: int
    missing: int


def geometric_mean(base: Sequence[float | None], new: Sequence[float | None]) -> Mean:
    """Average new / base over the cases that have both; a case that lacks one is counted.

    Raises:
        ValueError: the two are not of one length, or a value is not above zero.

    """
    pairs = list(zip(base, new, strict=True))
    matched = [(b, n) for b, n in pairs if b is not None and n is not None]
    missing = len(pairs) - len(matched)
    if not matched:
        return Mean(ratio=None, n=0, missing=missing)
    logs = (math.log(n) - math.log(b) for b, n in matched)
    ratio = math.exp(math.fsum(logs) / len(matched))
    return Mean(ratio=ratio, n=len(matched), missing=missing)


def adjusted(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust the p-values of one family: calling those at most q changed errs in a share q of them.

    Benjamini and Hochberg, Controlling the false discovery rate (JRSS B 57, 1995), as scipy does.
    """
    from scipy.stats import false_discovery_control

    return p if p.size == 0 else false_discovery_control(p, method="bh")
