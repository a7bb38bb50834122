"""Rebuilding a result file from its journal."""

from __future__ import annotations

import pytest

from attnbench.errors import ResultFileError
from attnbench.store import Repaired, load, repair_run


@pytest.mark.parametrize("name", ["x.parquet", "x.journal", "x"])
def test_an_unfinished_run_becomes_a_result_file(tmp_path, store_row, unfinished_run, name):
    journal = unfinished_run(tmp_path / "x.parquet", [store_row(0), store_row(1)])

    repaired = repair_run(tmp_path / name)

    assert repaired == Repaired(tmp_path / "x.parquet", 2, rebuilt=True)
    assert len(load(tmp_path / "x.parquet")) == 2
    assert not journal.exists()


def test_a_torn_last_row_is_left_out(tmp_path, store_row, unfinished_run):
    journal = unfinished_run(tmp_path / "x.parquet", [store_row(0), store_row(1)])
    journal.write_bytes(journal.read_bytes()[:-1])

    assert repair_run(journal).rows == 1


def test_a_truncated_result_file_is_written_anew(tmp_path, store_row, unfinished_run):
    journal = unfinished_run(tmp_path / "x.parquet", [store_row(0), store_row(1)])
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and then the power went")

    assert repair_run(journal).rows == 2
    assert len(load(tmp_path / "x.parquet")) == 2


def test_a_whole_result_file_needs_no_repair(tmp_path, store_row, finished_run):
    out = finished_run(tmp_path / "x.parquet", [store_row()])
    before = out.read_bytes()

    assert repair_run(out) == Repaired(out, 1, rebuilt=False)
    assert out.read_bytes() == before


def test_a_truncated_result_file_without_a_journal_is_lost(tmp_path, store_row, finished_run):
    out = finished_run(tmp_path / "x.parquet", [store_row()])
    out.write_bytes(out.read_bytes()[:-4])

    with pytest.raises(ResultFileError, match="is cut short"):
        repair_run(out)


def test_nothing_to_repair(tmp_path):
    with pytest.raises(ResultFileError) as caught:
        repair_run(tmp_path / "x.parquet")

    assert str(caught.value) == (
        f"{tmp_path}/x.parquet does not exist and has no journal {tmp_path}/x.journal "
        "to be rebuilt from"
    )


def test_a_journal_without_a_row_is_removed(tmp_path):
    journal = tmp_path / "x.journal"
    journal.write_text('{"journal":1,"schema_version":1,"run":{}}\n')

    with pytest.raises(ResultFileError, match=r"held no row and is removed: nothing was measured"):
        repair_run(journal)

    assert list(tmp_path.iterdir()) == []
