"""Differences of log latency: against scipy where it has the same, and what must not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from attnbench.stats.difference import centre, paired, unpaired
from attnbench.stats.prior import NO_PRIOR

LOGS = arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(3, 14)),
    elements=st.floats(-5, 5, width=32),
)


def draw(seed=0, shape=(6, 10)):
    return np.random.default_rng(seed).normal(0, 0.01, shape)


def test_an_untrimmed_interval_without_a_prior_is_students():
    rounds = draw()

    found = paired(rounds, prior=NO_PRIOR, trim=0)

    for row, low, high, p in zip(rounds, found.low, found.high, found.p_slower(), strict=True):
        expected = stats.ttest_1samp(row, 0, alternative="greater")
        interval = stats.ttest_1samp(row, 0).confidence_interval()
        assert (low, high) == pytest.approx((interval.low, interval.high))
        assert p == pytest.approx(expected.pvalue)


def test_an_unpaired_difference_without_a_prior_is_students_with_one_variance():
    base, new = draw(1), draw(2, (6, 7)) + 0.01

    found = unpaired(centre(base, trim=0), centre(new, trim=0), prior=NO_PRIOR)

    for old, now, low, p in zip(base, new, found.low, found.p_slower(), strict=True):
        expected = stats.ttest_ind(now, old, alternative="greater")
        assert p == pytest.approx(expected.pvalue)
        assert low == pytest.approx(stats.ttest_ind(now, old).confidence_interval().low)


def test_a_trimmed_mean_is_scipys_and_its_variance_is_yuens():
    values = draw(3, (5, 20))

    found = centre(values)

    assert found.mean == pytest.approx(stats.trim_mean(values, 0.1, axis=1))
    for row, variance in zip(values, found.variance, strict=True):
        winsorised = np.asarray(stats.mstats.winsorize(row, limits=(0.1, 0.1)))
        assert variance == pytest.approx(winsorised.var(ddof=1) * 19 / 15)


def test_one_disturbed_round_hardly_moves_a_trimmed_difference():
    rounds = draw()
    disturbed = rounds.copy()
    disturbed[:, 4] += 0.3

    assert paired(disturbed).estimate == pytest.approx(paired(rounds).estimate, abs=0.01)
    assert (paired(disturbed, trim=0).estimate > 0.02).all()


@given(rounds=LOGS)
def test_swapping_the_sides_changes_the_sign_alone(rounds):
    one, other = paired(rounds), paired(-rounds)

    assert other.estimate == pytest.approx(-one.estimate, nan_ok=True, abs=1e-12)
    assert other.se == pytest.approx(one.se, nan_ok=True, rel=1e-6)
    assert other.p_faster() == pytest.approx(one.p_slower(), nan_ok=True, abs=1e-6)


@given(base=LOGS, shift=st.floats(-20, 20))
def test_a_change_of_unit_cancels(base, shift):
    new = base[:, ::-1] + 0.01

    one = unpaired(centre(base), centre(new))
    other = unpaired(centre(base + shift), centre(new + shift))

    assert other.estimate == pytest.approx(one.estimate, abs=1e-9)
    assert other.se == pytest.approx(one.se, rel=1e-4, abs=1e-6)


@given(rounds=LOGS, data=st.data())
def test_the_order_of_rounds_and_of_cases_does_not_matter(rounds, data):
    columns = data.draw(st.permutations(range(rounds.shape[1])))
    rows = data.draw(st.permutations(range(rounds.shape[0])))

    one, other = paired(rounds), paired(rounds[rows][:, columns])

    assert other.estimate == pytest.approx(one.estimate[rows], abs=1e-12)
    assert other.se == pytest.approx(one.se[rows], rel=1e-6, abs=1e-12)


def test_values_that_are_not_there_are_left_out():
    rounds = draw()
    padded = np.full((6, 13), np.nan)
    padded[:, [0, 2, 3, 4, 5, 6, 7, 9, 11, 12]] = rounds

    assert paired(padded).estimate == pytest.approx(paired(rounds).estimate)
    assert paired(padded).se == pytest.approx(paired(rounds).se)


def test_a_case_without_a_second_value_has_no_interval():
    rounds = np.full((6, 4), np.nan)
    rounds[:5] = draw(shape=(5, 4))
    rounds[5, 0] = 0.5

    found = paired(rounds)

    assert found.estimate[5] == 0.5
    assert np.isnan(found.se[5])
    assert np.isfinite(found.se[:5]).all()


def test_identical_processes_have_an_interval_of_hardly_any_width():
    found = paired(np.zeros((8, 5)))

    assert (found.low <= 0).all()
    assert (found.high < 1e-4).all()
