"""Forty recorded processes of one code (tests/fixtures/ab_processes.parquet), resampled.

Adjacent processes are the two sides of a round. Which side was the base was a matter of order
alone, so that flipping a round's sign, and taking rounds in any order, gives another unchanged
``ab``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attnbench.analysis.comparison import matched
from attnbench.analysis.sides import load_side
from attnbench.stats.decision import confirm, minimum_effect, screen
from attnbench.stats.difference import bootstrap_interval, paired

FIXTURE = Path(__file__).parents[2] / "fixtures" / "ab_processes.parquet"
LIMIT = 0.05  # that of suites/ab.yaml
ROUNDS = 8
FRESH = 16  # what one suspect of eight cases gets
RESAMPLES = 400


@pytest.fixture(scope="module")
def log():
    """Log latencies [case, process]."""
    (one,) = matched([load_side(FIXTURE)])
    return one.log[0]


def resampled(log, seed):
    """Yield the rounds of unchanged runs of ``ab``, [case, round]."""
    rng = np.random.default_rng(seed)
    gaps = log[:, 1::2] - log[:, 0::2]
    count = gaps.shape[1]
    for _ in range(RESAMPLES):
        yield gaps[:, rng.permutation(count)] * rng.choice([-1, 1], count)


def test_the_recording_is_whole_and_small(log):
    assert log.shape == (8, 40)
    assert np.isfinite(log).all()
    assert FIXTURE.stat().st_size <= 1_000_000


def test_unchanged_processes_turn_at_most_one_suite_in_twenty_red(log):
    red = 0
    for rounds in resampled(log, 1):
        screened = screen(rounds[:, :ROUNDS], LIMIT)
        _, words = confirm(screened, rounds[screened.suspects][:, ROUNDS:], LIMIT)
        red += "slower" in words

    # Of 400: at most 5 % and, by chance, two standard errors more.
    assert red / RESAMPLES <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / RESAMPLES)


def drawn(log, seed, count):
    """Yield so many runs with fresh rounds, drawn with replacement: twenty are too few to part.

    Parted, rounds that a run's first stage was spared would all wait for its second.
    """
    rng = np.random.default_rng(seed)
    gaps = log[:, 1::2] - log[:, 0::2]
    for _ in range(count):
        rounds = gaps[:, rng.integers(0, gaps.shape[1], ROUNDS + FRESH)]
        yield rounds * rng.choice([-1, 1], ROUNDS + FRESH)


@pytest.mark.parametrize("rounds", [8, 16])
def test_its_intervals_hold_what_is_true(log, rounds):
    hits = []
    for gaps in resampled(log, 2):
        found = paired(gaps[:, :rounds])
        hits.append((found.low <= 0) & (found.high >= 0))

    assert 0.93 <= np.mean(hits) <= 0.99


def test_what_is_between_processes_is_not_seen_inside_them(log):
    """The samples of a process, taken for replication, give intervals that are far too narrow."""
    side = load_side(FIXTURE)
    table = side.table.select(["noise"]).to_pydict()["noise"]
    inside = np.median([one for one in table if one is not None])
    between = np.median(np.std(log[:, 1::2] - log[:, 0::2], axis=1, ddof=1)) / np.sqrt(2)

    assert between > inside / 1.96


def test_a_planted_slowdown_beyond_what_is_seen_is_found(log):
    """Planted into each case in turn, at 1.5 times what its unchanged rounds say that they find."""
    found = np.zeros(len(log))
    runs = 100
    for rounds in drawn(log, 3, runs):
        effects = minimum_effect(paired(rounds[:, :ROUNDS]), LIMIT, family=len(rounds))
        for case, effect in enumerate(effects):
            slower = rounds.copy()
            slower[case] += np.log1p(1.5 * effect)
            screened = screen(slower[:, :ROUNDS], LIMIT)
            _, words = confirm(screened, slower[screened.suspects][:, ROUNDS:], LIMIT)
            found[case] += words[case] == "slower"

    found /= runs
    assert found.mean() >= 0.9
    # A case whose processes have two speeds is now and then seen in one of them alone.
    assert found.min() >= 0.7


def test_resampling_processes_agrees_with_the_interval_where_both_know_enough(log):
    for row in log:
        base, new = np.exp(row[0::2]), np.exp(row[1::2])
        low, high = np.log(bootstrap_interval(base, new, paired=True))
        one = paired((row[1::2] - row[0::2])[None, :], trim=0)

        assert low <= one.estimate[0] <= high
        assert (high - low) == pytest.approx(2 * one.reach[0], rel=0.35)
