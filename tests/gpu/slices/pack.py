"""The one file that a slice leaves: a tar that is whole at any instant, however the slice ends."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

LEFT_OUT = "left-out.txt"
_MANIFEST = "manifest.json"
_LOG_BYTES = 400_000  # of one log: its first quarter, where versions stand, and its end


def write_tar(work: Path, target: Path, *, limit_bytes: int) -> list[str]:
    """Pack the folder and put the tar in its place in one step; return what did not fit.

    The manifest goes first, then the smallest files, so that what is left out is the bulkiest; its
    names stand in ``left-out.txt``. Files may grow or vanish meanwhile: a running step writes them.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    left_out: list[str] = []
    with temporary.open("wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, data in _members(work):
            # Compressed data is behind by what the compressor still holds, so a member is
            # weighed by its whole size: parquet hardly shrinks.
            if name != _MANIFEST and file.tell() + len(data) > limit_bytes:
                left_out.append(f"{name} ({len(data):,} bytes)")
                continue
            _add(tar, name, data)
        if left_out:
            _add(tar, LEFT_OUT, ("\n".join(left_out) + "\n").encode())
    temporary.replace(target)
    return left_out


def _members(work: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file of the folder as it is now, the smallest first."""
    sizes: dict[Path, int] = {}
    for path in work.rglob("*"):
        try:
            if path.is_file():
                sizes[path] = path.stat().st_size
        except OSError:
            continue
    order = sorted(sizes, key=lambda path: (path.name != _MANIFEST, sizes[path], path))
    for path in order:
        try:
            data = path.read_bytes()
        except OSError:
            continue
        yield path.relative_to(work).as_posix(), _cut(data) if path.suffix == ".log" else data


def _cut(log: bytes) -> bytes:
    if len(log) <= _LOG_BYTES:
        return log
    head, tail = log[: _LOG_BYTES // 4], log[-3 * _LOG_BYTES // 4 :]
    return head + f"\n… {len(log) - _LOG_BYTES:,} bytes cut …\n".encode() + tail


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(data), int(time.time()), 0o644
    tar.addfile(member, io.BytesIO(data))
