"""Rows as the cases that another tool can take: one name, one latency, its spread, its samples.

Other tools know only numbers: a case that is not ok has none and is left out, and the export says
so. A case's latency is the geometric mean of its processes', as everywhere else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.analysis.cases import Row, cases_of, status_counts, table_of
from attnbench.errors import ResultFileError
from attnbench.measurement import STATUSES
from attnbench.stats.latency import geometric_mean

if TYPE_CHECKING:
    import pandas as pd


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
    rows: tuple[Row, ...]

    def samples(self) -> list[list[float]]:
        """Return the samples of each process, in seconds."""
        return [[one * 1e-6 for one in row["samples_us"]] for row in self.rows]

    def fact(self, column: str) -> Any:
        """Return what a column says in the first process, as plain JSON; None if unknown."""
        value = self.rows[0][column]
        return value.isoformat() if hasattr(value, "isoformat") else value

    def mean(self, column: str) -> float | None:
        """Arithmetic mean of a column over processes; None where no process has it."""
        known = [row[column] for row in self.rows if row[column] is not None]
        return float(np.mean(known)) if known else None


def ok_cases(frame: pd.DataFrame) -> list[ExportedCase]:
    """Gather the ok cases of rows of ``attnbench.load``, each under a name of its own.

    A name is the case's label, with the timing where one case was timed in several ways, and with
    the run where there are several; it depends on nothing that was measured.

    Raises:
        ResultFileError: an ok row without a sample, or with a time that cannot be one.

    """
    cases = [one for one in cases_of(frame, each_run=True) if one.status == "ok"]
    several_runs = len(frame[["run_id", "side"]].drop_duplicates()) > 1
    names = _names([one.rows[0] for one in cases], several_runs=several_runs)
    return [_case(name, one.rows) for name, one in zip(names, cases, strict=True)]


def left_out(frame: pd.DataFrame) -> str:
    """Count the cases without a number: ``3 oom, 1 skipped``; nothing where there is none."""
    found = status_counts(table_of(frame), each_run=True)
    return ", ".join(
        f"{found[status]:,} {status}" for status in STATUSES if status != "ok" and found[status]
    )


def _names(firsts: Sequence[Row], *, several_runs: bool) -> list[str]:
    runs = ["" if not several_runs else f"{_run(row)} · " for row in firsts]
    labels = [
        f"{run}{row['case_label'] or row['case_id']}" for run, row in zip(runs, firsts, strict=True)
    ]
    timings = [" ".join(row[name] or "" for name in ("timer", "l2")) for row in firsts]
    ids = [str(row["case_id"]) for row in firsts]
    # What tells two cases of one label apart is added until no name is there twice.
    for extra in (timings, ids, [str(row["method_id"]) for row in firsts]):
        count = Counter(labels)
        labels = [
            f"{label} [{more}]" if count[label] > 1 else label
            for label, more in zip(labels, extra, strict=True)
        ]
    return labels


def _run(row: Row) -> str:
    name = row["run_name"] or row["run_id"]
    return f"{name} {row['side']}" if row["side"] else str(name)


def _case(name: str, rows: Sequence[Row]) -> ExportedCase:
    ordered = sorted(rows, key=lambda row: math.inf if row["process"] is None else row["process"])
    _require_times(name, ordered)
    values = [row["latency_us"] * 1e-6 for row in ordered]
    low: float | None = min(values)
    high: float | None = max(values)
    if len(values) == 1:
        ends = [ordered[0][column] for column in ("latency_low_us", "latency_high_us")]
        low, high = (None if end is None else end * 1e-6 for end in ends)
    return ExportedCase(
        name=name, latency=geometric_mean(values), low=low, high=high, rows=tuple(ordered)
    )


def _require_times(name: str, rows: Sequence[Row]) -> None:
    """Refuse what is no time: a NaN passes every threshold of every tool that reads it."""
    for row in rows:
        times = [row["latency_us"], *(row["samples_us"] or ())]
        if len(times) > 1 and all(
            one is not None and math.isfinite(one) and one > 0 for one in times
        ):
            continue
        raise ResultFileError(
            f"an ok row of {name} has no sample, or one that is not finite and above zero",
            hint="the file was changed or its timer was broken; measure again",
        )
