"""From differences to verdicts: what may be called slower, and at which error rate.

A case is slower when that is certain (Benjamini-Hochberg over all cases that were judged
together, against a margin of 0.5 %) and it matters (the estimate is at or past the limit).
It is the same when the whole 95 % interval lies inside the limit. All others are unclear.

`ab` decides in two stages: ``screen`` picks suspects with little effort, ``confirm`` judges them
only on fresh rounds. Fresh data makes the selection harmless, and the number of questions asked
shrinks from all cases to the suspects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attnbench.stats.difference import Array, Difference, centre, paired, quantile
from attnbench.stats.latency import CONFIDENCE
from attnbench.stats.prior import FEWEST_CASES as FEWEST_OF_PRIOR
from attnbench.stats.prior import NO_PRIOR, VariancePrior

FALSE_DISCOVERIES = 0.05  # share of the accusations that may be false
POWER = 0.80  # how often a slowdown of the smallest effect is found
MARGIN = 0.005  # a change smaller than this is never asked about
SUSPECT_P = 0.10
MOST_ROUNDS, FEWEST_ROUNDS = 30, 6  # of a confirmation
_CONFIRM_DF = 4.0

FASTER, SLOWER, SAME, UNCLEAR = "faster", "slower", "same", "unclear"

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """What the first stage of `ab` found."""

    difference: Difference
    suspects: Flags


def verdicts(
    difference: Difference, limit: Array | float, *, asked: Flags | None = None
) -> list[str]:
    """Rule on each case of a family; ``limit`` is a share (0.02) a case or for all.

    ``asked`` leaves cases out of the family: they can be same or unclear, never slower or faster.
    """
    size = difference.estimate.shape
    inside = np.broadcast_to(np.log1p(limit), size)
    asked = np.ones(size, dtype=bool) if asked is None else asked
    margin = np.minimum(np.log1p(MARGIN), inside)
    words = np.full(size, UNCLEAR, dtype=object)
    with np.errstate(invalid="ignore"):
        words[(difference.high <= inside) & (difference.low >= -inside)] = SAME
        slower = _significant(difference.p_slower(margin), asked) & (difference.estimate >= inside)
        faster = _significant(difference.p_faster(margin), asked) & (difference.estimate <= -inside)
    words[slower], words[faster] = SLOWER, FASTER
    return [str(word) for word in words]


def screen(rounds: Array, limit: Array | float) -> Screened:
    """Find what may be slower in the first rounds, [case, round] of log new - log base.

    What may be faster is no suspect: the fresh rounds are for the question that turns a build red.
    """
    difference = paired(rounds)
    half = np.broadcast_to(np.log1p(limit), difference.estimate.shape) / 2
    margin = np.minimum(np.log1p(MARGIN), half)
    with np.errstate(invalid="ignore"):
        suspects = (difference.p_slower(margin) < SUSPECT_P) & (difference.estimate >= half)
    return Screened(difference=difference, suspects=suspects)


def confirm_rounds(suspects: int, affordable: int) -> int:
    """How many fresh rounds each suspect gets; ``affordable`` is how many case-rounds are left."""
    if suspects == 0:
        return 0
    return int(np.clip(affordable // suspects, FEWEST_ROUNDS, MOST_ROUNDS))


def confirm(screened: Screened, fresh: Array, limit: Array | float) -> tuple[Difference, list[str]]:
    """Judge the suspects only on fresh rounds; the other cases keep their first interval.

    ``fresh`` has a row for each suspect, in their order. Returns the difference that counts for
    each case, and its verdict. A case that was no suspect is never slower; what is faster is so by
    the first rounds, over all other cases.
    """
    suspects = screened.suspects
    first = verdicts(screened.difference, limit, asked=~suspects)
    words = [UNCLEAR if word == SLOWER else word for word in first]
    if not suspects.any():
        return screened.difference, words
    judged = paired(fresh, prior=_prior_of(fresh))
    limits = np.broadcast_to(limit, suspects.shape)[suspects]
    for place, word in zip(np.flatnonzero(suspects), verdicts(judged, limits), strict=True):
        words[place] = word
    return _replaced(screened.difference, judged, suspects), words


def adjusted(p: Array) -> Array:
    """Adjust the p-values of one family by the step-up rule of Benjamini and Hochberg.

    Calling those at most q changed errs in a share q of them (Y. Benjamini and Y. Hochberg,
    Controlling the false discovery rate, JRSS B 57, 1995). The same numbers as
    ``scipy.stats.false_discovery_control``, whose import takes as long as a whole comparison.

    Args:
        p: p-values, [hypothesis].

    """
    order = np.argsort(p)
    ranks = np.arange(1, p.size + 1)
    # p of rank i times m / i, and never more than that of any higher rank.
    stepped = np.minimum.accumulate((p[order] * (p.size / ranks))[::-1])[::-1]
    found = np.empty_like(p)
    found[order] = np.clip(stepped, 0.0, 1.0)
    return found


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
    gap = np.abs(inside - difference.estimate)
    # More processes bring more degrees of freedom; the present ones are on the safe side.
    allowed = (gap / quantile(difference.df, (1 + CONFIDENCE) / 2)) ** 2
    left = allowed - difference.fixed_variance
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.where(left > 0, np.ceil(difference.process_variance / left), np.inf)
    return np.where(np.isfinite(difference.se), np.maximum(count, difference.kept), np.nan)


def _significant(p: Array, asked: Flags) -> Flags:
    """Which hypotheses fall at the false-discovery rate, among those that were asked."""
    family = asked & np.isfinite(p)
    found = np.zeros(p.shape, dtype=bool)
    found[family] = adjusted(p[family]) <= FALSE_DISCOVERIES
    return found


def _prior_of(rounds: Array) -> VariancePrior:
    """Return the prior of a confirmation: too few cases to fit one, enough for a median."""
    known = centre(rounds).variance
    known = known[np.isfinite(known)]
    if len(known) < FEWEST_OF_PRIOR:
        return NO_PRIOR
    return VariancePrior(_CONFIRM_DF, float(np.median(known)))


def _replaced(first: Difference, judged: Difference, where: Flags) -> Difference:
    """The first difference with the judged one in the rows ``where``."""
    parts = {}
    for name in ("estimate", "se", "df", "kept", "process_variance", "fixed_variance"):
        values = getattr(first, name).copy()
        values[where] = getattr(judged, name)
        parts[name] = values
    return Difference(**parts)
