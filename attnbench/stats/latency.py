"""One latency from several processes, and backends ranked by their latencies.

The standard library is enough for everything here but ``latencies_of``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE = 0.95
FEWEST_PROCESSES = 3  # below it there is no interval between processes
SMALLEST_WIN = 0.02  # a smaller difference between two backends is a tie


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Geometric mean over processes with its 95 % t interval on the log scale.

    What differs between two fresh processes is the noise that counts, so the interval comes from
    between the processes. Times are in seconds, ``half_width`` is relative to the mean; there is no
    interval below ``FEWEST_PROCESSES``.
    """

    seconds: float
    low: float | None
    high: float | None
    half_width: float | None
    processes: int


def over_processes(seconds: Sequence[float]) -> Latency:
    """Return the latency of one case.

    Args:
        seconds: the latency of each process.

    """
    logs, n = [math.log(one) for one in seconds], len(seconds)
    mean = fmean(logs)
    low = high = half = None
    if n >= FEWEST_PROCESSES:
        from scipy.special import stdtrit

        reach = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * stdev(logs) / math.sqrt(n)
        low, high, half = math.exp(mean - reach), math.exp(mean + reach), math.sinh(reach)
    return Latency(seconds=math.exp(mean), low=low, high=high, half_width=half, processes=n)


def latencies_of(log: NDArray[np.float64]) -> list[Latency | None]:
    """Return the latencies of many cases at once.

    Args:
        log: log seconds, [case, process]; NaN where a process did not measure the case.

    Returns:
        A latency for each case, None where no process measured it.

    """
    import numpy as np
    from scipy.special import stdtrit

    count = np.isfinite(log).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(log, axis=1) / count
        variance = np.nansum((log - mean[:, None]) ** 2, axis=1) / (count - 1)
        reach = stdtrit(count - 1.0, (1 + CONFIDENCE) / 2) * np.sqrt(variance / count)
    parts = (np.exp(mean), np.exp(mean - reach), np.exp(mean + reach), np.sinh(reach), count)
    found: list[Latency | None] = []
    for seconds, low, high, half, n in zip(*(one.tolist() for one in parts), strict=True):
        sure = n >= FEWEST_PROCESSES
        found.append(
            Latency(
                seconds=seconds,
                low=low if sure else None,
                high=high if sure else None,
                half_width=half if sure else None,
                processes=n,
            )
            if n
            else None
        )
    return found


def is_tie(best: Latency, other: Latency, *, without_interval: float = SMALLEST_WIN) -> bool:
    """Return whether ``best`` is not certainly faster than ``other``.

    A win is a tie when it is below ``SMALLEST_WIN``, or when the two intervals overlap.

    Args:
        best: the faster of the two.
        other: the slower of the two.
        without_interval: the smallest win (a share) where one of them has no interval.

    """
    win = other.seconds / best.seconds - 1
    if best.high is None or other.low is None:
        return win < max(SMALLEST_WIN, without_interval)
    return win < SMALLEST_WIN or best.high >= other.low


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of values above zero, never beyond the values that it is of.

    Raises:
        ValueError: a value is not above zero.

    """
    mean = math.exp(math.fsum(map(math.log, values)) / len(values))
    # Of equal values exp(log(x)) may be off by the last digit.
    return min(max(mean, min(values)), max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanRatio:
    """Geometric mean of new over base: over ``n`` matched cases; ``missing`` lack one side."""

    ratio: float | None
    n: int
    missing: int


def mean_ratio(base: Sequence[Latency | None], new: Sequence[Latency | None]) -> MeanRatio:
    """Average new / base over the cases that both sides have, and count the others.

    Raises:
        ValueError: the two are not of one length.

    """
    pairs = list(zip(base, new, strict=True))
    logs = [
        math.log(n.seconds) - math.log(b.seconds)
        for b, n in pairs
        if b is not None and n is not None
    ]
    ratio = math.exp(math.fsum(logs) / len(logs)) if logs else None
    return MeanRatio(ratio=ratio, n=len(logs), missing=len(pairs) - len(logs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """One backend among others: geometric-mean latency relative to the fastest, over n problems.

    ``wins`` counts the problems in which it is the fastest of those that all finished.
    """

    label: str
    ratio: float
    n: int
    wins: int


def rank_backends(latencies: Mapping[str, Mapping[str, float]]) -> list[Rank]:
    """Rank backends over the problems that all of them finished, the fastest first.

    A problem that lacks a backend is left out for every backend: a mean over different populations
    ranks the populations.

    Args:
        latencies: for each problem, what each backend took, in any one unit.

    Returns:
        The ranks; empty with fewer than two backends, or when a backend finished nothing that all
        the others finished.

    """
    labels = sorted({label for one in latencies.values() for label in one})
    common = [one for one in latencies.values() if len(one) == len(labels)]
    if len(labels) < 2 or not common:  # noqa: PLR2004  one backend has no rank
        return []
    means = {label: geometric_mean([one[label] for one in common]) for label in labels}
    best = min(means.values())
    wins = {label: sum(min(one.values()) == one[label] for one in common) for label in labels}
    ranks = [
        Rank(label=label, ratio=mean / best, n=len(common), wins=wins[label])
        for label, mean in means.items()
    ]
    return sorted(ranks, key=lambda one: one.ratio)
