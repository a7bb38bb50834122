"""Estimate the variance of one case with the help of the other cases of its run.

A handful of processes gives a poor variance; two hundred cases of one run give a good idea of what
variances are like there. Both are joined by the empirical-Bayes rule of G. K. Smyth, Linear models
and empirical Bayes methods (Statistical Applications in Genetics and Molecular Biology 3, 2004):
variances come from a scaled inverse chi-squared distribution whose two parameters are fitted from
all of them. With it a t test of eight rounds has about twice the degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FEWEST_CASES = 5  # below it the spread of variances is not known, so no prior is fitted
MOST_DF = 20.0  # the other cases never count for more than this many processes
_FLOOR_SHARE = 1e-4  # of the median variance; a timer's ticks can make a variance 0
_SMALLEST = 1e-12  # a relative spread of one in a million: below every timer's resolution


@dataclass(frozen=True, slots=True)
class VariancePrior:
    """What a variance is like before its own processes are seen: ``df`` processes' worth of it."""

    df: float
    variance: float


NO_PRIOR = VariancePrior(0.0, 0.0)


def fit_prior(variance: Array, df: Array, *, most_df: float = MOST_DF) -> VariancePrior:
    """Fit the prior to the variances of many cases; ``NO_PRIOR`` where there are too few.

    Entries that are not finite, or have no degree of freedom, are ignored. The method of moments on
    log variances is section 6.2 of Smyth (2004).

    Args:
        variance: Sample variance of each case, [case].
        df: Its degrees of freedom, [case].
        most_df: Upper limit of the prior's degrees of freedom.

    """
    from scipy.special import digamma, polygamma

    known = np.isfinite(variance) & (df > 0)
    if np.count_nonzero(known) < FEWEST_CASES:
        return NO_PRIOR
    half = df[known] / 2
    # log s² of a case is a log F variate; digamma and log remove the part that its df explains.
    logs = np.log(floored(variance[known])) - digamma(half) + np.log(half)
    # What varies beyond sampling, trigamma(df / 2), is due to the prior: trigamma(prior_df / 2).
    spread = np.var(logs, ddof=1) - np.mean(polygamma(1, half))
    prior_df = most_df if spread <= 0 else min(most_df, 2 * _inverse_trigamma(float(spread)))
    # The mean of the logs is that of the prior variance, after the same correction for prior_df.
    scale = np.mean(logs) + digamma(prior_df / 2) - np.log(prior_df / 2)
    return VariancePrior(float(prior_df), float(np.exp(scale)))


def moderated(variance: Array, df: Array, prior: VariancePrior) -> tuple[Array, Array]:
    """Return variances drawn towards the prior, and their new degrees of freedom.

    The posterior variance is the mean of both, weighted by degrees of freedom (Smyth, 2004).
    """
    own = np.where(df > 0, variance, 0.0)
    total = df + prior.df
    with np.errstate(invalid="ignore", divide="ignore"):
        joined = (df * own + prior.df * prior.variance) / total
    return np.maximum(joined, _SMALLEST), total


def floored(variance: Array) -> Array:
    """Raise variances that are too small only because of the timer's resolution."""
    middle = float(np.median(variance)) if variance.size else 0.0
    return np.maximum(variance, max(_FLOOR_SHARE * middle, _SMALLEST))


def _inverse_trigamma(value: float) -> float:
    """Solve trigamma(x) = value by Newton's rule on 1/trigamma (Smyth, appendix)."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(50):
        here = float(polygamma(1, x))
        step = here * (1 - here / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-8 * x:
            break
    return x
