"""Why a file is no result file, and what to type: the messages for everything that is not one."""

from __future__ import annotations

import difflib
from pathlib import Path

from attnbench.errors import ResultFileError
from attnbench.store.journal import SUFFIX, journal_path, read_rows

_MARK = b"PAR1"
_LOOK_BYTES = 512
_SHOWN = 60
# What text that was saved under the wrong name begins with.
_TEXTS = (
    (b"version https://git-lfs", "a Git LFS pointer", "git lfs pull"),
    (b"<", "a web page", "download the file itself, not the page that shows it"),
    (b"{", "JSON", None),
    (b"[", "JSON", None),
)


def missing(path: Path) -> ResultFileError:
    """Say that there is no such file, and which one may be meant."""
    journal = journal_path(path)
    if path.suffix != SUFFIX and journal.is_file():
        return ResultFileError(
            f"{path} is not written yet; its journal {journal} {_rows_text(journal)}",
            hint=f"attnbench repair {journal}",
        )
    names = sorted(
        one.name for pattern in ("*.parquet", f"*{SUFFIX}") for one in path.parent.glob(pattern)
    )
    if near := difflib.get_close_matches(path.name, names, n=1):
        return ResultFileError(
            f"{path} does not exist", hint=f"did you mean {path.with_name(near[0])}?"
        )
    return ResultFileError(f"{path} does not exist", hint="attnbench list runs shows every run")


def unreadable(path: Path, error: Exception) -> ResultFileError:
    """Say why pyarrow cannot read a file that exists."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_LOOK_BYTES)
            file.seek(max(0, size - len(_MARK)))
            tail = file.read()
    except OSError as cause:
        return ResultFileError(f"cannot read {path}: {cause.strerror}")
    if size == 0:
        return ResultFileError(f"{path} is empty (0 bytes)", hint=_rescue(path))
    if not head.startswith(_MARK):
        return _not_parquet(path, head, size)
    if tail != _MARK:
        return ResultFileError(
            f"{path} is cut short\n  {size:,} bytes and no PAR1 marker at the end: "
            "the copy or the write was interrupted",
            hint=_rescue(path),
        )
    detail = str(error).partition("\n")[0]
    return ResultFileError(f"{path} is damaged: {detail}", hint=_rescue(path))


def foreign(path: Path, columns: list[str]) -> ResultFileError:
    """Say that a parquet file was not written by attnbench."""
    shown = ", ".join(columns[:6]) + (", …" if len(columns) > 6 else "")  # noqa: PLR2004  fit a line
    return ResultFileError(
        f"{path} is a parquet file, but not a result of attnbench\n  its columns are {shown}",
        hint="a result file has schema_version, run_id, case_id and status among its columns",
    )


def _not_parquet(path: Path, head: bytes, size: int) -> ResultFileError:
    for mark, name, advice in _TEXTS:
        if head.lstrip().startswith(mark):
            return ResultFileError(
                f"{path} is not parquet: it is {name} of {size:,} bytes", hint=advice
            )
    line = head.partition(b"\n")[0].strip()
    if line.isascii() and line.decode("ascii").isprintable():
        name = "CSV" if b"," in line else "text"
        shown = line[:_SHOWN].decode()
        return ResultFileError(
            f"{path} is not parquet: it is {name} that begins with {shown!r}",
            hint="read the file that attnbench wrote; an export cannot be read back",
        )
    return ResultFileError(f"{path} is not parquet: its {size:,} bytes do not begin with PAR1")


def _rescue(path: Path) -> str:
    journal = journal_path(path)
    if journal.is_file():
        return f"its journal {_rows_text(journal)}: attnbench repair {journal}"
    return "copy it again from where it was measured"


def _rows_text(journal: Path) -> str:
    try:
        count = sum(1 for _ in read_rows(journal))
    except ResultFileError:
        return "cannot be read"
    return f"has {count:,} row{'' if count == 1 else 's'}"
