"""From older result files to the present schema; files of a newer one are refused.

Version 2 says *process* where version 1 said *launch*: the column and the records of canaries, one
note, and two keys of the suite. Rows and tables are upgraded when they are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.errors import ResultFileError
from attnbench.store.columns import SCHEMA_VERSION

if TYPE_CHECKING:
    import pyarrow as pa

_NOTES_1 = {"FEW_LAUNCHES": "FEW_PROCESSES"}
# The key of a block map at the start of a line, or of a flow map behind "{" or ",". The text is
# read again for its gate; `suite_sha256` stays the hash of the text as it was.
_SUITE_KEYS_1 = re.compile(r"(?m)(^[ \t]*|[{,][ \t]*)(min_)?launches(?=[ \t]*:(?:[ \t]|$))")
_COLUMNS_1 = {"process": "launch"}


def _table_1_to_2(table: pa.Table) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    names = ["process" if name == "launch" else name for name in table.column_names]
    table = table.rename_columns(names)
    if "notes" not in names or not pa.types.is_list(table["notes"].type):
        return table
    at, notes = names.index("notes"), table["notes"].combine_chunks()
    for old, new in _NOTES_1.items():
        if not pc.any(pc.equal(pc.list_flatten(notes), old)).as_py():
            continue
        said = [one and [new if note == old else note for note in one] for one in notes.to_pylist()]
        notes = pa.array(said, notes.type)
    return table.set_column(at, "notes", notes)


def _row_1_to_2(row: Mapping[str, Any]) -> dict[str, Any]:
    new = {"process" if name == "launch" else name: value for name, value in row.items()}
    if isinstance(notes := new.get("notes"), list):
        new["notes"] = [_NOTES_1.get(note, note) for note in notes]
    return new


def _run_1_to_2(run: Mapping[str, Any]) -> dict[str, Any]:
    new = dict(run)
    if isinstance(text := new.get("suite_text"), str):
        new["suite_text"] = _SUITE_KEYS_1.sub(r"\1\2processes", text)
    if isinstance(records := new.get("records"), list):
        new["records"] = [_row_1_to_2(one) for one in records if isinstance(one, dict)]
    return new


# From version n to n + 1. A version that only added columns needs no step, for a column that a file
# lacks is read as NULL.
TABLE_STEPS: dict[int, Callable[[pa.Table], pa.Table]] = {1: _table_1_to_2}
ROW_STEPS: dict[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: _row_1_to_2}
RUN_STEPS: dict[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: _run_1_to_2}


def stored_names(columns: Collection[str], written: int) -> list[str]:
    """Return what a file of schema version ``written`` may call these columns."""
    older = [_COLUMNS_1[name] for name in columns if written < 2 and name in _COLUMNS_1]  # noqa: PLR2004
    return [*columns, *older]


def upgrade_table(table: pa.Table, written: int) -> pa.Table:
    """Bring a table that schema version ``written`` made to the present one, step by step."""
    return _climbed(table, written, TABLE_STEPS)


def upgrade_row(row: dict[str, Any], written: int) -> dict[str, Any]:
    """Bring a row or a record of a journal to the present schema, step by step."""
    upgraded: dict[str, Any] = _climbed(row, written, ROW_STEPS)
    return upgraded


def upgrade_run(run: dict[str, Any], written: int) -> dict[str, Any]:
    """Bring what a file says of its run to the present words, step by step."""
    upgraded: dict[str, Any] = _climbed(run, written, RUN_STEPS)
    return upgraded


def _climbed(value: Any, written: int, steps: Mapping[int, Callable[[Any], Any]]) -> Any:
    for step in range(written, SCHEMA_VERSION):
        if step in steps:
            value = steps[step](value)
    return value


def refuse_newer(path: Path, written: int, author: str | None) -> None:
    """Refuse a file whose schema is newer than ours; ``author`` is the attnbench that wrote it.

    Raises:
        ResultFileError: says both versions and what to install.

    """
    if written <= SCHEMA_VERSION:
        return
    from importlib import metadata

    try:
        ours = f"this is attnbench {metadata.version('attnbench')}"
    except metadata.PackageNotFoundError:
        ours = "this attnbench"
    reads = "schema 1" if SCHEMA_VERSION == 1 else f"schemas 1 to {SCHEMA_VERSION}"
    by = f" (attnbench {author})" if author else ""
    wanted = f'"attnbench>={author}"' if author else "attnbench"
    raise ResultFileError(
        f"{path} uses result schema {written}{by}\n  {ours}, which reads {reads}",
        hint=f"pip install -U {wanted}",
    )
