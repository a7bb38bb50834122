"""Rows as the cases that another tool can take: one name, one latency, its spread, its samples.

Tools of others know numbers alone: a case that is not ok has none and is left out, and whoever
exports says so. A case's latency is the geometric mean of its processes', as everywhere else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.errors import ResultFileError
from attnbench.measurement import STATUSES, worst

if TYPE_CHECKING:
    import pandas as pd

_KEYS = ["run_id", "side", "case_id", "method_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedCase:
    """One ok case under one method of one run; times in seconds.

    ``low`` and ``high`` are the lowest and the highest process, of a single process its in-process
    interval, None where that is unknown. ``rows`` are its processes, in their order.
    """

    name: str
    latency: float
    low: float | None
    high: float | None
    rows: pd.DataFrame

    @property
    def processes(self) -> int:
        """How many fresh processes the latency is of."""
        return len(self.rows)

    def samples(self) -> list[list[float]]:
        """The samples of each process, in seconds."""
        return [[float(one) * 1e-6 for one in values] for values in self.rows["samples_us"]]

    def fact(self, column: str) -> Any:
        """What a column says in the first process, as plain JSON; None where it is unknown."""
        return plain(self.rows[column].iloc[0])

    def mean(self, column: str) -> float | None:
        """Arithmetic mean of a column over processes; None where no process has it."""
        known = self.rows[column].dropna()
        return float(known.mean()) if len(known) else None


def ok_cases(frame: pd.DataFrame) -> list[ExportedCase]:
    """Gather the ok cases of rows of ``attnbench.load``, each under a name of its own.

    A name is the case's label, with the timing where one case was timed in several ways, and with
    the run where there are several; it depends on nothing that was measured.

    Raises:
        ResultFileError: an ok row without a sample, or with a time that cannot be one.

    """
    groups = [rows for rows in _groups(frame) if worst(list(rows["status"])) == "ok"]
    names = _names([rows.iloc[0] for rows in groups], several_runs=_runs(frame) > 1)
    return [_case(name, rows) for name, rows in zip(names, groups, strict=True)]


def left_out(frame: pd.DataFrame) -> str:
    """Count the cases without a number: ``3 oom, 1 skipped``; nothing where there is none."""
    found = Counter(worst(list(rows["status"])) for rows in _groups(frame))
    return ", ".join(
        f"{found[status]:,} {status}" for status in STATUSES if status != "ok" and found[status]
    )


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean, never beyond the values that it is of."""
    mean = math.exp(math.fsum(map(math.log, values)) / len(values))
    return min(max(mean, min(values)), max(values))


def plain(value: Any) -> Any:
    """Return a cell as plain JSON; None where it is missing."""
    import pandas as pd

    if hasattr(value, "isoformat"):
        return None if pd.isna(value) else value.isoformat()
    if isinstance(value, list | str | bool | int):
        return value
    if value is None or pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def _groups(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for _, rows in frame.groupby(_KEYS, sort=False, dropna=False):
        yield rows


def _runs(frame: pd.DataFrame) -> int:
    return len(frame[["run_id", "side"]].drop_duplicates())


def _names(firsts: Sequence[pd.Series[Any]], *, several_runs: bool) -> list[str]:
    runs = ["" if not several_runs else f"{_run(row)} · " for row in firsts]
    labels = [
        f"{run}{plain(row['case_label']) or row['case_id']}"
        for run, row in zip(runs, firsts, strict=True)
    ]
    timings = [" ".join(plain(row[name]) or "" for name in ("timer", "l2")) for row in firsts]
    ids = [str(row["case_id"]) for row in firsts]
    # What tells two cases of one label apart is added until nothing is there twice.
    for extra in (timings, ids, [str(plain(row["method_id"])) for row in firsts]):
        count = Counter(labels)
        labels = [
            f"{label} [{more}]" if count[label] > 1 else label
            for label, more in zip(labels, extra, strict=True)
        ]
    return labels


def _run(row: pd.Series[Any]) -> str:
    name = plain(row["run_name"]) or row["run_id"]
    side = plain(row["side"])
    return f"{name} {side}" if side else str(name)


def _case(name: str, rows: pd.DataFrame) -> ExportedCase:
    rows = rows.sort_values("process", kind="stable")
    _require_times(name, rows)
    values = [float(value) * 1e-6 for value in rows["latency_us"]]
    low: float | None = min(values)
    high: float | None = max(values)
    if len(values) == 1:
        ends = [plain(rows[column].iloc[0]) for column in ("latency_low_us", "latency_high_us")]
        low, high = (None if end is None else end * 1e-6 for end in ends)
    return ExportedCase(name=name, latency=geometric_mean(values), low=low, high=high, rows=rows)


def _require_times(name: str, rows: pd.DataFrame) -> None:
    """Refuse what is no time: a NaN passes every threshold of every tool that reads it."""
    for latency, samples in zip(rows["latency_us"], rows["samples_us"], strict=True):
        times = [latency, *(samples if samples is not None else ())]
        if len(times) > 1 and all(math.isfinite(one) and one > 0 for one in times):
            continue
        raise ResultFileError(
            f"an ok row of {name} has no sample, or one that is not finite and above zero",
            hint="the file was changed or its timer was broken; measure again",
        )
