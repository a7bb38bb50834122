"""A second opinion on an interval that assumes neither a t distribution nor a common variance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attnbench.stats.difference import CONFIDENCE

RESAMPLES = 9999


def ratio_interval(
    base: Sequence[float], new: Sequence[float], *, paired: bool = False, seed: int = 0
) -> tuple[float, float] | None:
    """95 % interval of new / base (geometric means of processes) by resampling whole processes.

    Latencies in any unit, the same on both sides. It knows of no other session than those it was
    given, and below about ten processes a side it is too narrow (B. Efron and R. Tibshirani, An
    Introduction to the Bootstrap, 13.3); it is a cross-check and never a verdict. None below three
    processes on a side.

    Raises:
        ValueError: paired sides of different lengths.

    """
    from scipy.stats import bootstrap

    if min(len(base), len(new)) < 3:  # noqa: PLR2004  two processes have but three resamples
        return None
    one, other = np.log(np.asarray(base)), np.log(np.asarray(new))
    found = bootstrap(
        (one, other),
        _gap,
        paired=paired,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(np.exp(found.low)), float(np.exp(found.high))


def _gap(base: np.ndarray, new: np.ndarray, axis: int = -1) -> np.ndarray:
    gap: np.ndarray = new.mean(axis=axis) - base.mean(axis=axis)
    return gap
