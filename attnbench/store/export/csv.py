"""Comma-separated values: one row a row, one value a cell, every column of the result file.

NULL is an empty cell, a list is JSON (``[18.2,18.1]``, ``[]`` where it is empty), a flag is
``true`` or ``false``, a moment is ISO 8601 in UTC. Numbers lose no digit.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from attnbench.store.columns import COLUMNS

if TYPE_CHECKING:
    import pandas as pd


def to_csv(frame: pd.DataFrame) -> str:
    """Return rows of ``attnbench.load`` as CSV with a header line."""
    columns = [_cells(frame[column.name], column.type) for column in COLUMNS]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(column.name for column in COLUMNS)
    table.writerows(zip(*columns, strict=True))
    return text.getvalue()


def _cells(values: pd.Series[Any], kind: str) -> list[str]:
    write = _WRITERS.get(kind, str)
    absent = values.isna()
    return ["" if gone else write(value) for value, gone in zip(values, absent, strict=True)]


def _float32_list(values: Any) -> str:
    # str of a float32 is its shortest text: 18.2, not the 18.200000762939453 of a double.
    return f"[{','.join(map(str, values))}]"


def _text_list(values: Any) -> str:
    return json.dumps(list(values), ensure_ascii=False)


def _flag(value: Any) -> str:
    return "true" if value else "false"


def _moment(value: Any) -> str:
    return str(value.isoformat())


_WRITERS = {
    "list<float32>": _float32_list,
    "list<string>": _text_list,
    "bool": _flag,
    "timestamp[us, UTC]": _moment,
}
