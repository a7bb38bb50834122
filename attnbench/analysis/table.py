"""Rows of a result file as cases, and cases as a table of problems by backends.

A case's latency is the geometric mean of its processes' and its interval comes from between them:
what differs between two fresh processes is the noise that counts. Below three processes there is no
interval. A case is ok when all its rows are; otherwise it has the status of its worst row and no
latency at all.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.errors import NothingSelected
from attnbench.measurement import worst
from attnbench.stats.latency import Latency, Rank, over_processes, rank_backends

if TYPE_CHECKING:
    import pandas as pd

SEPARATOR = " · "  # between problem and backend in a case's label

Row = dict[str, Any]
_ORDER = (
    *("phase", "mode", "attention", "dtype", "kv_dtype", "mask", "window", "head_dim"),
    *("v_head_dim", "q_heads", "kv_heads", "batch", "q_len", "kv_len", "requests"),
    "backend_label",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRows:
    """All rows of one case under one method."""

    case_id: str
    label: str
    backend: str
    timing: str
    status: str
    reason: str | None
    latency: Latency | None
    notes: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def problem(self) -> str:
        """The problem's label."""
        return self.label.partition(SEPARATOR)[0]


def case_rows(frame: pd.DataFrame) -> list[CaseRows]:
    """Gather the rows of each case, in the order of their problems."""
    groups: dict[tuple[str, str | None], list[Row]] = {}
    for row in plain_rows(frame):
        groups.setdefault((row["case_id"], row["method_id"]), []).append(row)
    return [_gathered(rows) for rows in sorted(groups.values(), key=_sort_key)]


def selected(frame: pd.DataFrame, text: str | None) -> pd.DataFrame:
    """Return the rows that a filter picks; it may name columns and options, too.

    Raises:
        InputError: the filter cannot be read.
        NothingSelected: it picks no row.

    """
    if text is None:
        return frame
    from attnbench.filter import parse

    chosen = parse(text, extra={*frame.columns, *option_names(frame)})
    picked = [chosen.matches(row_fields(row)) for row in plain_rows(frame)]
    if not any(picked):
        raise NothingSelected(f"no row matches {text!r}", hint=_nearest_hint(frame))
    return frame[picked]


def plain_rows(frame: pd.DataFrame) -> list[Row]:
    """Return rows as plain dictionaries, None where a value is missing."""
    import pandas as pd

    return [
        {str(name): _plain(value, pd.NA) for name, value in row.items()}
        for row in frame.to_dict(orient="records")
    ]


def row_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a filter may ask of a row: its columns, its backend's options, its label."""
    options = json.loads(row.get("backend_options") or "{}")
    return {**row, **options, "label": row.get("case_label")}


def option_names(frame: pd.DataFrame) -> set[str]:
    """Every option that a backend of these rows has set."""
    texts = frame["backend_options"].dropna().unique()
    return {name for text in texts for name in json.loads(text)}


def pivot(cases: Sequence[CaseRows]) -> tuple[list[str], dict[str, dict[str, CaseRows]]]:
    """Return the backends, and for each problem the case of each backend."""
    backends = sorted({one.backend for one in cases})
    several = len({one.timing for one in cases if one.timing}) > 1
    table: dict[str, dict[str, CaseRows]] = {}
    for one in cases:
        problem = f"{one.problem} {one.timing}".rstrip() if several else one.problem
        table.setdefault(problem, {})[one.backend] = one
    return backends, table


def counts(cases: Sequence[CaseRows]) -> Counter[str]:
    """How many cases have each status."""
    return Counter(one.status for one in cases)


def ranked(cases: Sequence[CaseRows]) -> list[Rank]:
    """Rank the backends over the problems that all of them finished."""
    latencies: dict[str, dict[str, float]] = {}
    for one in cases:
        if one.latency is not None:
            problem = f"{one.problem} {one.timing}"
            latencies.setdefault(problem, {})[one.backend] = one.latency.seconds
    return rank_backends(latencies)


def _nearest_hint(frame: pd.DataFrame) -> str:
    labels = frame["case_label"].dropna().unique()
    return f"the run's cases are such as {labels[0]!r}" if len(labels) else "the run has no row"


def _gathered(rows: list[Row]) -> CaseRows:
    status = worst([row["status"] for row in rows])
    telling = next(row for row in rows if row["status"] == status)
    measured = [row["latency_us"] / 1e6 for row in rows if row["latency_us"] is not None]
    return CaseRows(
        case_id=telling["case_id"],
        label=telling["case_label"] or telling["case_id"],
        backend=telling["backend_label"] or telling["backend"] or "",
        timing=next(filter(None, map(_timing, rows)), ""),
        status=status,
        reason=telling["reason"],
        latency=over_processes(measured) if status == "ok" and measured else None,
        notes=tuple(dict.fromkeys(code for row in rows for code in row["notes"] or ())),
        rows=tuple(rows),
    )


def _timing(row: Row) -> str:
    return " ".join(filter(None, (row["timer"], row["l2"])))


def _sort_key(rows: list[Row]) -> tuple[tuple[bool, Any], ...]:
    """Numbers as numbers, missing values last."""
    values = [rows[0][name] for name in _ORDER]
    return tuple((value is None, 0 if value is None else value) for value in values)


def _plain(value: Any, missing: object) -> Any:
    if value is missing or value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if hasattr(value, "tolist"):
        return value.tolist()
    return None if type(value).__name__ == "NaTType" else value
