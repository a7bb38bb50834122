"""The one number of a process for a hundred thousand processes at once.

The same rule as ``summary.summarize`` on one list: exp of the mean of the middle half of the log
samples, and the median below eight samples. A verdict reads samples alone and derives the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnbench.stats.summary import FEW_SAMPLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS_AT_ONCE = 4096  # so that the sorted copy stays small


@dataclass(frozen=True, slots=True)
class Centres:
    """Log latency of each row, in the unit of the samples; NaN where ``fault`` says why.

    ``fault`` is 0 where all is well, 1 where a row has no sample, 2 where one is not finite and
    above zero.
    """

    log: NDArray[np.float64]
    fault: NDArray[np.int8]


NO_SAMPLE, BAD_SAMPLE = 1, 2


def log_centres(samples: NDArray[np.float32], offsets: NDArray[np.int64]) -> Centres:
    """Summarise rows ``samples[offsets[i]:offsets[i + 1]]``."""
    counts = np.diff(offsets)
    log = np.full(len(counts), np.nan)
    fault = np.where(counts == 0, NO_SAMPLE, 0).astype(np.int8)
    for count in np.unique(counts[counts > 0]):
        rows = np.flatnonzero(counts == count)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            block = samples[offsets[part][:, None] + np.arange(count)]
            good = (np.isfinite(block) & (block > 0)).all(axis=1)
            fault[part[~good]] = BAD_SAMPLE
            log[part[good]] = _centre(block[good])
    return Centres(log, fault)


def _centre(block: NDArray[np.float32]) -> NDArray[np.float64]:
    count = block.shape[1]
    if count < FEW_SAMPLES:
        middle: NDArray[np.float64] = np.log(np.median(block.astype(np.float64), axis=1))
        return middle
    low, high = count // 4, count - count // 4
    # Sorting floats is vectorised; partitioning by two places takes ten times as long.
    middle_half = np.sort(block, axis=1)[:, low:high]
    centre: NDArray[np.float64] = np.log(middle_half.astype(np.float64)).mean(axis=1)
    return centre
