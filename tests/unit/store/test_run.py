"""Reading: one reader for files, folders, patterns and unfinished runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attnbench.errors import ResultFileError
from attnbench.store import RunWriter, load, read, result_files
from attnbench.store.columns import COLUMNS, SCHEMA_VERSION

FIXTURES = Path(__file__).parents[2] / "fixtures"
STATUSES_IN_FIXTURE = (
    "ok ok skipped unsupported not_run oom timeout implausible incorrect crashed failed"
)


@pytest.mark.parametrize("version", ["schema_v1", "schema_v2"])
def test_every_released_schema_loads_for_ever(tmp_path, version):
    journal = tmp_path / f"{version}.journal"
    shutil.copy(FIXTURES / f"{version}.journal.jsonl", journal)
    for path in (FIXTURES / f"{version}.parquet", journal):
        frame = load(path)

        assert " ".join(frame["status"]) == STATUSES_IN_FIXTURE
        assert list(frame.columns) == [column.name for column in COLUMNS]
        assert set(frame["schema_version"]) == {SCHEMA_VERSION}
        assert frame["process"].tolist()[:2] == [0, 1]
        assert list(frame["samples_us"][1]) == [18.5, 18.25, 18.0]
        assert list(frame["notes"][0]) == ["NOISY", "NO_TELEMETRY"]
        assert frame["reason"].iloc[-1] == "ValueError: não é possível"
        assert frame["started_at"][0] == pd.Timestamp("2026-11-21T07:30:00.25Z")
        assert frame["latency_us"].notna().tolist() == [True, True] + [False] * 9
        assert read(path).metadata["environment"]["host"] == "laptop"


@pytest.mark.parametrize(
    ("version", "younger"), [("schema_v1", ["calls_per_sample"]), ("schema_v2", [])]
)
def test_the_fixture_sets_every_column(version, younger):
    frame = load(FIXTURES / f"{version}.parquet")

    assert [name for name in frame.columns if frame[name].isna().all()] == younger


def test_a_file_of_version_1_reads_as_one_of_version_2():
    old, new = (load(FIXTURES / f"schema_v{n}.parquet") for n in (1, 2))
    same = [name for name in old.columns if name != "calls_per_sample"]

    pd.testing.assert_frame_equal(old[same], new[same])


def test_a_part_of_an_old_file_is_read_under_its_old_names():
    run = read(FIXTURES / "schema_v1.parquet")

    assert run.columns(["case_id", "process"]).column_names == ["case_id", "process"]
    assert run.columns(["process"])["process"].to_pylist()[:3] == [0, 1, None]


def test_a_column_that_is_younger_than_a_file_of_our_schema_is_null_in_it():
    whole = load(FIXTURES / "schema_v1.parquet")
    part = read(FIXTURES / "schema_v1.parquet").columns(["case_id", "calls_per_sample"])

    assert str(whole["calls_per_sample"].dtype) == "Int64"
    assert part["calls_per_sample"].null_count == len(whole)


def test_null_is_missing_and_changes_no_type(tmp_path, store_row, finished_run):
    rows = [
        store_row(0, 0, batch=8, git_dirty=True, kernels=["a", "b"]),
        store_row(1, None, status="skipped", notes=["NOISY"]),
    ]
    frame = load(finished_run(tmp_path / "x.parquet", rows))

    assert frame["process"].dtype == "Int64"
    assert frame["process"].tolist() == [0, pd.NA]
    assert frame["git_dirty"].dtype == "boolean"
    assert frame["latency_us"].dtype == "float64"
    assert np.isnan(frame["latency_us"][1])
    assert str(frame["started_at"].dtype) == "datetime64[us, UTC]"
    assert frame["samples_us"][0].dtype == np.float32
    assert frame["samples_us"][1] is None
    assert frame["kernels"].tolist() == [["a", "b"], None]
    assert frame["notes"].tolist() == [[], ["NOISY"]]
    assert frame["reason"].isna().tolist() == [True, False]


def test_the_types_do_not_depend_on_the_rows(tmp_path, store_row, finished_run):
    ok = load(finished_run(tmp_path / "ok.parquet", [store_row(batch=1, git_dirty=False)]))
    skipped = store_row(process=None, status="skipped", started_at=None)
    bare = load(finished_run(tmp_path / "bare.parquet", [skipped]))

    assert ok.dtypes.tolist() == bare.dtypes.tolist()


@pytest.mark.parametrize("kind", [str, Path, lambda path: [path], lambda path: iter([str(path)])])
def test_paths_are_taken_in_every_form(tmp_path, store_row, finished_run, kind):
    out = finished_run(tmp_path / "x.parquet", [store_row()])

    assert len(load(kind(out))) == 1


def test_a_folder_and_a_pattern_find_runs_below_and_each_file_once(
    tmp_path, store_row, finished_run
):
    finished_run(tmp_path / "a.parquet", [store_row(0)])
    (tmp_path / "h200").mkdir()
    finished_run(tmp_path / "h200" / "b[k=1].parquet", [store_row(1)])
    (tmp_path / "notes.txt").touch()

    assert len(load(tmp_path)) == 2
    assert len(load(str(tmp_path / "**"))) == 2
    assert len(load(tmp_path / "h*" / "*.parquet")) == 1
    assert len(load(tmp_path / "h200" / "b[k=1].parquet")) == 1
    assert len(load([tmp_path, tmp_path / "a.parquet", f"{tmp_path}/./a.parquet"])) == 2
    assert result_files(tmp_path) == [tmp_path / "a.parquet", tmp_path / "h200" / "b[k=1].parquet"]


def test_the_ending_may_be_left_out(tmp_path, store_row, finished_run):
    finished_run(tmp_path / "ab.base.parquet", [store_row()])

    assert read(tmp_path / "ab.base").path == tmp_path / "ab.base.parquet"


def test_the_home_folder_may_be_a_tilde(tmp_path, store_row, finished_run, monkeypatch):
    finished_run(tmp_path / "x.parquet", [store_row()])
    monkeypatch.setenv("HOME", os.fspath(tmp_path))

    assert len(load("~/x.parquet")) == 1
    assert len(load("~/*.parquet")) == 1


def test_an_unfinished_run_is_read_from_its_journal_also_while_it_is_written(tmp_path, store_row):
    with RunWriter.create(tmp_path / "x.parquet", {"run_id": "r1"}) as run:
        run.append(store_row(0, status="failed"))
        run.append(store_row(1))
        run.append(store_row(0))

        frame = load(tmp_path / "x.journal")
        opened = read(tmp_path / "x.journal")

    assert frame["case_label"].tolist() == ["decode #1 · naive", "decode #0 · naive"]
    assert not opened.finished
    assert opened.metadata == {"run_id": "r1"}
    assert len(load(str(tmp_path / "*.journal"))) == 2


def test_an_empty_journal_is_an_empty_frame(tmp_path):
    with RunWriter.create(tmp_path / "x.parquet", {}):
        frame = load(tmp_path / "x.journal")

    assert frame.shape == (0, len(COLUMNS))


def test_a_result_whose_journal_still_lies_there_says_so(tmp_path, store_row, finished_run):
    out = finished_run(tmp_path / "x.parquet", [store_row(0)])
    with RunWriter.resume(out) as run:
        run.append(store_row(1))

        with pytest.warns(UserWarning, match="x.parquet may not be whole: its journal") as caught:
            frame = load(out)

    assert len(frame) == 1
    assert caught[0].filename == __file__
    assert read(out).journal == tmp_path / "x.journal"


def test_what_is_read_is_read_once(tmp_path, store_row, finished_run):
    run = read(finished_run(tmp_path / "x.parquet", [store_row()]))

    assert run.table is run.table
    assert run.frame is run.frame


@pytest.mark.parametrize("sources", [[], ()])
def test_no_path_at_all(sources):
    with pytest.raises(ResultFileError, match="no result file was named"):
        load(sources)


def test_a_folder_without_a_run(tmp_path, store_row, unfinished_run):
    with pytest.raises(ResultFileError) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        f"no result file (*.parquet) in {tmp_path}\n  attnbench run writes one"
    )

    journal = unfinished_run(tmp_path / "x.parquet", [store_row()])
    with pytest.raises(ResultFileError) as caught:
        load(tmp_path)
    assert caught.value.hint == f"an unfinished run is there: attnbench repair {journal}"


def test_a_pattern_that_matches_nothing(tmp_path):
    with pytest.raises(ResultFileError) as caught:
        load(tmp_path / "*.parquet")

    assert str(caught.value) == (
        f"no result file matches {tmp_path}/*.parquet\n  quote the pattern: '**/*.parquet'"
    )


def test_a_folder_is_no_single_run(tmp_path):
    with pytest.raises(ResultFileError, match="is a folder, not a result file"):
        read(tmp_path)
