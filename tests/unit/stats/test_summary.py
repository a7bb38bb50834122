from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from attnbench.stats.summary import Summary, interval_ranks, summarize

samples = st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=60)


@given(samples)
def test_quantiles_are_numpys(values):
    summary = summarize(values)

    assert summary.median == pytest.approx(np.median(values))
    assert summary.p90 == pytest.approx(np.quantile(values, 0.9))
    assert (summary.minimum, summary.n) == (min(values), len(values))


@given(st.lists(st.floats(1e-3, 1e9), min_size=8, max_size=200))
def test_the_latency_is_scipys_trimmed_mean_of_the_logs(values):
    assert summarize(values).latency == pytest.approx(
        math.exp(stats.trim_mean(np.log(values), 0.25)), rel=1e-12
    )


@given(st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=7))
def test_the_latency_of_few_samples_is_their_median(values):
    summary = summarize(values)

    assert summary.latency == summary.median


@given(samples, st.sampled_from([1e-6, 0.5, 3.0, 1e3]))
def test_another_unit_changes_nothing_but_the_unit(values, factor):
    one, other = summarize(values), summarize([factor * value for value in values])

    for name in ("latency", "median", "minimum", "p90", "low", "high"):
        if getattr(one, name) is None:
            assert getattr(other, name) is None
        else:
            assert getattr(other, name) == pytest.approx(factor * getattr(one, name), rel=1e-9)
    if one.noise is not None:
        assert other.noise == pytest.approx(one.noise, rel=1e-9, abs=1e-12)


@given(samples, st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(values, random):
    shuffled = random.sample(values, len(values))

    assert summarize(shuffled) == summarize(values)


@given(samples)
def test_the_latency_lies_between_the_samples(values):
    summary = summarize(values)

    assert min(values) * (1 - 1e-12) <= summary.latency <= max(values) * (1 + 1e-12)


def test_equal_samples_are_their_own_summary():
    summary = summarize([5.0] * 20)

    assert summary == Summary(
        latency=summary.latency, low=5, high=5, median=5, minimum=5, p90=5, n=20
    )
    assert summary.latency == pytest.approx(5)
    assert summary.noise == 0


def test_a_quarter_of_spikes_moves_nothing():
    quiet = [10.0 + 0.01 * place for place in range(30)]

    assert summarize([*quiet, *[500.0] * 9]).latency == pytest.approx(
        summarize(quiet).latency, rel=0.01
    )


def test_a_coarse_timer_does_not_make_the_latency_jump_by_its_ticks():
    few, many = ([1.0] * (40 - ones) + [2.0] * ones for ones in (19, 21))

    assert summarize(few).median == 1
    assert summarize(many).median == 2
    assert summarize(many).latency / summarize(few).latency < 1.1


def test_the_ranks_are_the_narrowest_that_cover_95_percent_by_the_binomial():
    for n in range(1, 400):
        cover = 1 - 2 * stats.binom.cdf(np.arange(n // 2), n, 0.5)
        enough = np.flatnonzero(cover >= 0.95)
        expected = (enough[-1], n - 1 - enough[-1]) if enough.size else None

        assert interval_ranks(n) == expected


def test_below_six_samples_nothing_covers_95_percent():
    assert [n for n in range(12) if interval_ranks(n) is None] == [0, 1, 2, 3, 4, 5]
    assert summarize([1.0] * 5).low is None
    assert summarize([1.0] * 5).noise is None
    assert interval_ranks(6) == (0, 5)


def test_many_samples_overflow_nothing():
    low, high = interval_ranks(5000)

    assert 1 - 2 * stats.binom.cdf(low, 5000, 0.5) >= 0.95
    assert high == 4999 - low


@pytest.mark.parametrize("n", [6, 10, 30, 100, 200])
def test_the_interval_covers_the_true_median_as_often_as_it_says(n):
    draws = np.random.default_rng(20240607).lognormal(3.0, 0.2, size=(4000, n))
    low, high = interval_ranks(n)
    ordered = np.sort(draws, axis=1)
    covered = np.mean((ordered[:, low] <= math.exp(3.0)) & (math.exp(3.0) <= ordered[:, high]))
    promised = 1 - 2 * stats.binom.cdf(low, n, 0.5)

    assert covered == pytest.approx(promised, abs=4 * math.sqrt(0.05 * 0.95 / 4000))
    assert promised >= 0.95


def test_the_interval_is_made_of_samples():
    values = list(np.random.default_rng(5).lognormal(0, 0.1, size=31))
    summary = summarize(values)

    assert {summary.low, summary.high} <= set(values)
    assert summary.low <= summary.median <= summary.high
    assert summary.noise == pytest.approx((summary.high - summary.low) / 2 / summary.latency)


@pytest.mark.parametrize(
    "values", [[], [0.0], [-1.0], [1.0, math.nan], [1.0, math.inf], np.array([]), [1, 0]]
)
def test_what_cannot_be_a_time_is_refused(values):
    with pytest.raises(ValueError, match="finite and above zero"):
        summarize(values)


def test_samples_may_be_an_array():
    values = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 6.0])

    assert summarize(values) == summarize(values.tolist())
