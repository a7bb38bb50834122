"""Files that are either whole or not there: the only way attnbench writes one.

A new file is written under a temporary name in the folder of its own, fsync'd, and renamed over the
old one. Whatever the operating system objects to becomes an ``OutputError`` in plain words.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from attnbench.errors import OutputError

_WORDS = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than this process may write (ulimit -f)",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.EISDIR: "it is a folder",
    errno.ENOENT: "the folder does not exist",
    errno.ENAMETOOLONG: "the name is too long",
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What a run of a thousand cases takes, journal and result file together.
_ROOM_BYTES = 4_000_000


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically.

    Raises:
        OutputError: it cannot be written; what stood there before still does.

    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically.

    Raises:
        OutputError: it cannot be written; what stood there before still does.

    """
    with writing(path) as file:
        file.write(data)


@contextmanager
def writing(path: Path, *, hint: str | None = None) -> Iterator[BinaryIO]:
    """Hand out a binary file that takes the name ``path`` when the block ends without an error.

    A symbolic link is followed; a device or a pipe such as ``/dev/null`` is written in place.

    Raises:
        OutputError: it cannot be written; what stood there before still does.

    """
    with explained(path, hint=hint):
        target = path.resolve()
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                yield file
            return
        temporary = target.with_name(f".{token_hex(8)}.tmp")
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename or a removal in this folder survive a power cut, where the system can."""
    # Windows opens no folder and some network file systems sync none; there is nothing better.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_writable(folder: Path, *, room_bytes: int = _ROOM_BYTES) -> None:
    """Make the folder and prove, before anything is measured, that results can be kept there.

    Raises:
        OutputError: no file can be written there, or less than ``room_bytes`` are free.

    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{token_hex(8)}.tmp"
        try:
            with probe.open("xb") as file:
                file.write(b"attnbench can write here\n")
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
        free = shutil.disk_usage(folder).free
    if free < room_bytes:
        raise OutputError(
            f"cannot write {folder}: {free:,} bytes are free and a run needs {room_bytes:,}",
            hint="free some space, or choose another disk with --out",
        )


@contextmanager
def explained(path: Path, *, hint: str | None = None) -> Iterator[None]:
    """Turn what the operating system objects to into an ``OutputError`` about ``path``."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {_reason(error, path)}", hint=hint or _advice(error)
        ) from error


def _reason(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        blocking = next((part for part in (path, *path.parents) if part.is_file()), path)
        return f"{blocking} is a file, not a folder"
    return _WORDS.get(error.errno or 0) or error.strerror or str(error)


def _advice(error: OSError) -> str:
    if error.errno in _FULL:
        return "free some space, or choose another disk with --out"
    return "choose a place that you may write to with --out"
