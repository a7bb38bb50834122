"""One writer a run."""

from __future__ import annotations

import os

import pytest

from attnbench.errors import NameTakenError, OutputError
from attnbench.store.lock import RunLock


def test_a_second_writer_is_reported_who_holds_the_run(tmp_path):
    lock = RunLock(tmp_path / "x.parquet")

    with pytest.raises(NameTakenError) as caught:
        RunLock(tmp_path / "x.parquet")

    assert str(caught.value) == (
        f"process {os.getpid()} is writing {tmp_path / 'x.parquet'} right now\n"
        "  wait for it to end, or choose another name with --name or --out"
    )
    lock.release()


def test_a_holder_that_left_no_name_is_another_process(tmp_path):
    lock = RunLock(tmp_path / "x.parquet")
    lock.path.write_text("")

    with pytest.raises(NameTakenError, match=r"^another process is writing"):
        RunLock(tmp_path / "x.parquet")

    lock.release()


def test_what_is_released_can_be_taken_and_leaves_no_file(tmp_path):
    lock = RunLock(tmp_path / "x.parquet")
    lock.release()
    lock.release()

    assert not lock.is_held
    assert list(tmp_path.iterdir()) == []
    again = RunLock(tmp_path / "x.parquet")
    assert again.is_held
    again.release()


def test_a_lock_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(OutputError):
        RunLock(tmp_path / "file" / "x.parquet")
