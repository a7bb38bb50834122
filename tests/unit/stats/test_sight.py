"""What a run of ab says that it finds, it finds: small simulated suites, both stages."""

from __future__ import annotations

import numpy as np
import pytest

from attnbench.stats.decision import confirm, confirm_rounds, minimum_effect, screen
from attnbench.stats.difference import paired

CASES, ROUNDS, LIMIT, SUITES = 8, 8, 0.02, 150


def verdict(noise, machine, slowed, case):
    """Both stages of one run; the verdict of one case."""
    screened = screen(noise.rounds(machine, ROUNDS, slowed), LIMIT)
    suspects = screened.suspects
    fresh = np.empty((0, 0))
    if count := max(
        ROUNDS if suspects.any() else 0, confirm_rounds(int(suspects.sum()), 2 * CASES)
    ):
        fresh = noise.rounds(machine, count, slowed, only=suspects)
    _, words = confirm(screened, fresh, LIMIT)
    return words[case]


def verdicts_at(noise, regime, share, seed):
    """Plant ``share(stated effect)`` into one case of each of many suites."""
    rng = np.random.default_rng(seed)
    words = []
    for _ in range(SUITES):
        machine = noise.Machine(noise.REGIMES[regime], CASES, rng)
        unchanged = paired(noise.rounds(machine, ROUNDS))
        effects = minimum_effect(unchanged, LIMIT, family=CASES)
        case = int(rng.integers(CASES))
        slowed = np.zeros(CASES)
        slowed[case] = np.log1p(share(effects[case]))
        words.append(verdict(noise, machine, slowed, case))
    return words


@pytest.mark.parametrize("regime", ["quiet", "typical", "noisy"])
def test_half_as_much_again_as_what_it_states_is_found_nine_times_in_ten(noise, regime):
    words = verdicts_at(noise, regime, lambda effect: 1.5 * effect, 1)

    assert words.count("slower") / SUITES >= 0.9


@pytest.mark.parametrize("regime", ["quiet", "typical", "noisy"])
def test_between_the_limit_and_that_it_is_never_the_same(noise, regime):
    words = verdicts_at(noise, regime, lambda effect: (LIMIT + effect) / 2, 2)

    # A 95 % interval that ends below the limit, where the truth is above, is one in forty at most.
    assert words.count("same") / SUITES <= 0.025
    assert "faster" not in words
