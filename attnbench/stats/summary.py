"""The one number of a process, and its in-process interval: for one process, or for many at once.

``latency`` is exp of the mean of the middle half of the log samples: on a quantised timer a median
jumps by whole ticks where this dithers, and spikes are gone as with a median. The interval is the
distribution-free one from order statistics (Hahn and Meeker, Statistical Intervals, 5.2); it says
how noisy the process was, never whether a change is real.

The standard library is enough for one process; ``log_centres`` needs numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ERROR_SHARE = 20  # one interval in 20 may miss: 95 %
FEW_SAMPLES = 8  # below this the middle half is one or two samples; the median is used
NO_SAMPLE, BAD_SAMPLE = 1, 2
_ROWS_AT_ONCE = 4096  # so that the sorted copy stays small


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

    Args:
        samples: times of one unit, in any order.

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


@dataclass(frozen=True, slots=True)
class Centres:
    """Log latency of each row, in the unit of the samples; NaN where ``problem`` says why.

    ``problem`` is 0 where all is well, ``NO_SAMPLE`` where a row has no sample, ``BAD_SAMPLE``
    where one is not finite and above zero.
    """

    log: NDArray[np.float64]
    problem: NDArray[np.int8]


def log_centres(samples: NDArray[np.float32], offsets: NDArray[np.int64]) -> Centres:
    """Return the log of ``summarize(row).latency`` for a hundred thousand rows at once.

    Args:
        samples: the samples of all rows, one row after the other, in any unit.
        offsets: row i is ``samples[offsets[i]:offsets[i + 1]]``; one more than there are rows.

    """
    import numpy as np

    counts = np.diff(offsets)
    log = np.full(len(counts), np.nan)
    problem = np.where(counts == 0, NO_SAMPLE, 0).astype(np.int8)
    # Rows of one length make a rectangular block, which numpy sorts in one call.
    for count in np.unique(counts[counts > 0]):
        rows = np.flatnonzero(counts == count)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            block = samples[offsets[part][:, None] + np.arange(count)]
            good = (np.isfinite(block) & (block > 0)).all(axis=1)
            problem[part[~good]] = BAD_SAMPLE
            log[part[good]] = _log_centres(block[good])
    return Centres(log, problem)


def _log_centres(block: NDArray[np.float32]) -> NDArray[np.float64]:
    import numpy as np

    count = block.shape[1]
    if count < FEW_SAMPLES:
        middle: NDArray[np.float64] = np.log(np.median(block.astype(np.float64), axis=1))
        return middle
    low, high = count // 4, count - count // 4
    # Sorting floats is vectorised; partitioning by two places takes ten times as long.
    middle_half = np.sort(block, axis=1)[:, low:high]
    centre: NDArray[np.float64] = np.log(middle_half.astype(np.float64)).mean(axis=1)
    return centre
