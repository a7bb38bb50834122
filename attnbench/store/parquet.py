"""The parquet side of a result file: written as the schema stands, read whatever wrote it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.errors import OutputError, ResultFileError
from attnbench.store.atomic import writing
from attnbench.store.columns import COLUMNS, SCHEMA_VERSION, arrow_schema
from attnbench.store.diagnose import foreign, unreadable
from attnbench.store.rows import REQUIRED, RowKey
from attnbench.store.upgrade import refuse_newer, stored_names, upgrade_run, upgrade_table

if TYPE_CHECKING:
    import pyarrow as pa

VERSION_KEY = "attnbench.schema_version"
RUN_KEY = "attnbench.run"
_KEY_COLUMNS = ["case_id", "method_id", "process"]


@dataclass(frozen=True, slots=True)
class Footer:
    """What a result file says of itself without its rows; ``run`` is empty where it was lost."""

    schema_version: int
    run: dict[str, Any]
    rows: int


def write_parquet(
    path: Path, tables: Iterable[pa.Table], run: Mapping[str, Any], *, hint: str | None = None
) -> list[RowKey]:
    """Write tables of the full schema atomically, each as a row group; return their row keys.

    Raises:
        OutputError: it cannot be written, or what was written does not read back the same.

    """
    import pyarrow.parquet as pq

    metadata = {VERSION_KEY: str(SCHEMA_VERSION), RUN_KEY: json.dumps(run, allow_nan=False)}
    schema = arrow_schema().with_metadata(metadata)
    keys: list[RowKey] = []
    with (
        writing(path, hint=hint) as file,
        pq.ParquetWriter(
            file,
            schema,
            compression="zstd",
            use_dictionary=[
                _leaf(column.name, column.type) for column in COLUMNS if _is_text(column.type)
            ],
            column_encoding={"samples_us.list.element": "BYTE_STREAM_SPLIT"},
        ) as writer,
    ):
        for table in tables:
            writer.write_table(table.cast(schema))
            keys.extend(row_keys(table))
    if keys != row_keys(_table(path, _KEY_COLUMNS)):
        raise OutputError(f"{path} does not read back as it was written", hint=hint)
    return keys


def read_footer(path: Path) -> Footer:
    """Read what a file is without reading its rows.

    Raises:
        ResultFileError: it is damaged, no result of attnbench, or of a newer one.

    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
            present = [
                name for name in ("schema_version", "attnbench_version") if name in schema.names
            ]
            identity = file.read(columns=present)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error
    metadata = schema.metadata or {}
    try:
        # From a column where there is one: pandas and polars drop the metadata.
        written = int(_highest(identity, "schema_version") or metadata[VERSION_KEY.encode()])
        run = json.loads(metadata.get(RUN_KEY.encode(), b"{}"))
    except (KeyError, TypeError, ValueError):
        raise foreign(path, schema.names) from None
    refuse_newer(path, written, _highest(identity, "attnbench_version"))
    if not set(REQUIRED) <= set(schema.names):
        raise foreign(path, schema.names)
    return Footer(written, upgrade_run(run, written), rows)


def read_table(path: Path, written: int, columns: Collection[str] | None = None) -> pa.Table:
    """Read the rows of a file that schema version ``written`` made, in the present schema.

    Every column is there, or every one of ``columns``, in its order and type, and no other.

    Raises:
        ResultFileError: it is damaged, or a column does not hold what its name says.

    """
    if columns is None:
        return conformed(_table(path), written, path)
    return conformed(_table(path, stored_names(columns, written)), written, path, columns)


def conformed(
    table: pa.Table, written: int, path: Path, wanted: Collection[str] | None = None
) -> pa.Table:
    """Bring a table of schema version ``written`` into the present schema, or a part of it.

    Raises:
        ResultFileError: a column does not hold what its name says.

    """
    import pyarrow as pa

    table = upgrade_table(table, written)
    schema = arrow_schema()
    if wanted is not None:
        schema = pa.schema([field for field in schema if field.name in wanted])
    columns = []
    for field in schema:
        if field.name == "schema_version":
            column = pa.array([SCHEMA_VERSION] * len(table), field.type)
        elif field.name not in table.column_names:
            column = pa.nulls(len(table), field.type)
        else:
            try:
                column = table[field.name].cast(field.type)
            except pa.ArrowException as error:
                raise ResultFileError(
                    f"{path}: column {field.name} is {table[field.name].type}, not {field.type}",
                    hint="another program wrote this file; read the one that attnbench wrote",
                ) from error
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def row_keys(table: pa.Table) -> list[RowKey]:
    """Return the key of each row of a table."""
    return list(map(RowKey, *(table[name].to_pylist() for name in _KEY_COLUMNS)))


def _table(path: Path, columns: list[str] | None = None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            present = file.schema_arrow.names
            known = None if columns is None else [name for name in columns if name in present]
            return file.read(columns=known)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def _highest(table: pa.Table, name: str) -> Any:
    values = table[name].unique().to_pylist() if name in table.column_names else []
    return max((value for value in values if value is not None), default=None)


def _is_text(kind: str) -> bool:
    return kind in ("string", "list<string>")


def _leaf(name: str, kind: str) -> str:
    return f"{name}.list.element" if kind == "list<string>" else name
