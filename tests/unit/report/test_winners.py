"""Wins, ties and the verdict."""

from __future__ import annotations

import pytest

from attnbench.report.points import gather
from attnbench.report.winners import rankings, rules, verdict
from attnbench.store import load


@pytest.fixture
def ranking(made):
    """The one ranking between sdpa at 100 µs and naive at some latency."""

    def make(naive_us, *, processes=3, noise=0.0001):
        problem = made.decode()
        rows = [
            *made.ok_rows(problem, "sdpa", latency_us=100.0, processes=processes, noise=noise),
            *made.ok_rows(problem, "naive", latency_us=naive_us, processes=processes, noise=noise),
        ]
        (found,) = rankings(gather(load(made.run(rows))))
        return found

    return make


def test_a_clear_win_has_a_winner_and_a_margin(ranking):
    found = ranking(150.0)

    assert found.winner == "sdpa"
    assert found.margin == pytest.approx(0.5, rel=0.01)


def test_a_win_under_two_percent_is_a_tie_however_sure_it_is(ranking):
    found = ranking(101.5)

    assert found.winner is None
    assert found.tied == ("sdpa", "naive")


def test_overlapping_intervals_are_a_tie_however_large_the_win(ranking):
    found = ranking(130.0, noise=1.0)

    assert found.best.latency.high > found.points[1].latency.low
    assert found.winner is None


def test_without_intervals_only_two_percent_decide(ranking):
    found = ranking(130.0, processes=2, noise=0.01)

    assert found.best.latency.low is None
    assert found.winner == "sdpa"


def test_the_only_problem_may_be_a_tie(made):
    rows = [
        *made.ok_rows(made.decode(), "sdpa", latency_us=100.0),
        *made.ok_rows(made.decode(), "naive", latency_us=101.0),
    ]
    points = gather(load(made.run(rows)))

    assert verdict(points, rankings(points)) == "In decode the only problem is a tie."


def test_the_only_backend_has_not_won(made):
    rows = [
        *made.ok_rows(made.decode(), "sdpa"),
        made.other_row(made.decode(), "naive", "oom", "out of memory"),
    ]
    points = gather(load(made.run(rows)))
    (found,) = rankings(points)

    assert found.has_one_backend
    assert found.winner is None
    assert verdict(points, [found]).startswith("Only sdpa was measured: 1 problem")


def test_a_case_with_one_bad_process_wins_nothing(made):
    ok = list(made.ok_rows(made.decode(), "sdpa", latency_us=10.0))
    bad = {**made.other_row(made.decode(), "sdpa", "incorrect", "wrong"), "process": 3}
    naive = made.ok_rows(made.decode(), "naive", latency_us=90.0)
    (found,) = rankings(gather(load(made.run([*ok, bad, *naive]))))

    assert [point.backend for point in found.points] == ["naive"]


def test_the_verdict_counts_each_phase_by_itself(made):
    rows = []
    for problem, fast in ((made.decode(), "sdpa"), (made.prefill(), "naive")):
        for backend in ("sdpa", "naive"):
            rows += made.ok_rows(problem, backend, latency_us=50.0 if backend == fast else 99.0)
    points = gather(load(made.run(rows)))

    said = verdict(points, rankings(points))

    assert "n decode sdpa is fastest in 1 of 1 problem" in said
    assert "n prefill naive is fastest in 1 of 1 problem" in said


def test_a_verdict_without_an_ok_case_says_what_came_instead(made):
    points = gather(load(made.run([made.other_row(made.decode(), "sdpa", "failed", "boom")])))

    assert verdict(points, rankings(points)) == "Nothing can be compared: 1 case failed."


def test_where_length_decides_there_is_a_rule(made):
    rows = []
    for kv_len in (1024, 2048, 4096, 8192):
        for backend in ("sdpa", "naive"):
            is_fast = (backend == "naive") == (kv_len < 4096)
            problem = made.decode(kv_len=kv_len)
            rows += made.ok_rows(problem, backend, latency_us=50.0 if is_fast else 99.0)

    assert rules(rankings(gather(load(made.run(rows))))) == [
        "decode: naive 1k to 2k, sdpa 4k to 8k"
    ]


def test_two_runs_of_one_problem_are_two_rankings(made):
    one = made.run(made.ok_rows(made.decode(), "sdpa"))
    other = made.run(
        made.ok_rows(made.decode(), "naive", who=made.identity(run_id="r2", run_name="other"))
    )
    found = rankings(gather(load([one, other])))

    assert [len(ranking.points) for ranking in found] == [1, 1]


def test_of_several_runs_each_has_a_verdict_and_rules_of_its_own(made):
    rows = []
    for n, (first, second) in enumerate(((50.0, 90.0), (90.0, 50.0))):
        who = made.identity(run_id=f"r{n}", run_name=f"run-{n}")
        for length, factor in ((1024, 1.0), (4096, 3.0)):
            problem = made.decode(1, length)
            turned = (first, second) if length == 1024 else (second, first)
            for backend, us in zip(("sdpa", "naive"), turned, strict=True):
                rows += made.ok_rows(problem, backend, latency_us=us * factor, who=who)
    points = gather(load(made.run(rows)))
    found = rankings(points)

    text = verdict(points, found)
    assert text.startswith("run-0: in decode ")
    assert " run-1: in decode " in text
    assert rules(found) == [
        "run-0, decode: sdpa at 1k, naive at 4k",
        "run-1, decode: naive at 1k, sdpa at 4k",
    ]
