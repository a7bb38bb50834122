"""What a run says of itself: in the journal, in the footer, through crash, resume and merge."""

from __future__ import annotations

import pytest

from attnbench.store import RunWriter, load, merge_runs, read, repair_run
from attnbench.store.journal import journal_path

RUN = {"run_id": "r1", "attnbench_version": "0.1.0"}
FIRST = {"record": "selftest", "at": 1.5, "tests": [{"name": "spin", "passed": True}]}
SECOND = {"record": "canaries", "process": 0, "when": "first", "us": {"gemm": 12.5}}


def begun(path, rows, *records):
    """A writer that was given a record, the rows, then the other records."""
    writer = RunWriter.create(path, RUN)
    for record in records[:1]:
        writer.record(record)
    for row in rows:
        writer.append(row)
    for record in records[1:]:
        writer.record(record)
    return writer


def test_records_are_in_the_footer_in_their_order_and_are_no_rows(tmp_path, store_row):
    out = tmp_path / "a.parquet"
    with begun(out, [store_row(0), store_row(1)], FIRST, SECOND) as writer:
        assert writer.row_count == 2
        assert writer.finish() == 2

    assert read(out).metadata == {**RUN, "records": [FIRST, SECOND]}
    assert len(load(out)) == 2


def test_an_unfinished_run_shows_them_and_repair_keeps_them(tmp_path, store_row):
    out = tmp_path / "a.parquet"
    begun(out, [store_row(0)], FIRST, SECOND).close()
    journal = journal_path(out)

    assert read(journal).metadata["records"] == [FIRST, SECOND]
    assert len(load(journal)) == 1
    assert repair_run(journal).rows == 1
    assert read(out).metadata["records"] == [FIRST, SECOND]


def test_going_on_keeps_them_and_adds_to_them(tmp_path, store_row):
    out = tmp_path / "a.parquet"
    with begun(out, [store_row(0)], FIRST) as writer:
        writer.finish()
    for record, row in ((SECOND, store_row(1)), (FIRST, store_row(2))):
        with RunWriter.resume(out) as writer:
            assert "records" not in writer.run
            writer.record(record)
            writer.append(row)
            writer.finish()

    assert read(out).metadata == {**RUN, "records": [FIRST, SECOND, FIRST]}
    assert len(load(out)) == 3


def test_a_record_that_a_crash_cut_off_is_none(tmp_path, store_row):
    out = tmp_path / "a.parquet"
    begun(out, [store_row(0)], FIRST, SECOND).close()
    journal = journal_path(out)
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-5])

    with RunWriter.resume(out) as writer:
        assert writer.row_count == 1
        writer.append(store_row(1))
        writer.finish()
    assert read(out).metadata["records"] == [FIRST]


def test_merging_keeps_each_run_s_own(tmp_path, store_row):
    for name, record in (("a", FIRST), ("b", SECOND)):
        with RunWriter.create(tmp_path / f"{name}.parquet", {**RUN, "run_id": name}) as writer:
            writer.record(record)
            writer.append(store_row(0, run_id=name))
            writer.finish()
    merge_runs([tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "both.parquet")
    parts = read(tmp_path / "both.parquet").metadata["merged"]

    assert {one["run_id"]: one["records"] for one in parts} == {"a": [FIRST], "b": [SECOND]}


def test_a_run_without_records_has_none(tmp_path, store_row):
    out = tmp_path / "a.parquet"
    begun(out, [store_row(0)]).close()

    assert read(journal_path(out)).metadata == RUN
    repair_run(out)
    assert read(out).metadata == RUN


def test_a_run_that_only_spoke_of_itself_leaves_nothing(tmp_path):
    out = tmp_path / "a.parquet"
    begun(out, [], FIRST).close()

    assert not journal_path(out).exists()


@pytest.mark.parametrize("record", [{"tests": []}, {"record": "x", "us": float("nan")}])
def test_what_could_not_be_read_back_is_refused(tmp_path, store_row, record):
    out = tmp_path / "a.parquet"
    with begun(out, [store_row(0)]) as writer, pytest.raises(ValueError, match=r"record|JSON"):
        writer.record(record)
    assert len(load(journal_path(out))) == 1
