"""Reading runs: ``read`` for one file with what it says of itself, ``load`` for rows in pandas."""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.errors import ResultFileError
from attnbench.store.columns import COLUMNS, arrow_schema
from attnbench.store.diagnose import missing
from attnbench.store.join import joined
from attnbench.store.journal import SUFFIX, journal_path, read_header
from attnbench.store.parquet import read_footer, read_table
from attnbench.store.writer import footer_of, tables_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Source = str | os.PathLike[str]


@dataclass(frozen=True)
class Run:
    """One result file or journal; its rows are read when they are first asked for.

    ``metadata`` is what the run was begun with (environment, suite text, arguments) and, under
    ``records``, what it said of itself since; empty where another program dropped the footer.
    ``journal`` is the journal that still lies beside a result file: the run is still going on,
    or was cut off. ``finished`` is false for a journal, whose ``rows`` are not counted.
    """

    path: Path
    schema_version: int
    metadata: dict[str, Any]
    journal: Path | None
    finished: bool
    rows: int | None = None

    def columns(self, names: Collection[str]) -> pa.Table:
        """Some columns of the rows, in the order of the schema; of a journal, all of them.

        Raises:
            ResultFileError: the file is damaged.

        """
        return read_table(self.path, self.schema_version, names) if self.finished else self.table

    @cached_property
    def table(self) -> pa.Table:
        """The rows as an arrow table of every column of the present schema.

        Raises:
            ResultFileError: the file is damaged.

        """
        import pyarrow as pa

        if self.finished:
            return read_table(self.path, self.schema_version)
        return pa.concat_tables([arrow_schema().empty_table(), *tables_of(self.path)])

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows in pandas; the types are those of ``load``."""
        return _frame(self.table)


def read(path: Source) -> Run:
    """Open one result file, or the journal of an unfinished run.

    ``.parquet`` may be left out of the name.

    Raises:
        ResultFileError: missing, empty, cut short, foreign or newer; says what to do.

    """
    place = _located(Path(path).expanduser())
    if place.suffix == SUFFIX:
        header = read_header(place)
        metadata = footer_of(header.run, place)
        return Run(place, header.schema_version, metadata, None, finished=False)
    footer = read_footer(place)
    beside = journal_path(place)
    journal = beside if beside.exists() else None
    return Run(place, footer.schema_version, footer.run, journal, finished=True, rows=footer.rows)


def load(paths: Source | Iterable[Source]) -> pd.DataFrame:
    """Read result files into one data frame: a row is one case in one process.

    ``paths`` is a file, a folder (every ``*.parquet`` below it), a pattern such as
    ``results/**/*.parquet``, the ``.journal`` of an unfinished run, or several of these. Every
    column of the schema is there, in its order, and no other. NULL is missing in pandas' sense:
    whole numbers are ``Int64`` and flags ``boolean`` so that they stay what they are beside it,
    other numbers are ``float64``, texts ``str``, ``started_at`` is ``datetime64[us, UTC]``,
    ``samples_us`` holds float32 arrays and the lists of texts are lists. A row that two files hold
    (a copy, a merged file beside its parts) is there once.

    Raises:
        ResultFileError: a file is missing, empty, cut short, foreign or newer, or two disagree.

    """
    runs = [read(path) for path in result_files(paths)]
    for run in runs:
        if run.journal is not None:
            warnings.warn(
                f"{run.path} may not be whole: its journal {run.journal} still lies beside it; "
                f"the run goes on, or was cut off (attnbench repair {run.journal})",
                stacklevel=2,
            )
    if len(runs) == 1:
        return runs[0].frame
    return _frame(joined([(run.path, run.table) for run in runs]))


def result_files(paths: Source | Iterable[Source]) -> list[Path]:
    """List the files that ``load`` would read, each once.

    Raises:
        ResultFileError: a folder or a pattern leads to none.

    """
    sources = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found = [file for source in sources for file in _expanded(source)]
    if not found:
        raise ResultFileError("no result file was named")
    return list({file.resolve(): file for file in found}.values())


def _expanded(source: Source) -> list[Path]:
    path = Path(source).expanduser()
    if path.is_dir():
        if files := sorted(path.rglob("*.parquet")):
            return files
        hint = "attnbench run writes one"
        if journals := sorted(path.rglob(f"*{SUFFIX}")):
            hint = f"an unfinished run is there: attnbench repair {journals[0]}"
        raise ResultFileError(f"no result file (*.parquet) in {path}", hint=hint)
    # A name may hold brackets of its own; only what names no file is a pattern.
    if path.exists() or not any(mark in str(path) for mark in "*?["):
        return [path]
    wanted = SUFFIX if path.suffix == SUFFIX else ".parquet"
    names = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  absolute ones too
    if files := [Path(name) for name in names if name.endswith(wanted)]:
        return files
    raise ResultFileError(
        f"no result file matches {path}", hint="quote the pattern: '**/*.parquet'"
    )


def _located(path: Path) -> Path:
    longer = path.with_name(f"{path.name}.parquet")
    if path.is_dir():
        raise ResultFileError(f"{path} is a folder, not a result file")
    if not path.exists() and longer.exists():
        return longer
    if not path.exists():
        raise missing(path)
    return path


def _frame(table: pa.Table) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
    for column in COLUMNS:
        if column.type == "list<string>":
            frame[column.name] = pd.Series(table[column.name].to_pylist(), dtype=object)
    return frame
