"""Samples as text: a histogram of their values and a line of their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

_BARS = "▁▂▃▄▅▆▇█"
_BINS = 8
_BAR_WIDTH = 40


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """Draw values in their order; where there are more than ``width``, each mark is a mean."""
    count = min(width, len(values))
    edges = [round(i * len(values) / count) for i in range(count + 1)]
    means = [sum(values[low:high]) / (high - low) for low, high in pairwise(edges)]
    low, span = min(means), max(means) - min(means)
    if span == 0:
        return _BARS[0] * count
    return "".join(
        _BARS[min(int((one - low) / span * len(_BARS)), len(_BARS) - 1)] for one in means
    )


def histogram(
    values: Sequence[float], bins: int = _BINS
) -> Iterator[tuple[float, float, int, str]]:
    """Yield each bin's two ends, how many values are in it, and a bar for that."""
    low, high = min(values), max(values)
    if low == high:
        yield low, high, len(values), "█" * _BAR_WIDTH
        return
    step = (high - low) / bins
    counts = [0] * bins
    for one in values:
        counts[min(int((one - low) / step), bins - 1)] += 1
    for index, count in enumerate(counts):
        bar = "█" * round(_BAR_WIDTH * count / max(counts))
        yield low + index * step, low + (index + 1) * step, count, bar
