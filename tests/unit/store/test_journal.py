"""The journal: every whole line is a row, whatever happened to the last one."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnbench.errors import OutputError, ResultFileError
from attnbench.store.journal import (
    Journal,
    journal_path,
    parquet_path,
    read_header,
    read_rows,
)
from attnbench.store.rows import checked

rows_of_any_kind = st.fixed_dictionaries(
    {
        "run_id": st.just("r1"),
        "case_id": st.text(min_size=1),
        "status": st.sampled_from(["ok", "oom", "failed"]),
    },
    optional={
        "process": st.integers(0, 2**63 - 1),
        "reason": st.text(),
        "latency_us": st.floats(allow_nan=False, allow_infinity=False),
        "samples_us": st.lists(st.floats(0, 1e30), max_size=4),
        "kernels": st.lists(st.text(), max_size=3),
        "git_dirty": st.booleans(),
    },
)


def begun(folder, rows):
    journal = Journal.create(folder / "x.journal", {"run_id": "r1"})
    for row in rows:
        journal.append(row)
    journal.close()
    return journal.path


def test_the_journal_lies_beside_its_result_file(tmp_path):
    assert journal_path(tmp_path / "a.base.parquet") == tmp_path / "a.base.journal"
    assert journal_path(tmp_path / "plain") == tmp_path / "plain.journal"
    assert parquet_path(tmp_path / "a.base.journal") == tmp_path / "a.base.parquet"


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(rows_of_any_kind, max_size=4))
def test_what_was_appended_is_read_back(tmp_path, rows):
    path = begun(tmp_path, rows)

    assert list(read_rows(path)) == [checked(row) for row in rows]
    assert read_header(path).run == {"run_id": "r1"}


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(rows_of_any_kind, min_size=1, max_size=3))
def test_a_tail_torn_at_any_byte_loses_that_row_alone(tmp_path, rows):
    path = begun(tmp_path, rows)
    data = path.read_bytes()
    header_end = data.index(b"\n") + 1
    for length in range(header_end, len(data) + 1):
        path.write_bytes(data[:length])
        whole = data[:length].count(b"\n") - 1

        assert list(read_rows(path)) == [checked(row) for row in rows[:whole]]

        journal = Journal.reopen(path)
        journal.append(rows[0])
        journal.close()

        assert list(read_rows(path)) == [checked(row) for row in [*rows[:whole], rows[0]]]
        assert journal.rows == whole + 1


def test_a_header_torn_at_any_byte_is_no_journal(tmp_path):
    path = begun(tmp_path, [])
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])

        with pytest.raises(ResultFileError, match="is not a journal of attnbench"):
            read_header(path)


@pytest.mark.parametrize("tail", [b"\0\0\0\0\n", b'{"case_id": "00\n', b"\xff\xfe\n"])
def test_a_last_line_of_garbage_is_no_row(tmp_path, store_row, tail):
    path = begun(tmp_path, [store_row()])
    path.write_bytes(path.read_bytes() + tail)

    assert len(list(read_rows(path))) == 1
    journal = Journal.reopen(path)
    journal.close()
    assert not path.read_bytes().endswith(tail)


@pytest.mark.parametrize("line", [b"no json\n", b"[1]\n", b"\xff\n"])
def test_a_damaged_line_in_the_middle_is_named(tmp_path, store_row, line):
    path = begun(tmp_path, [store_row(0), store_row(1)])
    header, first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(header + line + first + second)

    with pytest.raises(ResultFileError) as caught:
        list(read_rows(path))

    assert str(caught.value) == (
        f"{path}:2 is damaged: it is not a JSON object\n"
        f"  remove line 2 and type: attnbench repair {path}"
    )


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\n",
        b"not json\n",
        b'{"journal": 2, "schema_version": 1, "run": {}}\n',
        b'{"journal": 1, "run": {}}\n',
        b'{"journal": 1, "schema_version": 1, "run": []}\n',
    ],
)
def test_a_file_without_our_header_is_no_journal(tmp_path, header):
    path = tmp_path / "x.journal"
    path.write_bytes(header)

    with pytest.raises(ResultFileError, match=r"x.journal( is not a journal|:1 is damaged)"):
        list(read_rows(path))


def test_a_journal_of_a_newer_attnbench_is_refused(tmp_path):
    path = tmp_path / "x.journal"
    fields = {"journal": 1, "schema_version": 3, "run": {"attnbench_version": "9.9"}}
    path.write_text(json.dumps(fields) + "\n")

    with pytest.raises(ResultFileError, match=r"result schema 3 \(attnbench 9.9\)"):
        Journal.reopen(path)


def test_a_journal_that_is_not_there(tmp_path):
    with pytest.raises(ResultFileError, match="No such file or directory"):
        read_header(tmp_path / "x.journal")


def test_a_header_may_not_hold_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        Journal.create(tmp_path / "x.journal", {"limit": float("nan")})

    assert list(tmp_path.iterdir()) == []


def test_a_refused_row_leaves_no_trace(tmp_path, store_row):
    path = begun(tmp_path, [store_row()])
    before = path.read_bytes()
    journal = Journal.reopen(path)

    with pytest.raises(ValueError, match="not finite"):
        journal.append(store_row(latency_us=float("inf")))

    journal.close()
    assert path.read_bytes() == before


def test_a_failed_sync_takes_the_row_back_and_the_next_goes_on(tmp_path, store_row, monkeypatch):
    path = begun(tmp_path, [store_row(0)])
    journal = Journal.reopen(path)

    def fails(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OutputError) as caught:
        journal.append(store_row(1))
    monkeypatch.undo()

    assert caught.value.message == f"cannot write {path}: no space is left on the disk"
    assert caught.value.hint == (
        "its 1 rows so far are safe: free some space and type the same with --resume, "
        f"or attnbench repair {path}"
    )
    journal.append(store_row(2))
    journal.close()
    assert [row["case_id"][-1] for row in read_rows(path)] == ["0", "2"]


def test_an_interrupt_in_the_middle_of_a_row_takes_it_back(tmp_path, store_row, monkeypatch):
    path = begun(tmp_path, [store_row(0)])
    journal = Journal.reopen(path)

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        journal.append(store_row(1))
    monkeypatch.undo()
    journal.close()

    assert [row["case_id"][-1] for row in read_rows(path)] == ["0"]


def test_rows_are_read_one_by_one(tmp_path, store_row):
    path = begun(tmp_path, [store_row(0), store_row(1)])

    rows = read_rows(path)

    assert next(rows)["case_id"] == store_row(0)["case_id"]
    rows.close()
