"""Writing a run: what is kept whatever happens, and which names are taken."""

from __future__ import annotations

import json
import os

import pyarrow.parquet as pq
import pytest

from attnbench.errors import NameTakenError, OutputError, ResultFileError
from attnbench.store import RunWriter, load, parquet, read, repair_run, writer
from attnbench.store.columns import COLUMNS, SCHEMA_VERSION


def cases_of(path):
    return [int(case, 16) for case in load(path)["case_id"]]


def test_a_finished_run_is_one_file_with_all_columns(tmp_path, store_row):
    out = tmp_path / "results" / "x.parquet"
    with RunWriter.create(out, {"run_id": "r1", "µ": [1, None]}) as run:
        run.append(store_row(0))
        run.append(store_row(1, status="oom"))
        assert run.row_count == 2
        assert run.finish() == 2

    assert list(out.parent.iterdir()) == [out]
    assert list(load(out).columns) == [column.name for column in COLUMNS]
    assert read(out).metadata == {"run_id": "r1", "µ": [1, None]}
    metadata = pq.read_metadata(out).metadata
    assert metadata[b"attnbench.schema_version"] == str(SCHEMA_VERSION).encode()
    assert json.loads(metadata[b"attnbench.run"])["run_id"] == "r1"


def test_samples_are_split_by_byte_and_texts_are_dictionaries(tmp_path, store_row, finished_run):
    out = finished_run(tmp_path / "x.parquet", [store_row()])
    group = pq.read_metadata(out).row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}

    assert "BYTE_STREAM_SPLIT" in columns["samples_us.list.element"].encodings
    assert "RLE_DICTIONARY" in columns["case_label"].encodings
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_many_rows_become_row_groups(tmp_path, store_row, finished_run, monkeypatch):
    monkeypatch.setattr(writer, "_GROUP_ROWS", 3)
    out = finished_run(tmp_path / "x.parquet", [store_row(case) for case in range(7)])

    assert pq.read_metadata(out).num_row_groups == 3
    assert cases_of(out) == list(range(7))


def test_an_unfinished_run_keeps_its_journal_and_can_be_gone_on_with(tmp_path, store_row):
    out = tmp_path / "x.parquet"
    with RunWriter.create(out, {"run_id": "r1"}) as run:
        run.append(store_row(0))
    assert [path.name for path in tmp_path.iterdir()] == ["x.journal"]

    with RunWriter.resume(out) as run:
        assert run.run == {"run_id": "r1"}
        assert [row["case_id"] for row in run.rows()] == [store_row(0)["case_id"]]
        run.append(store_row(1))
        run.finish()

    assert cases_of(out) == [0, 1]


def test_a_run_that_measured_nothing_leaves_nothing(tmp_path):
    RunWriter.create(tmp_path / "x.parquet", {}).close()

    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_can_be_gone_on_with_and_its_rows_replaced(
    tmp_path, store_row, finished_run
):
    rows = [store_row(0), store_row(1, status="failed"), store_row(2, None, status="not_run")]
    out = finished_run(tmp_path / "x.parquet", rows)
    before = load(out)

    with RunWriter.resume(out) as run:
        run.append(store_row(1))
        run.append(store_row(2))
        assert out.exists()
        run.finish()

    after = load(out)
    assert list(before["status"]) == ["ok", "failed", "not_run"]
    assert list(after["status"]) == ["ok", "ok", "ok"]
    assert cases_of(out) == [0, 1, 2]
    assert list(after["samples_us"][0]) == list(before["samples_us"][0])
    assert read(out).metadata["suite_text"] == "suite: decode\n"


def test_a_run_that_is_not_there_cannot_be_gone_on_with(tmp_path):
    with pytest.raises(ResultFileError, match=r"x.parquet does not exist"):
        RunWriter.resume(tmp_path / "x.parquet")

    assert list(tmp_path.iterdir()) == []


def test_a_run_without_its_footer_cannot_be_gone_on_with(tmp_path, store_row, finished_run):
    out = finished_run(tmp_path / "x.parquet", [store_row()])
    load(out).to_parquet(out)

    with pytest.raises(ResultFileError, match="has lost the footer that says how it was measured"):
        RunWriter.resume(out)


def test_a_run_of_an_older_schema_can_be_kept_but_not_gone_on_with(
    tmp_path, store_row, unfinished_run
):
    journal = unfinished_run(tmp_path / "x.parquet", [store_row()])
    journal.write_text(journal.read_text().replace('"schema_version":2', '"schema_version":1', 1))

    with pytest.raises(ResultFileError) as caught:
        RunWriter.resume(tmp_path / "x.parquet")

    assert str(caught.value) == (
        f"{journal} was begun by an older attnbench, and a run keeps to one version\n"
        f"  keep what was measured: attnbench repair {journal}"
    )
    assert repair_run(journal).rows == 1


def test_an_existing_result_is_never_overwritten(tmp_path, store_row, finished_run):
    out = finished_run(tmp_path / "x.parquet", [store_row()])

    with pytest.raises(NameTakenError) as caught:
        RunWriter.create(out, {})

    assert str(caught.value) == (
        f"{out} exists already\n"
        "  go on with that run: --resume; or choose another name with --name or --out"
    )
    assert caught.value.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_an_unfinished_run_is_never_overwritten(tmp_path, store_row, unfinished_run):
    journal = unfinished_run(tmp_path / "x.parquet", [store_row()])

    with pytest.raises(NameTakenError) as caught:
        RunWriter.create(tmp_path / "x.parquet", {})

    assert str(caught.value) == (
        f"{journal} holds 1 row of an unfinished run\n"
        f"  go on with it: --resume; keep what it has: attnbench repair {journal}; "
        "or choose another name with --name or --out"
    )


def test_a_journal_without_a_row_takes_no_name(tmp_path, store_row):
    out = tmp_path / "x.parquet"
    (tmp_path / "x.journal").write_text('{"journal":1,"schema_version":1,"run":{"run_id":"r0"}}\n')

    with RunWriter.create(out, {"run_id": "r1"}) as run:
        run.append(store_row())
        run.finish()

    assert read(out).metadata == {"run_id": "r1"}


def test_two_runs_with_one_name_never_write_at_once(tmp_path, store_row):
    out = tmp_path / "x.parquet"
    with RunWriter.create(out, {}) as run:
        run.append(store_row())
        for begin in (lambda: RunWriter.create(out, {}), lambda: RunWriter.resume(out)):
            with pytest.raises(NameTakenError, match=f"^process {os.getpid()} is writing {out}"):
                begin()
        with pytest.raises(NameTakenError):
            repair_run(out)


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_measured(tmp_path):
    (tmp_path / "results").touch()

    with pytest.raises(OutputError, match="results is a file, not a folder"):
        RunWriter.create(tmp_path / "results" / "x.parquet", {})


def test_a_file_that_does_not_read_back_keeps_its_journal(tmp_path, store_row, monkeypatch):
    run = RunWriter.create(tmp_path / "x.parquet", {})
    run.append(store_row())
    monkeypatch.setattr(parquet, "_table", lambda *_: parquet.arrow_schema().empty_table())

    with pytest.raises(OutputError, match="does not read back as it was written"):
        run.finish()

    monkeypatch.undo()
    assert len(list(run.rows())) == 1
    assert run.finish() == 1
