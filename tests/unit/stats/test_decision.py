"""Verdicts: what may be called slower, what is proven the same, what stays unclear."""

from __future__ import annotations

import numpy as np
import pytest

from attnbench.stats.decision import adjusted, confirm, confirm_rounds, screen, verdicts
from attnbench.stats.difference import Difference


def difference(estimate, se, df=20.0):
    estimate = np.asarray(estimate, dtype=float)
    full = np.full(estimate.shape, se) if np.isscalar(se) else np.asarray(se, dtype=float)
    return Difference(
        estimate=estimate,
        se=full,
        df=np.full(estimate.shape, df),
        kept=np.full(estimate.shape, 5.0),
        process_variance=full**2,
        fixed_variance=np.zeros(estimate.shape),
    )


def test_each_verdict_has_its_place():
    found = difference([0.05, -0.05, 0.0, 0.019, 0.03], [0.002, 0.002, 0.002, 0.002, 0.02])

    assert verdicts(found, 0.02) == ["slower", "faster", "same", "unclear", "unclear"]


def test_what_is_real_but_smaller_than_the_limit_is_never_slower():
    assert verdicts(difference([0.012], 0.0001), 0.02) == ["same"]
    assert verdicts(difference([0.0195], 0.001), 0.02) == ["unclear"]


def test_a_case_without_an_interval_is_unclear():
    assert verdicts(difference([0.5], np.nan), 0.02) == ["unclear"]


def test_limits_may_differ_by_case():
    found = difference([0.03, 0.03], 0.001)

    assert verdicts(found, np.array([0.02, 0.05])) == ["slower", "same"]


def test_a_limit_of_zero_or_below_the_margin_is_taken_at_its_word():
    found = difference([0.003, 0.0], 0.0005)

    assert verdicts(found, 0.002)[0] == "unclear"
    assert verdicts(difference([0.004], 0.0001), 0.002) == ["slower"]


def test_two_hundred_questions_need_more_proof_than_one():
    lone = difference([0.03], 0.008)
    crowd = difference([0.03, *[0.0] * 199], 0.008)

    assert verdicts(lone, 0.02) == ["slower"]
    assert "slower" not in verdicts(crowd, 0.02)


def test_a_suspect_is_judged_by_fresh_rounds_alone():
    rng = np.random.default_rng(3)
    first = rng.normal(0, 0.004, (40, 8))
    first[0] += 0.06  # real
    first[1] += 0.06  # a fluke of the first rounds
    screened = screen(first, 0.02)
    assert screened.suspects[:2].all()
    fresh = rng.normal(0, 0.004, (int(screened.suspects.sum()), 12))
    fresh[0] += 0.06

    final, words = confirm(screened, fresh, 0.02)

    assert words[0] == "slower"
    assert words[1] in ("same", "unclear")
    assert words.count("slower") == 1
    assert final.estimate[1] == pytest.approx(0, abs=0.01)


def test_without_a_suspect_nothing_is_slower_and_improvements_are_seen():
    rng = np.random.default_rng(4)
    first = rng.normal(0, 0.004, (40, 8))
    first[5] -= 0.06
    screened = screen(first, 0.02)

    _, words = confirm(screened, np.empty((0, 0)), 0.02)

    assert not screened.suspects.any()
    assert words[5] == "faster"
    assert "slower" not in words


@pytest.mark.parametrize(
    ("suspects", "affordable", "rounds"), [(0, 400, 0), (10, 400, 30), (25, 400, 16), (100, 400, 6)]
)
def test_the_rounds_of_a_confirmation(suspects, affordable, rounds):
    assert confirm_rounds(suspects, affordable) == rounds


def test_adjusting_is_benjamini_and_hochbergs_step_up():
    p = np.array([0.01, 0.04, 0.03, 0.005])

    assert adjusted(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert adjusted(np.array([])).size == 0
