"""On simulated processes a 95 % interval holds the truth in 94 to 96 % of the cases."""

from __future__ import annotations

import numpy as np
import pytest

from attnbench.stats.difference import centre, paired
from attnbench.stats.history import against_baselines


@pytest.mark.parametrize("regime", ["quiet", "typical", "noisy"])
@pytest.mark.parametrize("rounds", [5, 10, 20])
def test_intervals_of_interleaved_rounds_are_calibrated(noise, regime, rounds):
    rng = np.random.default_rng(1)
    hits = []
    for _ in range(40):
        machine = noise.Machine(noise.REGIMES[regime], 200, rng)
        found = paired(noise.rounds(machine, rounds))
        hits.append((found.low <= 0) & (found.high >= 0))

    assert 0.94 <= np.mean(hits) <= 0.96


@pytest.mark.parametrize("regime", ["quiet", "typical", "noisy"])
@pytest.mark.parametrize("baselines", [1, 3, 20])
def test_intervals_against_stored_baselines_are_never_too_narrow(noise, regime, baselines):
    rng = np.random.default_rng(2)
    hits = []
    for _ in range(30):
        machine = noise.Machine(noise.REGIMES[regime], 100, rng)
        runs = [
            centre(machine.session(6).processes(range(6)), fewest=5) for _ in range(baselines + 1)
        ]
        found = against_baselines(runs[:-1], runs[-1]).difference
        hits.append((found.low <= 0) & (found.high >= 0))

    assert np.mean(hits) >= 0.94
