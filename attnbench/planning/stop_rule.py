"""The stop rule: when one process has taken enough samples of a case.

It only limits the time spent; confidence intervals come from the variation between processes. The
rule looks only at precision and time, never at a difference between backends, so it favours none.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attnbench.method import Measure
from attnbench.stats.summary import summarize

MIN_SAMPLES = 10
MAX_SAMPLES = 200
FEWEST_SAMPLES = 3  # never fewer, however slow a call is
# Numbers of samples at which the interval is checked, each about a quarter more than the last.
# Checking after every sample would stop at intervals that are narrow by chance: only 92 % of such
# 95 % intervals cover the centre. With these looks at least 94 % do.
LOOKS = (10, 12, 16, 20, 26, 32, 40, 50, 64, 80, 100, 128, 160)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """The stop rule of one case in one process; times in seconds.

    ``precise``: the 95 % in-process half-width is under ``max_noise``. ``samples``: 200 are in.
    ``time``: ``sample_s`` has passed and 10 are in. ``cut``: the case's own limit has passed and 3
    are in, because a single call is slow.
    """

    sample_s: float
    max_noise: float
    limit_s: float

    @classmethod
    def of(cls, measure: Measure) -> Stopping:
        """Take the rule from a suite's measure block."""
        limit_s = max(measure.sample_s, measure.case_limit_s)
        return cls(sample_s=measure.sample_s, max_noise=measure.max_noise, limit_s=limit_s)

    def reason(self, samples: Sequence[float], elapsed_s: float) -> str | None:
        """Return why sampling stops now, or None to continue."""
        n = len(samples)
        if n < FEWEST_SAMPLES:
            return None
        if n >= MAX_SAMPLES:
            return "samples"
        if n < MIN_SAMPLES:
            return "cut" if elapsed_s >= self.limit_s else None
        if n in LOOKS:
            noise = summarize(samples).noise
            if noise is not None and noise < self.max_noise:
                return "precise"
        return "time" if elapsed_s >= self.sample_s else None

    def take(
        self, sample: Callable[[], float], clock_ns: Callable[[], int]
    ) -> tuple[list[float], str]:
        """Sample until the rule says stop.

        Args:
            sample: takes one sample, in microseconds.
            clock_ns: the host's clock.

        Returns:
            The samples and the reason why sampling stopped.

        """
        samples: list[float] = []
        gc.collect()
        gc.disable()  # a collection inside a sample would be charged to the backend
        try:
            start = clock_ns()
            while not (stop := self.reason(samples, (clock_ns() - start) * 1e-9)):
                samples.append(sample())
        finally:
            gc.enable()
        return samples, stop
