"""Several runs in one result file, for runs that were measured on several machines."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from attnbench.errors import NameTakenError
from attnbench.store.atomic import check_writable
from attnbench.store.join import joined
from attnbench.store.parquet import write_parquet
from attnbench.store.run import Source, read, result_files


def merge_runs(sources: Source | Iterable[Source], out: Path) -> int:
    """Join result files into a new one and return its number of rows.

    A row that two files hold alike is kept once. The new footer lists the footers of the parts
    under ``merged``.

    Raises:
        NameTakenError: ``out`` exists.
        OutputError: ``out`` cannot be written.
        ResultFileError: a source cannot be read, or two disagree about one row of one run.

    """
    if out.exists():
        raise NameTakenError(f"{out} exists already", hint="choose another name with --out")
    runs = [read(path) for path in result_files(sources)]
    table = joined([(run.path, run.table) for run in runs])
    check_writable(out.parent, room_bytes=0)
    write_parquet(out, [table], {"merged": [run.metadata for run in runs]})
    return len(table)
