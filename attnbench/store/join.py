"""The rows of several result files as one table, each measurement in it once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.errors import ResultFileError

if TYPE_CHECKING:
    import pyarrow as pa

# One execution of a suite, seen in two files (a copy, a merged file beside its parts), counts once.
_KEY = ("run_id", "side", "case_id", "method_id", "process")
_Place = tuple[int, int]


def joined(tables: Sequence[tuple[Path, pa.Table]]) -> pa.Table:
    """Join tables of the present schema; a row that two files hold alike is kept once.

    Raises:
        ResultFileError: two files hold one row of one run with different values.

    """
    import pyarrow as pa

    seen: dict[tuple[object, ...], _Place] = {}
    parts = []
    for number, (_, table) in enumerate(tables):
        kept = []
        keys = zip(*(table[name].to_pylist() for name in _KEY), strict=True)
        for row, key in enumerate(keys):
            first = seen.setdefault(key, (number, row))
            if first == (number, row):
                kept.append(row)
            else:
                _require_equal(tables, first, (number, row))
        parts.append(table if len(kept) == len(table) else table.take(pa.array(kept, pa.int64())))
    return pa.concat_tables(parts)


def _require_equal(tables: Sequence[tuple[Path, pa.Table]], first: _Place, second: _Place) -> None:
    one, other = (tables[number][1].slice(row, 1) for number, row in (first, second))
    if one.equals(other):
        return
    differing = [name for name in one.column_names if not one[name].equals(other[name])]
    label = one["case_label"][0].as_py() or one["case_id"][0].as_py()
    process = one["process"][0].as_py()
    where = "" if process is None else f", process {process}"
    raise ResultFileError(
        f"{tables[first[0]][0]} and {tables[second[0]][0]} disagree about one row of one run\n"
        f"  {label}{where}: {', '.join(differing[:5])}",
        hint="one of them is older or was changed; leave it out",
    )
