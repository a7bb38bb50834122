"""Rows as tables: comma-separated values for programs, a GitHub table for people.

In CSV, NULL is an empty cell, a list is JSON (``[18.2,18.1]``, ``[]`` where it is empty), a flag is
``true`` or ``false``, a moment is ISO 8601 in UTC. Numbers lose no digit.

The GitHub table has a line for each case. A case's latency is the geometric mean of its processes';
in brackets stand the lowest and the highest of them, or, of a single process, its in-process
interval. A case with a row that is not ok shows that row's status and reason and no number.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attnbench.analysis.cases import CaseResult, cases_of
from attnbench.stats.latency import geometric_mean
from attnbench.store.columns import COLUMNS
from attnbench.units import flops_text, rate_text, time_text

if TYPE_CHECKING:
    import pandas as pd

_HEAD = ("case", "latency", "bandwidth", "compute", "status")
_ALIGN = ("---", "---:", "---:", "---:", "---")
_REASON_LENGTH = 80


def to_csv(frame: pd.DataFrame) -> str:
    """Return rows of ``attnbench.load`` as CSV with a header line."""
    columns = [_csv_cells(frame[column.name], column.type) for column in COLUMNS]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(column.name for column in COLUMNS)
    table.writerows(zip(*columns, strict=True))
    return text.getvalue()


def _csv_cells(values: pd.Series[Any], kind: str) -> list[str]:
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


def to_markdown(frame: pd.DataFrame) -> str:
    """Return rows of ``attnbench.load`` as a GitHub table; several runs get a column ``run``."""
    named = len(frame["run_id"].unique()) > 1
    head, align = (("run", *_HEAD), ("---", *_ALIGN)) if named else (_HEAD, _ALIGN)
    lines = [_line(head), _line(align)]
    for case in cases_of(frame, each_run=True):
        run = (case.rows[0]["run_name"],) if named else ()
        lines.append(_line((*run, *_cells(case))))
    return "\n".join(lines) + "\n"


def _cells(case: CaseResult) -> tuple[str, ...]:
    if case.status != "ok":
        *_, reason = (row["reason"] for row in case.rows if row["status"] == case.status)
        return (case.label, "", "", "", f"{case.status}: {_short(reason)}")
    return (
        case.label,
        _latency(case),
        _rate(case.known("bandwidth_gbps"), 1e9, rate_text),
        _rate(case.known("tflops"), 1e12, flops_text),
        " ".join(("ok", *case.notes)),
    )


def _latency(case: CaseResult) -> str:
    values = [value * 1e-6 for value in case.known("latency_us")]
    if len(values) > 1:
        ends, many = [min(values), max(values)], f" of {len(values)} processes"
    else:
        known = [case.rows[0][name] for name in ("latency_low_us", "latency_high_us")]
        ends, many = [value * 1e-6 for value in known if value is not None], ""
    text = time_text(geometric_mean(values))
    if len(ends) < 2:  # noqa: PLR2004  an interval has two
        return text
    return f"{text} [{time_text(ends[0])}, {time_text(ends[1])}{many}]"


def _rate(values: list[float], unit: float, text: Callable[[float], str]) -> str:
    known = [value * unit for value in values if value > 0]
    return text(geometric_mean(known)) if known else ""


def _short(reason: Any) -> str:
    first = str(reason).partition("\n")[0]
    return first if len(first) <= _REASON_LENGTH else f"{first[: _REASON_LENGTH - 1]}…"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"
