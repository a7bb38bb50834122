"""Against stored baselines: what moves between sessions is part of the error."""

from __future__ import annotations

import numpy as np
import pytest

from attnbench.stats.decision import minimum_effect, processes_needed, verdicts
from attnbench.stats.difference import bootstrap_interval, centre
from attnbench.stats.history import against_baselines
from attnbench.stats.summary import BAD_SAMPLE, NO_SAMPLE, log_centres, summarize


def run(seed, cases=40, processes=6, *, shift=0.0, slowdown=0.0):
    """Centres of a run: one in ten cases is slower."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0, 0.002, (cases, 1))
    slow = np.zeros((cases, 1))
    slow[::10] = slowdown
    return centre(rng.normal(0, 0.003, (cases, processes)) + own + slow + shift)


def test_more_baselines_make_a_finer_difference():
    widths = [
        np.median(against_baselines([run(i) for i in range(count)], run(99)).difference.se)
        for count in (1, 5, 20)
    ]

    assert widths[0] > widths[1] > widths[2]


def test_a_slower_case_is_found_among_those_that_are_not():
    base = [run(i) for i in range(10)]

    found = against_baselines(base, run(99, slowdown=0.05))

    words = verdicts(found.difference, 0.02)
    assert words[::10] == ["slower"] * 4
    assert words.count("slower") == 4


def test_a_shift_of_the_whole_suite_needs_baselines_that_tell_what_shifts_are_like():
    base, moved = [run(i) for i in range(10)], run(99, shift=0.05)

    many, one = against_baselines(base, moved), against_baselines(base[:1], moved)

    assert one.shift == pytest.approx(0.05, abs=0.005)
    assert "slower" not in verdicts(one.difference, 0.02)
    assert verdicts(many.difference, 0.02) == ["slower"] * 40


def test_cases_that_lie_further_apart_than_ever_widen_every_interval():
    base = [run(i) for i in range(10)]
    rng = np.random.default_rng(3)
    restless = run(99)
    restless.mean[:] += rng.normal(0, 0.02, 40)

    calm, today = against_baselines(base, run(99)), against_baselines(base, restless)

    assert np.median(today.difference.se) > 3 * np.median(calm.difference.se)
    assert verdicts(today.difference, 0.02).count("slower") <= 1
    assert np.count_nonzero(restless.mean > 0.02) > 5  # as many as it would else call slower


def test_one_baseline_of_few_cases_still_has_the_declared_error():
    found = against_baselines([run(1, cases=2)], run(2, cases=2))

    assert (found.difference.se > 0.005).all()


def test_a_case_that_a_baseline_lacks_is_judged_by_the_others():
    base = [run(i) for i in range(6)]
    base[0].mean[3] = np.nan
    new = run(99)
    new.mean[7] = np.nan

    found = against_baselines(base, new)

    assert found.runs[3] == 5
    assert np.isfinite(found.difference.se[3])
    assert np.isnan(found.difference.estimate[7])


def test_the_smallest_effect_is_found_four_times_in_five():
    rng = np.random.default_rng(5)
    found = powers = 0
    for _ in range(60):
        base = [centre(rng.normal(0, 0.004, (30, 8))) for _ in range(8)]
        values = rng.normal(0, 0.004, (30, 8))
        effect = minimum_effect(
            against_baselines(base, centre(values)).difference, 0.02, family=30
        )[0]
        values[0] += np.log1p(effect)
        words = verdicts(against_baselines(base, centre(values)).difference, 0.02)
        found += words[0] == "slower"
        powers += 1

    assert found / powers >= 0.7


def test_processes_needed_are_more_where_the_limit_is_nearer_and_endless_on_it():
    difference = against_baselines([run(i) for i in range(10)], run(99)).difference

    near = processes_needed(difference, 0.015)
    far = processes_needed(difference, 0.10)

    assert (far <= near).all()
    at_the_limit = processes_needed(difference, np.expm1(difference.estimate))
    assert np.isinf(at_the_limit).all()


def test_the_bootstrap_agrees_with_a_t_interval_where_both_hold():
    rng = np.random.default_rng(6)
    base, new = (np.exp(rng.normal(m, 0.01, 40)) for m in (0.0, 0.03))

    low, high = bootstrap_interval(base.tolist(), new.tolist())

    assert low < 1.03 < high
    assert high - low == pytest.approx(2 * 1.99 * 0.01 * np.sqrt(2 / 40), rel=0.25)
    assert bootstrap_interval([1.0, 2.0], [1.0, 2.0]) is None


def test_the_centres_of_many_processes_are_those_of_one_list_each():
    rng = np.random.default_rng(7)
    rows = [rng.lognormal(3, 0.1, n).astype(np.float32) for n in (3, 7, 8, 20, 21, 200, 20)]
    offsets = np.cumsum([0, *map(len, rows)])

    found = log_centres(np.concatenate(rows), offsets)

    expected = [np.log(summarize(row.tolist()).latency) for row in rows]
    assert found.log == pytest.approx(expected)
    assert not found.problem.any()


def test_rows_without_a_sample_or_with_an_impossible_one_are_marked():
    samples = np.array([1, 2, 3, np.nan, 1, 0, 2], dtype=np.float32)

    found = log_centres(samples, np.array([0, 3, 3, 5, 7]))

    assert found.problem.tolist() == [0, NO_SAMPLE, BAD_SAMPLE, BAD_SAMPLE]
    assert np.isnan(found.log[1:]).all()
