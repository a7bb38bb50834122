"""The prior of variances: it finds what variances were drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from attnbench.stats.prior import MOST_DF, NO_PRIOR, fit_prior, moderated


@pytest.mark.parametrize("df", [4.0, 8.0])
def test_the_prior_finds_what_the_variances_were_drawn_from(df):
    rng = np.random.default_rng(1)
    true = 0.01**2 * df / rng.chisquare(df, 5000)
    seen = true * rng.chisquare(7, 5000) / 7

    prior = fit_prior(seen, np.full(5000, 7.0))

    assert prior.df == pytest.approx(df, rel=0.15)
    assert prior.variance == pytest.approx(0.01**2, rel=0.05)


def test_equal_variances_lean_on_each_other_as_far_as_they_may():
    rng = np.random.default_rng(1)
    seen = rng.chisquare(7, 300) / 7

    assert fit_prior(seen, np.full(300, 7.0)).df == MOST_DF


def test_few_cases_have_no_prior_and_keep_their_own_variance():
    seen, df = np.array([1.0, 4.0, 9.0]), np.full(3, 4.0)

    prior = fit_prior(seen, df)

    assert prior == NO_PRIOR
    variance, total = moderated(seen, df, prior)
    assert variance == pytest.approx(seen)
    assert total == pytest.approx(df)


def test_a_moderated_variance_lies_between_its_own_and_the_prior():
    rng = np.random.default_rng(2)
    seen, df = 0.01**2 * rng.chisquare(3, 50) / 3, np.full(50, 3.0)
    prior = fit_prior(seen, df)

    variance, total = moderated(seen, df, prior)

    low, high = np.minimum(seen, prior.variance), np.maximum(seen, prior.variance)
    assert ((variance >= low - 1e-18) & (variance <= high + 1e-18)).all()
    assert total == pytest.approx(df + prior.df)


def test_a_variance_of_zero_does_not_spoil_the_others():
    seen = np.array([0.0, *np.full(20, 1e-4)])

    prior = fit_prior(seen, np.full(21, 4.0))

    assert np.isfinite(prior.variance)
    assert prior.variance > 0
