"""Rebuilding a result file from its journal, after a crash, a full disk or a broken copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attnbench.errors import ResultFileError
from attnbench.store.journal import SUFFIX, journal_path, parquet_path
from attnbench.store.parquet import read_footer
from attnbench.store.run import Source
from attnbench.store.writer import RunWriter


@dataclass(frozen=True, slots=True)
class Repaired:
    """What ``repair_run`` did: ``rows`` are in ``path``; ``rebuilt`` is false if all was well."""

    path: Path
    rows: int
    rebuilt: bool


def repair_run(path: Source) -> Repaired:
    """Write the result file of a run from its journal; ``path`` names either of the two.

    Raises:
        NameTakenError: the run is still being written.
        OutputError: the result file cannot be written; the journal is kept.
        ResultFileError: there is no journal to rebuild it from, or the journal is damaged or holds
            no row.

    """
    named = Path(path).expanduser()
    journal = named if named.suffix == SUFFIX else journal_path(named)
    out = named if named.exists() and named != journal else parquet_path(journal)
    if not journal.exists():
        return _without_journal(out)
    with RunWriter.reopen(out) as writer:
        if not writer.row_count:
            raise ResultFileError(f"{journal} held no row and is removed: nothing was measured")
        return Repaired(out, writer.finish(), rebuilt=True)


def _without_journal(out: Path) -> Repaired:
    """A result file that is whole needs no journal; anything else cannot be had without one."""
    if out.exists():
        return Repaired(out, read_footer(out).rows, rebuilt=False)
    raise ResultFileError(
        f"{out} does not exist and has no journal {journal_path(out)} to be rebuilt from"
    )
