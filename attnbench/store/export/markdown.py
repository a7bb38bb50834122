"""A table for issues and pull requests: one line a case, as GitHub renders it.

A case's latency is the geometric mean of its processes'; in brackets stand the lowest and the
highest of them, or, of a single process, its in-process interval. A case with one row that is not
ok shows that row's status and reason and no number.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from attnbench.measurement import worst
from attnbench.store.export.cases import geometric_mean
from attnbench.units import flops_text, rate_text, time_text

if TYPE_CHECKING:
    import pandas as pd

_HEAD = ("case", "latency", "bandwidth", "compute", "status")
_ALIGN = ("---", "---:", "---:", "---:", "---")
_REASON_LENGTH = 80


def to_markdown(frame: pd.DataFrame) -> str:
    """Return rows of ``attnbench.load`` as a GitHub table; several runs get a column ``run``."""
    named = len(frame["run_id"].unique()) > 1
    head, align = (("run", *_HEAD), ("---", *_ALIGN)) if named else (_HEAD, _ALIGN)
    lines = [_line(head), _line(align)]
    keys = ["run_id", "side", "case_id", "method_id"]
    for _, rows in frame.groupby(keys, sort=False, dropna=False):
        run = (rows["run_name"].iloc[0],) if named else ()
        lines.append(_line((*run, *_cells(rows))))
    return "\n".join(lines) + "\n"


def _cells(rows: pd.DataFrame) -> tuple[str, ...]:
    label = rows["case_label"].iloc[0]
    status = worst(list(rows["status"]))
    if status != "ok":
        reason = rows.loc[rows["status"] == status, "reason"].iloc[-1]
        return (label, "", "", "", f"{status}: {_short(reason)}")
    notes = dict.fromkeys(note for listed in rows["notes"] for note in listed)
    return (
        label,
        _latency(rows),
        _rate(rows["bandwidth_gbps"], 1e9, rate_text),
        _rate(rows["tflops"], 1e12, flops_text),
        " ".join(("ok", *notes)),
    )


def _latency(rows: pd.DataFrame) -> str:
    values = [value * 1e-6 for value in rows["latency_us"]]
    if len(values) > 1:
        low, high, many = min(values), max(values), f" of {len(values)} processes"
    else:
        low, high = (rows[name].iloc[0] * 1e-6 for name in ("latency_low_us", "latency_high_us"))
        many = ""
    if math.isnan(low) or math.isnan(high):
        return time_text(geometric_mean(values))
    return f"{time_text(geometric_mean(values))} [{time_text(low)}, {time_text(high)}{many}]"


def _rate(values: pd.Series[Any], unit: float, text: Any) -> str:
    known = [value * unit for value in values.dropna() if value > 0]
    return str(text(geometric_mean(known))) if known else ""


def _short(reason: Any) -> str:
    first = str(reason).partition("\n")[0]
    return first if len(first) <= _REASON_LENGTH else f"{first[: _REASON_LENGTH - 1]}…"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"
