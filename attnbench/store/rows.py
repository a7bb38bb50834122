"""A row of a result file on its way to the journal: checked, completed and made plain JSON."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from attnbench.store.columns import BY_NAME, CLOSED, SCHEMA_VERSION, Column, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

# What identifies a row wherever it goes; pandas and polars drop the footer, so columns must tell.
REQUIRED = ("run_id", "case_id", "status")
_NEVER_NULL: dict[str, object] = {
    "schema_version": SCHEMA_VERSION,
    "backend_options": "{}",
    "notes": (),
}
_INT64_MAX = 2**63 - 1


class RowKey(NamedTuple):
    """What one row of a run is about; ``process`` None is what the plan decided."""

    case_id: str
    method_id: str | None
    process: int | None


def row_key(row: Mapping[str, Any]) -> RowKey:
    """Return the key of a row."""
    return RowKey(row["case_id"], row.get("method_id"), row.get("process"))


def checked(row: Mapping[str, object]) -> Row:
    """Return the row as plain JSON values without its NULLs.

    ``started_at`` may be a datetime with a time zone, ISO 8601 text or seconds since the epoch.

    Raises:
        ValueError: an unknown column, a wrong type, NaN or infinity, a word outside its closed list
            or a missing identity. Each is a bug of the caller, never of the user.

    """
    if unknown := [name for name in row if name not in BY_NAME]:
        raise ValueError(f"no such column: {', '.join(unknown)}")
    plain: Row = {}
    for name, value in {**_NEVER_NULL, **row}.items():
        kept = _NEVER_NULL.get(name) if value is None else value
        if kept is not None and (json_value := _plain(BY_NAME[name], kept)) is not None:
            plain[name] = json_value
    if missing := [name for name in REQUIRED if name not in plain]:
        raise ValueError(f"a row needs {', '.join(missing)}")
    return plain


def encoded(row: Mapping[str, object]) -> bytes:
    """Return the journal's line for a row; see ``checked`` for what it refuses."""
    return json.dumps(checked(row), separators=(",", ":"), allow_nan=False).encode() + b"\n"


def to_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return rows read from a journal as an arrow table of all columns."""
    import pyarrow as pa

    parsed = []
    for row in rows:
        moment = row.get("started_at")
        started_at = None if moment is None else datetime.fromisoformat(moment)
        parsed.append({**row, "started_at": started_at})
    return pa.Table.from_pylist(parsed, schema=arrow_schema())


def standing(rows: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return the positions of the rows that stand: of one key the last, in their order.

    A measured row also replaces what an earlier plan said of its case (not_run, then measured).
    """
    last: dict[RowKey, int] = {}
    for position, row in enumerate(rows):
        key = row_key(row)
        if key.process is not None:
            last.pop(RowKey(key.case_id, key.method_id, None), None)
            last.pop(RowKey(key.case_id, None, None), None)
        last[key] = position
    return sorted(last.values())


def _plain(column: Column, value: object) -> object:
    try:
        plain = _READERS[column.type](value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{column.name} is {column.type}, got {value!r}: {error}") from error
    words = CLOSED.get(column.name)
    if words is not None:
        for word in plain if isinstance(plain, list) else [plain]:
            if word not in words:
                raise ValueError(f"{column.name} is one of {', '.join(words)}; got {word!r}")
    if column.type == "int64" and not -_INT64_MAX <= cast("int", plain) <= _INT64_MAX:
        if column.group in ("cost", "memory"):
            return None  # a figure for a case that no machine can run; its reason says it
        raise ValueError(f"{column.name} does not fit 64 bits: {plain}")
    return plain


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    # The output of a crashed process may hold half a character; no row is lost to it.
    return value.encode("utf-8", "backslashreplace").decode()


def _whole(value: object) -> int:
    if isinstance(value, bool):
        raise TypeError("not a whole number")
    return operator.index(cast("int", value))


def _number(value: object) -> float:
    if isinstance(value, bool | str):
        raise TypeError("not a number")
    number = float(cast("float", value))
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not true or false")
    return value


def _moment(value: object) -> str:
    if isinstance(value, int | float):
        value = datetime.fromtimestamp(value, UTC)
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise TypeError("not a moment with a time zone")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _list_of(one: Callable[[object], object]) -> Callable[[object], list[object]]:
    def read(value: object) -> list[object]:
        if isinstance(value, str | bytes):
            raise TypeError("not a list")
        return [one(element) for element in cast("Iterable[object]", value)]

    return read


_READERS: dict[str, Callable[[object], object]] = {
    "string": _text,
    "int64": _whole,
    "float64": _number,
    "bool": _flag,
    "timestamp[us, UTC]": _moment,
    "list<float32>": _list_of(_number),
    "list<string>": _list_of(_text),
}
