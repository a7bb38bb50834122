"""The one number of a process and its in-process interval.

``latency`` is exp of the mean of the middle half of the log samples: on a quantised timer a median
jumps by whole ticks where this dithers, and spikes are gone as with a median. The interval is the
distribution-free one from order statistics (Hahn and Meeker, Statistical Intervals, 5.2); it says
how noisy the process was, never whether a change is real.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

ERROR_SHARE = 20  # one interval in 20 may miss: 95 %
FEW_SAMPLES = 8  # below this the middle half is one or two samples; the median is used


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Samples of one process, in the unit of the samples.

    ``low`` and ``high`` bound the centre at 95 % and are None below six samples, where no pair of
    order statistics reaches 95 %. ``noise`` is the interval's half-width relative to the latency.
    """

    latency: float
    low: float | None
    high: float | None
    median: float
    minimum: float
    p90: float
    n: int

    @property
    def noise(self) -> float | None:
        """Half-width of the in-process interval, relative."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / 2 / self.latency


def summarize(samples: Sequence[float]) -> Summary:
    """Summarise the samples of one process.

    Raises:
        ValueError: no sample, or one that is not finite and above zero.

    """
    if len(samples) == 0 or not all(math.isfinite(x) and x > 0 for x in samples):
        raise ValueError("a summary needs samples that are finite and above zero")
    ordered = sorted(samples)
    n = len(ordered)
    low = high = None
    if (ranks := interval_ranks(n)) is not None:
        low, high = ordered[ranks[0]], ordered[ranks[1]]
    return Summary(
        latency=_centre(ordered),
        low=low,
        high=high,
        median=_quantile(ordered, 0.5),
        minimum=ordered[0],
        p90=_quantile(ordered, 0.9),
        n=n,
    )


def _centre(ordered: Sequence[float]) -> float:
    n = len(ordered)
    if n < FEW_SAMPLES:
        return _quantile(ordered, 0.5)
    middle = ordered[n // 4 : n - n // 4]
    return math.exp(math.fsum(map(math.log, middle)) / len(middle))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Linear between order statistics, as numpy's default."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


@lru_cache(maxsize=1024)
def interval_ranks(n: int) -> tuple[int, int] | None:
    """Return the 0-based ranks whose order statistics cover the median at 95 %, or None.

    The narrowest symmetric pair (r, n - 1 - r): it covers with probability
    1 - 2·P(Binomial(n, 1/2) ≤ r). Counted in whole numbers, which no n overflows.
    """
    outcomes, tail, rank = 2**n, 0, -1
    for r in range(n // 2):
        tail += math.comb(n, r)
        if 2 * tail * ERROR_SHARE > outcomes:
            break
        rank = r
    return None if rank < 0 else (rank, n - 1 - rank)
