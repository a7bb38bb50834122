"""What a comparison could have seen: the smallest effect it finds, and what finer ones take."""

from __future__ import annotations

import numpy as np

from attnbench.stats.decision import FALSE_DISCOVERIES, MARGIN
from attnbench.stats.difference import CONFIDENCE, Array, Difference, quantile

POWER = 0.80


def minimum_effect(difference: Difference, limit: Array | float, *, family: int) -> Array:
    """Smallest slowdown (share) that is found four times in five, a case; NaN without an interval.

    It must pass two rules: beyond doubt as the only one slower of ``family`` cases, the hardest
    place in the Benjamini-Hochberg order; and at or past ``limit``, which an effect equal to the
    limit does in half of the runs.
    """
    found = quantile(difference.df, POWER) * difference.se
    strict = quantile(difference.df, 1 - FALSE_DISCOVERIES / max(family, 1)) * difference.se
    inside = np.log1p(np.broadcast_to(limit, difference.estimate.shape))
    effect: Array = np.expm1(
        np.maximum(np.minimum(np.log1p(MARGIN), inside) + strict + found, inside + found)
    )
    return effect


def processes_needed(difference: Difference, limit: Array | float) -> Array:
    """How many processes of the new side would bring the whole interval to one side of the limit.

    Infinite where no number would: what is in the way is the difference between sessions, or the
    estimate lies on the limit itself. NaN without an interval. The estimate is taken as it is, so
    that this is a guess and not a promise.
    """
    inside = np.log1p(np.broadcast_to(limit, difference.estimate.shape))
    room = np.abs(inside - difference.estimate)
    # More processes bring more degrees of freedom; the present ones are on the safe side.
    allowed = (room / quantile(difference.df, (1 + CONFIDENCE) / 2)) ** 2
    left = allowed - difference.fixed_variance
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.where(left > 0, np.ceil(difference.process_variance / left), np.inf)
    return np.where(np.isfinite(difference.se), np.maximum(count, difference.kept), np.nan)
