"""Files that are whole or not there, and plain words where they cannot be."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from attnbench.errors import OutputError
from attnbench.store.atomic import (
    check_writable,
    explained,
    sync_folder,
    write_bytes,
    write_text,
    writing,
)


def test_a_file_is_written_and_nothing_else_is_left(tmp_path):
    write_text(tmp_path / "a.txt", "µ\n")
    write_bytes(tmp_path / "b.bin", b"\0\1")

    assert (tmp_path / "a.txt").read_bytes() == "µ\n".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\0\1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.bin"]


def test_the_file_has_the_mode_that_the_umask_gives(tmp_path):
    (tmp_path / "plain").touch()
    write_text(tmp_path / "ours", "")

    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "plain").stat().st_mode
    )


def test_an_error_on_the_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def writes_half():
        with writing(path) as file:
            file.write(b"half of the new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        writes_half()

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "latest").symlink_to("real")
    write_text(tmp_path / "latest", "new")

    assert (tmp_path / "real").read_text() == "new"
    assert (tmp_path / "latest").is_symlink()


def test_a_device_is_written_and_not_replaced():
    write_text(Path("/dev/null"), "gone")

    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("make", "name", "reason"),
    [
        (lambda path: (path / "file").touch(), "file/x.txt", "file is a file, not a folder"),
        (lambda path: (path / "x.txt").mkdir(), "x.txt", "it is a folder"),
        (lambda _: None, "absent/x.txt", "the folder does not exist"),
        (lambda _: None, "x" * 300, "the name is too long"),
    ],
)
def test_what_cannot_be_written_says_why(tmp_path, make, name, reason):
    make(tmp_path)

    with pytest.raises(OutputError) as caught:
        write_text(tmp_path / name, "")

    assert str(caught.value).startswith(f"cannot write {tmp_path / name}: ")
    assert caught.value.message.endswith(reason)
    assert caught.value.hint == "choose a place that you may write to with --out"
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("code", "reason", "hint"),
    [
        (errno.ENOSPC, "no space is left on the disk", "free some space"),
        (errno.EDQUOT, "the disk quota is used up", "free some space"),
        (errno.EACCES, "permission denied", "choose a place"),
        (errno.EROFS, "the file system is read-only", "choose a place"),
        (errno.EIO, os.strerror(errno.EIO), "choose a place"),
    ],
)
def test_each_objection_has_words_and_advice(code, reason, hint):
    with pytest.raises(OutputError) as caught, explained(Path("out/x.parquet")):
        raise OSError(code, os.strerror(code))

    assert caught.value.message == f"cannot write out/x.parquet: {reason}"
    assert caught.value.hint.startswith(hint)


def test_a_full_device_is_a_full_disk():
    with pytest.raises(OutputError, match="no space is left on the disk"):
        write_text(Path("/dev/full"), "x")


def test_the_preflight_makes_the_folder_and_leaves_nothing_in_it(tmp_path):
    check_writable(tmp_path / "new" / "folder")

    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_the_preflight_refuses_a_folder_under_a_file(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(OutputError) as caught:
        check_writable(tmp_path / "file" / "results")

    assert f"{tmp_path / 'file'} is a file, not a folder" in caught.value.message


def test_the_preflight_refuses_a_place_where_nobody_may_write():
    with pytest.raises(OutputError, match="cannot write /proc/self"):
        check_writable(Path("/proc/self"))


def test_the_preflight_refuses_a_disk_that_is_nearly_full(tmp_path):
    with pytest.raises(OutputError) as caught:
        check_writable(tmp_path, room_bytes=10**18)

    assert "bytes are free and a run needs 1,000,000,000,000,000,000" in caught.value.message


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path):
    sync_folder(tmp_path / "absent")
