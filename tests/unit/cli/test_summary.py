from __future__ import annotations

import pytest

from attnbench.cli.run_stats import RunStats, SuiteTitle, closing_lines
from attnbench.execute.events import RunFinished
from attnbench.render.values import about, elapsed_text, left, reason_lines, shown_path
from attnbench.units import counted


def test_reasons_that_differ_in_figures_alone_are_one_line():
    pairs = [
        ("naive", "needs 12.5 GB, 3.00 GB is free"),
        ("sdpa", "mask causal is not one of none"),
        ("naive", "needs 140 MB, 3.00 GB is free"),
        ("naive", "about 63 s a process, over case_limit_s 5"),
        ("naive", "about 2 min a process, over case_limit_s 5"),
        ("naive", "about 7 s a process, over case_limit_s 5"),
    ]

    assert list(reason_lines(pairs)) == [
        "  3 x naive: about 63 s a process, over case_limit_s 5, and similar",
        "  2 x naive: needs 12.5 GB, 3.00 GB is free, and similar",
        "  1 x sdpa: mask causal is not one of none",
    ]


def test_names_that_hold_digits_are_not_figures():
    assert len(list(reason_lines([("a", "needs sm_80"), ("b", "needs sm_80")]))) == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.0, "under a minute"), (430.0, "about 7 min"), (7300.0, "about 2 h 1 min")],
)
def test_a_prediction_claims_no_precision(seconds, text):
    assert about(seconds) == text


def test_what_nobody_knows_is_not_said():
    assert left(None) == ""


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (842, "14:02"), (4442, "1:14:02")])
def test_elapsed_time(seconds, text):
    assert elapsed_text(seconds) == text


def test_the_bar_never_goes_back():
    stats = RunStats()

    assert stats.share(10, 10) == 0.5
    assert stats.share(11, 100) == 0.5
    assert stats.share(12, None) == 0.5
    assert stats.share(20, 0) == 0.98
    assert RunStats().share(0, 0) == 0.0


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 cases"), (1, "1 case"), (12345, "12,345 cases")]
)
def test_counting(count, text):
    assert counted(count, "case") == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "1 more case is"), (2, "2 more cases are"), (1000, "1,000 more cases are")],
)
def test_a_verb_agrees_with_the_count(count, text):
    assert counted(count, "more case", "are") == text


def test_a_path_is_shown_as_one_would_type_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert shown_path(tmp_path / "results" / "x.parquet") == "results/x.parquet"
    assert shown_path(tmp_path.parent) == str(tmp_path.parent)


def test_a_run_that_its_budget_cut_says_how_far_it_came(tmp_path):
    title = SuiteTitle(name="tiny", about="", repro="tiny", version="1", budget="10 s")
    finished = RunFinished(
        run_name="tiny",
        out=tmp_path / "tiny.parquet",
        counts={"ok": 6, "not_run": 12},
        seconds=13.0,
        rows=18,
    )

    lines = list(closing_lines(finished, RunStats(), title))

    assert lines[1] == "stopped by --budget 10 s: 6 of 18 cases measured: 6 ok, 12 not_run"
