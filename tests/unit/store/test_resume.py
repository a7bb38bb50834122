"""What is done, what is done again, and what must not differ."""

from __future__ import annotations

import os

import pytest

from attnbench.measurement import STATUSES
from attnbench.store import RunWriter, differences, done, unfinished_runs
from attnbench.store.resume import REDONE

METHOD = "fedcba987654"


def covers(rows, case, process, redo="none"):
    return done(rows, redo).covers(f"{case:012x}", METHOD, process)


def test_a_measured_process_is_done_and_the_next_is_not(store_row):
    rows = [store_row(0, 0)]

    assert covers(rows, 0, 0)
    assert not covers(rows, 0, 1)
    assert not covers(rows, 1, 0)
    assert not done(rows).covers(rows[0]["case_id"], "another method", 0)


@pytest.mark.parametrize("status", [one for one in STATUSES if one not in ("ok", "not_run")])
def test_a_case_that_ended_is_not_tried_in_later_processes(store_row, status):
    rows = [store_row(0, 0), store_row(0, 1, status=status)]

    assert all(covers(rows, 0, process) for process in range(4))


@pytest.mark.parametrize("status", ["skipped", "unsupported"])
def test_what_the_plan_ruled_out_is_done_for_every_process(store_row, status):
    assert covers([store_row(0, None, status=status)], 0, 2)
    assert covers([store_row(0, None, status=status, method_id=None)], 0, 2)


def test_what_was_never_reached_is_not_done(store_row):
    assert not covers([store_row(0, None, status="not_run")], 0, 0)


@pytest.mark.parametrize("status", STATUSES)
def test_redo_failed_measures_again_what_went_wrong(store_row, status):
    rows = [store_row(0, 0), store_row(1, 0, status=status)]

    assert covers(rows, 0, 0, "failed")
    assert covers(rows, 1, 0, "failed") == (status not in (*REDONE, "not_run"))


def test_redo_all_measures_everything_again(store_row):
    rows = [store_row(0, 0), store_row(1, None, status="skipped")]

    assert not covers(rows, 0, 0, "all")
    assert not covers(rows, 1, 0, "all")


def test_a_row_that_was_replaced_does_not_count(store_row):
    rows = [store_row(0, 0, status="failed"), store_row(0, 0)]

    assert covers(rows, 0, 0, "failed")
    assert not covers(rows, 0, 1)


def test_differences_are_named_with_both_values():
    stored = {"suite_sha256": "a", "device_id": "d", "method": {"timers": ["auto"], "processes": 3}}
    now = {"suite_sha256": "b", "device_id": "d", "method": {"timers": ("auto",), "flush": "read"}}

    found = [(one.key, one.stored, one.now) for one in differences(stored, now)]

    assert found == [
        ("suite_sha256", "a", "b"),
        ("method.processes", 3, None),
        ("method.flush", None, "read"),
    ]
    assert differences(stored, stored) == []
    assert differences({"x": 1}, {"x": 2}) == []
    assert len(differences({"x": 1}, {"x": 2}, ["x"])) == 1


def test_unfinished_runs_are_listed_newest_first(tmp_path, store_row, unfinished_run):
    for age, name in enumerate(("old", "new")):
        journal = unfinished_run(tmp_path / f"{name}.parquet", [store_row()], {"run_name": name})
        os.utime(journal, (age, age))
    (tmp_path / "broken.journal").write_text("no header\n")

    found = unfinished_runs(tmp_path)

    assert [one.header.run["run_name"] for one in found] == ["new", "old"]
    assert [one.path.name for one in found] == ["new.parquet", "old.parquet"]
    assert unfinished_runs(tmp_path / "absent") == []


def test_a_finished_run_is_not_listed(tmp_path, store_row):
    with RunWriter.create(tmp_path / "x.parquet", {}) as run:
        run.append(store_row())
        run.finish()

    assert unfinished_runs(tmp_path) == []
