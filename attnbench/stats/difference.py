"""Differences of log latency between two sides, for many cases at once.

Every array here has one row per case. A difference is new - base on the log scale, so swapping the
sides changes only its sign, and a change of unit cancels. One observation is one process, or one
round of `ab`: what happens inside a process is not replication.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attnbench.stats.latency import CONFIDENCE, FEWEST_PROCESSES
from attnbench.stats.prior import VariancePrior, fit_prior, moderated

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

TRIM = 0.1  # the share cut off at either end, and at least one value
FEWEST_TRIMMED = 8  # rounds below which none is cut off: the interval would be too narrow
FEWEST_TRIMMED_PROCESSES = 5  # of one run, whose interval is taken from other runs
RESAMPLES = 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class Centre:
    """Trimmed means and what is known of their spread: ``variance`` is of one value, not of a mean.

    ``kept`` counts the values that the mean is over; ``df`` is 0 where there is no variance.
    """

    mean: Array
    variance: Array
    kept: Array
    df: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """New minus base in log latency, with its standard error and degrees of freedom.

    ``process_variance`` is what one more process of the new side draws from and ``kept`` how many
    the estimate is over; ``fixed_variance`` is the part of ``se``² that no process of it makes
    smaller. NaN where a case has no interval.
    """

    estimate: Array
    se: Array
    df: Array
    kept: Array
    process_variance: Array
    fixed_variance: Array

    @property
    def low(self) -> Array:
        """Low end of the 95 % interval."""
        return self.estimate - self.reach

    @property
    def high(self) -> Array:
        """High end of the 95 % interval."""
        return self.estimate + self.reach

    @property
    def reach(self) -> Array:
        """Half of the width of the 95 % interval."""
        return quantile(self.df, (1 + CONFIDENCE) / 2) * self.se

    def p_slower(self, margin: Array | float = 0.0) -> Array:
        """Probability of seeing this if new were at most ``margin`` (log) slower than base."""
        return self._tail(self.estimate - margin)

    def p_faster(self, margin: Array | float = 0.0) -> Array:
        """Probability of seeing this if new were at most ``margin`` (log) faster than base."""
        return self._tail(-self.estimate - margin)

    def without(self, rows: NDArray[np.bool_]) -> Difference:
        """Return the same without the intervals of these rows; their estimates stay."""
        parts = ("se", "df", "process_variance", "fixed_variance")
        return replace(
            self, **{name: np.where(rows, np.nan, getattr(self, name)) for name in parts}
        )

    def _tail(self, excess: Array) -> Array:
        from scipy.special import stdtr

        with np.errstate(invalid="ignore", divide="ignore"):
            tail: Array = stdtr(self.df, -excess / self.se)
        return tail


def quantile(df: Array | float, share: float) -> Array:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    with np.errstate(invalid="ignore"):
        value: Array = np.asarray(stdtrit(df, share), dtype=np.float64)
    return value


def centre(values: Array, *, trim: float = TRIM, fewest: int = FEWEST_TRIMMED) -> Centre:
    """Trimmed mean of each row and the variance that belongs to it; NaN is "no value".

    Rows of less than ``fewest`` values are not trimmed.

    K. K. Yuen, The two-sample trimmed t for unequal population variances (Biometrika 61, 1974): the
    variance is the winsorised one, so that mean ± t·sqrt(variance / kept) is its interval. A
    process that was disturbed costs one value instead of the verdict.
    """
    if values.shape[1] == 0:
        values = np.full((len(values), 1), np.nan)
    # Sorted rows end in NaN, so the first ``count`` values of a row are the known ones.
    ordered = np.sort(values, axis=1)
    count = np.count_nonzero(np.isfinite(ordered), axis=1)
    cut = _cut(count, trim, fewest)
    place = np.arange(ordered.shape[1])[None, :]
    filled = np.where(place < count[:, None], ordered, 0.0)
    kept = count - 2 * cut
    inside = (place >= cut[:, None]) & (place < (count - cut)[:, None])
    with np.errstate(invalid="ignore", divide="ignore"):
        # Yuen's variance: (n - 1) s_w² / (h - 1), with h kept of n values and s_w² winsorised.
        mean = np.where(inside, filled, 0.0).sum(axis=1) / kept
        variance = _winsorised(filled, count, cut) * (count - 1) / (kept - 1)
    has_spread = kept > 1
    return Centre(
        mean=np.where(kept > 0, mean, np.nan),
        variance=np.where(has_spread, variance, np.nan),
        kept=kept.astype(np.float64),
        df=np.where(has_spread, kept - 1, 0).astype(np.float64),
    )


def paired(rounds: Array, *, prior: VariancePrior | None = None, trim: float = TRIM) -> Difference:
    """Moderated t over rounds: ``rounds[case, round]`` is new - base of two adjacent processes.

    The prior is fitted to these cases unless one is given.
    """
    one = centre(rounds, trim=trim)
    prior = fit_prior(one.variance, one.df) if prior is None else prior
    variance, df = moderated(one.variance, one.df, prior)
    known = one.df > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        squared = variance / one.kept
    return Difference(
        estimate=one.mean,
        se=np.where(known, np.sqrt(squared), np.nan),
        df=np.where(known, df, np.nan),
        kept=one.kept,
        process_variance=np.where(known, variance, np.nan),
        fixed_variance=np.zeros_like(variance),
    )


def unpaired(base: Centre, new: Centre, *, prior: VariancePrior | None = None) -> Difference:
    """Moderated t between two independent sets of processes with one common variance per case.

    It knows nothing of what moves between two runs; ``attnbench.stats.history`` adds that.
    """
    # The pooled variance is the mean of both, weighted by their degrees of freedom.
    pooled_df = base.df + new.df
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.where(base.df > 0, base.df * base.variance, 0.0)
        total += np.where(new.df > 0, new.df * new.variance, 0.0)
        pooled = total / pooled_df
    prior = fit_prior(pooled, pooled_df) if prior is None else prior
    variance, df = moderated(pooled, pooled_df, prior)
    known = (base.df > 0) & (new.df > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        fixed = variance / base.kept
        squared = fixed + variance / new.kept
    return Difference(
        estimate=new.mean - base.mean,
        se=np.where(known, np.sqrt(squared), np.nan),
        df=np.where(known, df, np.nan),
        kept=new.kept,
        process_variance=np.where(known, variance, np.nan),
        fixed_variance=np.where(known, fixed, np.nan),
    )


def _cut(count: Counts, trim: float, fewest: int) -> Counts:
    """How many values fall at either end."""
    if trim == 0:
        return np.zeros_like(count)
    wanted = np.maximum(1, np.floor(trim * count + 0.5).astype(count.dtype))
    return np.where(count >= fewest, wanted, 0)


def _winsorised(ordered: Array, count: Counts, cut: Counts) -> Array:
    """Variance of each row with the cut values replaced by the outermost kept ones."""
    row = np.arange(len(ordered))
    low = ordered[row, np.minimum(cut, ordered.shape[1] - 1)]
    high = ordered[row, np.clip(count - cut - 1, 0, None)]
    present = np.arange(ordered.shape[1])[None, :] < count[:, None]
    clipped = np.where(present, np.clip(ordered, low[:, None], high[:, None]), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = clipped.sum(axis=1) / count
        squares = np.where(present, (clipped - middle[:, None]) ** 2, 0.0).sum(axis=1)
        variance: Array = squares / (count - 1)
    return variance


def bootstrap_interval(
    base: Sequence[float], new: Sequence[float], *, paired: bool = False, seed: int = 0
) -> tuple[float, float] | None:
    """Return the 95 % interval of new / base by resampling whole processes.

    A second opinion that assumes neither a t distribution nor a common variance: percentiles of the
    bootstrap distribution (B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 13.3). It
    knows of no other session than those it was given, and below about ten processes a side it is
    too narrow; it is a cross-check and never a verdict.

    Args:
        base: the latency of each process, in any unit.
        new: the same of the other side, in the same unit.
        paired: whether process i of both sides ran side by side.
        seed: of the resampling.

    Returns:
        The interval of the ratio of geometric means; None below three processes on a side.

    Raises:
        ValueError: paired sides of different lengths.

    """
    from scipy.stats import bootstrap

    if min(len(base), len(new)) < FEWEST_PROCESSES:
        return None

    def gap(base: Array, new: Array, axis: int = -1) -> Array:
        difference: Array = new.mean(axis=axis) - base.mean(axis=axis)
        return difference

    found = bootstrap(
        (np.log(np.asarray(base)), np.log(np.asarray(new))),
        gap,
        paired=paired,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(np.exp(found.low)), float(np.exp(found.high))
