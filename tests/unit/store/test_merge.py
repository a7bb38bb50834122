"""Several runs in one file, and one row never counted twice."""

from __future__ import annotations

import pytest

from attnbench.errors import NameTakenError, OutputError, ResultFileError
from attnbench.store import load, merge_runs, read
from attnbench.store.columns import COLUMNS


@pytest.fixture
def two_runs(tmp_path, store_row, finished_run):
    one = finished_run(tmp_path / "one.parquet", [store_row(0), store_row(1)], {"run_id": "r1"})
    rows = [store_row(0, run_id="r2"), store_row(1, run_id="r2", kernels=["k"])]
    two = finished_run(tmp_path / "two.parquet", rows, {"run_id": "r2"})
    return one, two


def test_rows_are_joined_and_footers_listed(tmp_path, two_runs):
    out = tmp_path / "new" / "both.parquet"

    assert merge_runs(two_runs, out) == 4
    assert load(out)["run_id"].tolist() == ["r1", "r1", "r2", "r2"]
    assert list(load(out).columns) == [column.name for column in COLUMNS]
    assert read(out).metadata == {"merged": [{"run_id": "r1"}, {"run_id": "r2"}]}


def test_a_merged_file_beside_its_parts_adds_nothing(tmp_path, two_runs):
    merge_runs(two_runs, tmp_path / "both.parquet")

    assert len(load(tmp_path)) == 4
    assert merge_runs(tmp_path, tmp_path / "again.parquet") == 4


def test_one_row_with_two_values_is_refused(tmp_path, store_row, finished_run, two_runs):
    changed = finished_run(tmp_path / "changed.parquet", [store_row(1, noise=0.5, latency_us=19.0)])

    with pytest.raises(ResultFileError) as caught:
        merge_runs([two_runs[0], changed], tmp_path / "both.parquet")

    assert str(caught.value) == (
        f"{two_runs[0]} and {changed} disagree about one row of one run\n"
        "  decode #1 · naive, process 0: latency_us, noise\n"
        "  one of them is older or was changed; leave it out"
    )
    with pytest.raises(ResultFileError, match="disagree"):
        load([two_runs[0], changed])


def test_two_sides_of_one_case_are_two_rows(tmp_path, store_row, finished_run):
    for side in ("base", "new"):
        finished_run(tmp_path / f"{side}.parquet", [store_row(0, side=side)])

    assert len(load(tmp_path)) == 2


def test_rows_of_the_plan_are_reported_without_a_process(tmp_path, store_row, finished_run):
    for number, name in enumerate(("a", "b")):
        row = store_row(0, None, status="skipped", reason=f"reason {number}", case_label=None)
        finished_run(tmp_path / f"{name}.parquet", [row])

    with pytest.raises(ResultFileError, match="\n  000000000000: reason\n"):
        load(tmp_path)


def test_an_existing_file_is_never_overwritten(two_runs):
    with pytest.raises(NameTakenError, match=r"one\.parquet exists already"):
        merge_runs(two_runs, two_runs[0])


def test_a_place_that_cannot_be_written(tmp_path, two_runs):
    (tmp_path / "file").touch()

    with pytest.raises(OutputError, match="is a file, not a folder"):
        merge_runs(two_runs, tmp_path / "file" / "both.parquet")
