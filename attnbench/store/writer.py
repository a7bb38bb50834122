"""Writing a run: rows into its journal one by one, then all of them into its parquet file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from attnbench.errors import NameTakenError, ResultFileError
from attnbench.store.atomic import check_writable
from attnbench.store.columns import SCHEMA_VERSION
from attnbench.store.diagnose import missing
from attnbench.store.journal import (
    Journal,
    journal_path,
    read_records,
    read_rows,
)
from attnbench.store.lock import RunLock
from attnbench.store.parquet import conformed, read_footer, read_table, write_parquet
from attnbench.store.rows import Row, standing, to_table

if TYPE_CHECKING:
    import pyarrow as pa

# Rows held in memory at once while the result file is written, and a row group of it.
_GROUP_ROWS = 1000
RECORDS = "records"  # the key under which the footer holds them


class RunWriter:
    """The one writer of a run; ``run`` is what its footer holds, ``path`` the result file to be.

    Made by ``create`` or ``resume``, it holds the run's lock until ``finish`` or ``close``. Leaving
    a ``with`` block closes it: what was measured stays in the journal.
    """

    def __init__(self, path: Path, journal: Journal, lock: RunLock) -> None:
        self.path = path
        self._journal = journal
        self._lock = lock

    @classmethod
    def create(cls, path: Path, run: Mapping[str, Any]) -> Self:
        """Begin a run whose result file will be ``path``.

        Raises:
            NameTakenError: the name has a result or an unfinished run, or is being written.
            OutputError: nothing can be written there.
            ValueError: ``run`` holds what JSON does not, NaN and infinity included.

        """
        check_writable(path.parent)
        return cls._holding(path, lambda: _new_journal(path, run))

    @classmethod
    def resume(cls, path: Path) -> Self:
        """Go on with an unfinished run, or with a finished one to measure more or anew.

        Raises:
            NameTakenError: another process is writing it.
            OutputError: nothing can be written there.
            ResultFileError: there is no such run, or its file is damaged, foreign or newer.

        """
        check_writable(path.parent)
        return cls._holding(path, lambda: _resumed_journal(path))

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """Open an unfinished run of any schema version only to ``finish`` it.

        Raises:
            NameTakenError: another process is writing it.
            OutputError: nothing can be written there.
            ResultFileError: its journal is missing, damaged or newer.

        """
        check_writable(path.parent, room_bytes=0)
        return cls._holding(path, lambda: Journal.reopen(journal_path(path)))

    @classmethod
    def _holding(cls, path: Path, open_journal: Callable[[], Journal]) -> Self:
        lock = RunLock(path)
        try:
            return cls(path, open_journal(), lock)
        except BaseException:
            lock.release()
            raise

    @property
    def row_count(self) -> int:
        """Rows in the journal, replaced ones included."""
        return self._journal.rows

    @property
    def run(self) -> dict[str, Any]:
        """What the run was begun with: environment, suite text, arguments."""
        return self._journal.header.run

    def rows(self) -> Iterator[Row]:
        """Yield what the journal holds so far, replaced rows included, one by one."""
        return read_rows(self._journal.path)

    def append(self, row: Mapping[str, object]) -> None:
        """Add a row; when this returns it survives a crash.

        Raises:
            OutputError: the disk is full or gone; every row before this one stays readable.
            ValueError: the row is not one of the schema (see ``rows.checked``).

        """
        self._journal.append(row)

    def record(self, facts: Mapping[str, object]) -> None:
        """Add what the run says of itself and of no case; its kind is under the key ``record``.

        The footer of the result file holds all of them, in their order, under ``records``.

        Raises:
            OutputError: the disk is full or gone; everything before stays readable.
            ValueError: it holds what JSON does not, NaN and infinity included.

        """
        self._journal.record(facts)

    def finish(self) -> int:
        """Write the result file from the journal, read it back, remove the journal.

        Returns the number of rows; of one row key the last row in the journal is kept.

        Raises:
            OutputError: the file cannot be written; the journal is kept.

        """
        place = self._journal.path
        hint = f"every row is safe in the journal; free some space, then: attnbench repair {place}"
        keys = write_parquet(self.path, tables_of(place), footer_of(self.run, place), hint=hint)
        self._journal.delete()
        self._lock.release()
        return len(keys)

    def close(self) -> None:
        """Let go of the run and keep its journal; one that holds no row is removed."""
        if self._lock.is_held:
            if self._journal.rows:
                self._journal.close()
            else:
                self._journal.delete()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def tables_of(journal: Path) -> Iterator[pa.Table]:
    """Yield the standing rows of a journal as tables of a row group each, in bounded memory."""
    stands = set(standing(read_rows(journal)))
    rows = (row for position, row in enumerate(read_rows(journal)) if position in stands)
    while group := list(islice(rows, _GROUP_ROWS)):
        yield conformed(to_table(group), SCHEMA_VERSION, journal)


def footer_of(run: Mapping[str, Any], journal: Path) -> dict[str, Any]:
    """Return what a footer holds: what the run was begun with, and its records if any."""
    records = read_records(journal)
    return {**run, RECORDS: records} if records else dict(run)


def _new_journal(path: Path, run: Mapping[str, Any]) -> Journal:
    if path.exists():
        raise NameTakenError(
            f"{path} exists already",
            hint="go on with that run: --resume; or choose another name with --name or --out",
        )
    place = journal_path(path)
    # A run that was killed before its first row left nothing worth keeping.
    if place.exists() and (count := sum(1 for _ in read_rows(place))):
        raise NameTakenError(
            f"{place} holds {count:,} row{'' if count == 1 else 's'} of an unfinished run",
            hint=f"go on with it: --resume; keep what it has: attnbench repair {place}; "
            "or choose another name with --name or --out",
        )
    return Journal.create(place, run)


def _resumed_journal(path: Path) -> Journal:
    place = journal_path(path)
    journal = Journal.reopen(place) if place.exists() else _journal_again(path)
    if journal.header.schema_version != SCHEMA_VERSION:
        journal.close()
        raise ResultFileError(
            f"{place} was begun by an older attnbench, and a run keeps to one version",
            hint=f"keep what was measured: attnbench repair {place}",
        )
    return journal


def _journal_again(path: Path) -> Journal:
    """Turn a finished run back into a journal, the parquet file staying until the next finish."""
    if not path.exists():
        raise missing(path)
    footer = read_footer(path)
    if not footer.run:
        raise ResultFileError(
            f"{path} has lost the footer that says how it was measured",
            hint="another program wrote it again; go on with the file that attnbench wrote",
        )
    rows = (
        row
        for batch in read_table(path, footer.schema_version).to_batches(max_chunksize=_GROUP_ROWS)
        for row in batch.to_pylist()
    )
    begun = {key: value for key, value in footer.run.items() if key != RECORDS}
    return Journal.create(journal_path(path), begun, rows, footer.run.get(RECORDS, ()))
