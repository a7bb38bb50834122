"""The journal of a running run: the source of truth until its parquet file is on disk.

One JSON object a line, each fsync'd before the next case begins. The first line is the header
(``{"journal": 1, "schema_version": 1, "run": {…}}``), every other line is a row with the column
names of the result file, its NULLs left out, or a record: what the run says of itself and of no
case (``{"record": "selftest", …}``). A line that was cut off by a crash is neither.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from attnbench.errors import ResultFileError
from attnbench.store.atomic import explained, sync_folder, writing
from attnbench.store.columns import SCHEMA_VERSION
from attnbench.store.rows import Row, encoded
from attnbench.store.upgrade import refuse_newer, upgrade_row

SUFFIX = ".journal"
RECORD = "record"  # no column has this name
_FORMAT = 1


def journal_path(out: Path) -> Path:
    """Return where the journal of a result file lies: beside it, ``.parquet`` left out."""
    return out.with_name(out.name.removesuffix(".parquet") + SUFFIX)


def parquet_path(journal: Path) -> Path:
    """Return which result file a journal becomes."""
    return journal.with_name(journal.name.removesuffix(SUFFIX) + ".parquet")


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: ``run`` is what the footer of the result file will hold, plain JSON.

    Its ``attnbench_version`` is named where an older attnbench meets the journal, and the keys of
    ``resume.MUST_MATCH`` are compared before a run is resumed; the rest is the session's.
    """

    run: dict[str, Any]
    schema_version: int = SCHEMA_VERSION

    def line(self) -> bytes:
        """Return it as the journal's first line."""
        fields = {"journal": _FORMAT, "schema_version": self.schema_version, "run": self.run}
        return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode() + b"\n"


class Journal:
    """A journal open for appending. It holds no lock: its owner does."""

    def __init__(self, path: Path, header: Header, *, end: int, rows: int) -> None:
        self.path = path
        self.header = header
        self.rows = rows
        self._end = end
        with explained(path):
            self._file = path.open("r+b", buffering=0)
            self._cut()

    @classmethod
    def create(
        cls,
        path: Path,
        run: Mapping[str, Any],
        rows: Iterable[Row] = (),
        records: Iterable[Row] = (),
    ) -> Self:
        """Begin a journal, with what is known already if anything, in place of any that is there.

        Raises:
            OutputError: it cannot be written.
            ValueError: ``run`` holds what JSON does not, NaN and infinity included.

        """
        header = Header(dict(run))
        count = 0
        # Through a temporary name, so that a journal without a whole header never exists.
        with writing(path) as file:
            end = file.write(header.line())
            for record in records:
                end += file.write(_record_line(record))
            for count, row in enumerate(rows, start=1):  # noqa: B007  the last count is the number
                end += file.write(encoded(row))
        return cls(path, header, end=end, rows=count)

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """Go on with a journal; a line that a crash cut off is removed.

        Raises:
            OutputError: it cannot be written.
            ResultFileError: it is damaged, or of a newer attnbench, or none at all.

        """
        with _opened(path) as file:
            lines = _whole_lines(file, path)
            header, end = _header(next(lines, None), path)
            rows = 0
            for line, line_end in lines:
                rows, end = rows + (RECORD not in line), line_end
        return cls(path, header, end=end, rows=rows)

    def append(self, row: Mapping[str, object]) -> None:
        """Add a row; when this returns it survives a crash.

        Raises:
            OutputError: the disk is full or gone; every row before this one stays readable.
            ValueError: the row is not one of the schema (see ``rows.checked``).

        """
        self._add(encoded(row))
        self.rows += 1

    def record(self, facts: Mapping[str, object]) -> None:
        """Add a record, which has the key ``record``; when this returns it survives a crash.

        Raises:
            OutputError: the disk is full or gone; everything before stays readable.
            ValueError: it holds what JSON does not, NaN and infinity included.

        """
        self._add(_record_line(facts))

    def _add(self, line: bytes) -> None:
        try:
            with explained(self.path, hint=self._rescue()):
                self._cut()
                written = 0
                while written < len(line):
                    written += self._file.write(line[written:])
                os.fsync(self._file.fileno())
        except BaseException:
            # Half a line is no harm to a reader, but the next one must not join up with it.
            with suppress(OSError):
                self._cut()
            raise
        self._end += len(line)

    def close(self) -> None:
        """Close the file; the journal stays."""
        self._file.close()

    def delete(self) -> None:
        """Close and remove the journal, once nothing depends on it any more.

        Raises:
            OutputError: it cannot be removed.

        """
        self.close()
        with explained(self.path):
            self.path.unlink(missing_ok=True)
        sync_folder(self.path.parent)

    def _cut(self) -> None:
        self._file.truncate(self._end)
        self._file.seek(self._end)

    def _rescue(self) -> str:
        return (
            f"its {self.rows} rows so far are safe: free some space and type the same with "
            f"--resume, or attnbench repair {self.path}"
        )


def read_header(path: Path) -> Header:
    """Return the first line of a journal.

    Raises:
        ResultFileError: it is damaged, or of a newer attnbench, or none at all.

    """
    with _opened(path) as file:
        return _header(next(_whole_lines(file, path), None), path)[0]


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a journal one by one, also while it is being written.

    Raises:
        ResultFileError: it is damaged, or of a newer attnbench, or none at all.

    """
    yield from (line for line in _after_header(path) if RECORD not in line)


def read_records(path: Path) -> list[Row]:
    """Return the records of a journal in their order.

    Raises:
        ResultFileError: it is damaged, or of a newer attnbench, or none at all.

    """
    return [line for line in _after_header(path) if RECORD in line]


def _after_header(path: Path) -> Iterator[Row]:
    with _opened(path) as file:
        lines = _whole_lines(file, path)
        header, _ = _header(next(lines, None), path)
        for line, _ in lines:
            yield upgrade_row(line, header.schema_version)


def _record_line(facts: Mapping[str, object]) -> bytes:
    if RECORD not in facts:
        raise ValueError(f"a record has the key {RECORD!r}")
    return json.dumps(facts, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise ResultFileError(f"cannot read {path}: {error.strerror}") from error


def _whole_lines(file: BinaryIO, path: Path) -> Iterator[tuple[Row, int]]:
    """Yield each whole line with the offset of its end; stop before one that was cut off."""
    end = 0
    for number, line in enumerate(iter(file.readline, b""), start=1):
        if not line.endswith(b"\n"):
            return
        try:
            value = json.loads(line)
        except ValueError as error:
            # After a power cut the last block may hold anything, a line feed too.
            if number > 1 and not file.read(1):
                return
            raise _damaged(path, number) from error
        if not isinstance(value, dict):
            raise _damaged(path, number)
        end += len(line)
        yield value, end


def _header(first: tuple[Row, int] | None, path: Path) -> tuple[Header, int]:
    line, end = first or ({}, 0)
    written, run = line.get("schema_version"), line.get("run")
    if line.get("journal") != _FORMAT or not isinstance(written, int) or not isinstance(run, dict):
        raise ResultFileError(
            f"{path} is not a journal of attnbench: its first line is no header",
            hint="remove it, or choose another name with --name or --out",
        )
    refuse_newer(path, written, run.get("attnbench_version"))
    return Header(run, written), end


def _damaged(path: Path, number: int) -> ResultFileError:
    return ResultFileError(
        f"{path}:{number} is damaged: it is not a JSON object",
        hint=f"remove line {number} and type: attnbench repair {path}",
    )
