"""A run against stored baselines: what moves between two runs of one code is part of the error.

A stored baseline was measured in another session. Between sessions the whole machine shifts
(clocks, temperature, driver state), and each case shifts a little by itself. Neither shift can be
seen inside one run, so an error from only the spread between processes would call unchanged code
slower in most suites. Here the error of new - base has three parts:

- processes: what one fresh process differs from the next, over their number;
- the session of a case: from five baselines on how they differ among themselves, each case's
  variance moderated by those of the other cases; below that, how far the cases of the two sides lie
  apart once their common shift is taken off;
- the session of the machine: the common shift of a run, from the shifts of the baselines and of the
  new run, joined with a declared prior of 0.5 % that counts for four runs.

A shift of the whole suite is thereby judged against what shifts between sessions are like: with one
baseline it can hardly ever be called slower code, and the interval says so. Interleaved measurement
has none of this error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attnbench.stats.difference import Array, Centre, Difference, unpaired
from attnbench.stats.prior import fit_prior, moderated

SESSION_SHIFT = 0.005  # standard deviation of a run's common shift, where runs do not show it
SHIFT_DF = 4.0  # that prior counts for as many runs
CASE_SESSION = 0.005  # likewise of one case, where too few cases show it
CASE_DF = 5.0  # one pair of runs shows the spread over cases, not that of each case
ENOUGH_RUNS = 5  # from here on the baselines themselves show how a case varies between runs
FEWEST_CASES = 8  # below it neither a common shift nor a spread over cases can be estimated
_MAD_TO_SD = 1.4826  # 1 / 0.6745, the third quartile of a standard normal


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """The difference to the baselines; ``shift`` is the suite's median (log), ``runs`` a case."""

    difference: Difference
    shift: float
    shift_sd: float
    runs: Array


def against_baselines(base: list[Centre], new: Centre) -> Against:
    """Compare one run with stored ones, given the processes' centre of each case in each run."""
    values = np.stack([one.mean for one in base], axis=1)
    count = np.count_nonzero(np.isfinite(values), axis=1)
    runs = np.where(count > 0, count, np.nan)
    estimate = new.mean - _row_means(values)
    shifts, shift_variance, shift_df = _common_shift(values, new.mean)
    within = unpaired(_pooled(base), new)
    if len(base) >= ENOUGH_RUNS:
        spread, spread_df = _case_spread(values - shifts[None, : len(base)], runs)
    else:
        spread, spread_df = _suite_spread(within, estimate, 1 + 1 / runs)
    with np.errstate(invalid="ignore", divide="ignore"):
        processes = within.process_variance
        # Baselines of more processes than the new run have less of its noise.
        shorter = np.maximum(1 / new.kept - 1 / _mean_kept(base), 0.0)
        spread = spread * _inflation(estimate, spread * (1 + 1 / runs))
        variance = (shift_variance + spread) * (1 + 1 / runs)
        variance += np.where(np.isfinite(processes), processes * shorter, 0.0)
        df = _satterthwaite(
            np.full_like(spread, shift_variance), np.full_like(spread, shift_df), spread, spread_df
        )
        known = np.isfinite(estimate) & np.isfinite(within.se)
        own = np.where(np.isfinite(processes), processes / new.kept, 0.0)
    return Against(
        difference=Difference(
            estimate=np.where(known, estimate, np.nan),
            se=np.where(known, np.sqrt(variance), np.nan),
            df=np.where(known, df, np.nan),
            kept=new.kept,
            process_variance=processes,
            fixed_variance=np.where(known, np.maximum(variance - own, 0.0), np.nan),
        ),
        shift=float(shifts[-1]),
        shift_sd=float(np.sqrt(shift_variance)),
        runs=np.nan_to_num(runs),
    )


def _common_shift(values: Array, new: Array) -> tuple[Array, float, float]:
    """Each run's shift against the mean of the runs, its variance and degrees of freedom."""
    every = np.column_stack([values, new])
    common = np.isfinite(every).all(axis=1)
    count = every.shape[1]
    prior = SHIFT_DF * SESSION_SHIFT**2
    if np.count_nonzero(common) < FEWEST_CASES:
        return np.zeros(count), prior / SHIFT_DF, SHIFT_DF
    part = every[common]
    shifts = np.median(part - part[:, :-1].mean(axis=1, keepdims=True), axis=0)
    total = float(np.sum((shifts - shifts.mean()) ** 2))
    df = SHIFT_DF + count - 1
    return shifts, (prior + total) / df, df


def _case_spread(residual: Array, runs: Array) -> tuple[Array, Array]:
    """Variance of a case from one run to the next, moderated, where there are several baselines."""
    df = np.maximum(runs - 1, 0)
    middle = _row_means(residual)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.nansum((residual - middle) ** 2, axis=1) / df
    return moderated(variance, df, fit_prior(variance, df))


def _suite_spread(within: Difference, estimate: Array, runs: Array) -> tuple[Array, Array]:
    """The same from few runs: how far the cases lie apart, in units of their own error.

    ``runs`` is how many variances of one run a difference holds: 1 + 1 / baselines.
    """
    own = within.se**2
    known = np.isfinite(estimate) & np.isfinite(own)
    df = np.minimum(within.df, CASE_DF)
    if np.count_nonzero(known) < FEWEST_CASES:
        return own / runs + CASE_SESSION**2, df
    away = np.abs(estimate[known] - np.median(estimate[known]))
    relative = _MAD_TO_SD * np.median(away / np.sqrt(own[known]))
    absolute = _MAD_TO_SD * np.median(away)
    extra = max(absolute**2 - float(np.median(own[known])), 0.0)
    return np.maximum(own * max(relative**2, 1.0), own + extra) / runs, df


def _inflation(estimate: Array, variance: Array) -> float:
    """How many times wider the cases lie apart in this run than in its baselines; never below 1.

    Most cases of a run are unchanged, so that the middle of their squared distances from the common
    shift says what a distance is like today (B. Efron, Large-scale simultaneous hypothesis testing:
    the choice of a null hypothesis, JASA 99, 2004).
    """
    known = np.isfinite(estimate) & np.isfinite(variance)
    if np.count_nonzero(known) < FEWEST_CASES:
        return 1.0
    away = estimate[known] - np.median(estimate[known])
    return max(1.0, float(np.median(away**2 / variance[known])) * _MAD_TO_SD**2)


def _satterthwaite(one: Array, one_df: Array, other: Array, other_df: Array) -> Array:
    """Degrees of freedom of a sum of two variances (F. E. Satterthwaite, Biometrics 2, 1946)."""
    df: Array = (one + other) ** 2 / (one**2 / one_df + other**2 / other_df)
    return df


def _pooled(base: list[Centre]) -> Centre:
    """One centre over the processes of all baselines; its variance is that within the runs."""
    df = sum(one.df for one in base)
    kept = sum(np.where(np.isfinite(one.mean), one.kept, 0.0) for one in base)
    total = sum(np.where(one.df > 0, one.df * one.variance, 0.0) for one in base)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.asarray(total / df)
    mean = _row_means(np.stack([one.mean for one in base], axis=1))
    return Centre(mean=mean, variance=variance, kept=np.asarray(kept), df=np.asarray(df))


def _mean_kept(base: list[Centre]) -> Array:
    kept = np.stack([np.where(np.isfinite(one.mean), one.kept, np.nan) for one in base], axis=1)
    return _row_means(kept)


def _row_means(values: Array) -> Array:
    """Mean of what a row has; NaN where it has nothing."""
    present = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Array = np.where(present, values, 0.0).sum(axis=1) / present.sum(axis=1)
    return mean
