"""All cases as one table, and those that are not ok gathered by their reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from attnbench.measurement import STATUSES
from attnbench.report.model import CaseTable, Column, ReasonGroup, ReportData
from attnbench.report.points import Point
from attnbench.units import bytes_text, count_text, significant

_FIGURE = re.compile(r"\d+(?:[.,]\d+)*(?: [kMGT]?B\b| m?s\b| min\b| h\b)?")
_LONGEST_REASON = 600

_COLUMNS = (
    Column("problem", "phase, requests, query/KV heads x head_dim, dtype, what is not a default"),
    Column("backend", "with the options that are not its defaults"),
    Column("status", "ok, or why there is no latency"),
    Column("phase", "prefill, decode, extend or mixed", is_minor=True),
    Column("batch", "sequences", is_number=True, is_minor=True),
    Column("q_len", "query tokens a sequence", is_number=True, is_minor=True),
    Column("kv_len", "key tokens a sequence", is_number=True, is_minor=True),
    Column("q_heads", "query heads", is_number=True, is_minor=True),
    Column("kv_heads", "key-value heads", is_number=True, is_minor=True),
    Column("head_dim", "width of a head", is_number=True, is_minor=True),
    Column("dtype", "of queries and output", is_minor=True),
    Column("latency_us", "µs, geometric mean over processes; lower is better", is_number=True),
    Column("interval", "±%, half of the 95 % interval between processes", is_number=True),
    Column("vs_best", "latency over that of the fastest backend of the problem", is_number=True),
    Column("gbps", "GB/s of the least traffic; higher is better", is_number=True),
    Column("pct_bandwidth", "% of the best bandwidth measured", is_number=True),
    Column("tflops", "TFLOP/s; higher is better", is_number=True),
    Column("peak_bytes", "most memory during a call; lower is better", is_number=True),
    Column("processes", "fresh processes", is_number=True),
    Column("notes", "what the measurement carries"),
    Column("repro", "the command that measures this case alone"),
)
_RUN = Column("run", "which of the runs")


def case_table(subject: ReportData) -> CaseTable:
    """Make a line of every case; a run's name is a column only where there are several."""
    several = len({point.run for point in subject.points}) > 1
    best = {id(point): one.best.seconds for one in subject.contests for point in one.points}
    rows = []
    for point in subject.points:
        line = _line(point, best.get(id(point)))
        rows.append(((point.run, point.run), *line) if several else line)
    return CaseTable((_RUN, *_COLUMNS) if several else _COLUMNS, tuple(rows))


def failures(points: Sequence[Point]) -> tuple[ReasonGroup, ...]:
    """Gather cases by status, backend and reason; reasons that differ in figures alone are one."""
    groups: dict[tuple[str, str, str], list[Point]] = {}
    for point in points:
        if point.case.status != "ok":
            first = (point.case.reason or "").partition("\n")[0]
            key = (point.case.status, point.backend, _FIGURE.sub("0", first))
            groups.setdefault(key, []).append(point)
    ordered = sorted(groups.items(), key=lambda one: (-STATUSES.index(one[0][0]), -len(one[1])))
    return tuple(
        ReasonGroup(
            status,
            backend,
            (members[0].case.reason or "no reason was kept")[:_LONGEST_REASON],
            tuple(point.case.problem for point in members),
        )
        for (status, backend, _), members in ordered
    )


def _line(point: Point, best: float | None) -> tuple[tuple[str, Any], ...]:
    row = point.row
    return (
        (point.case.problem, point.case.problem),
        (point.backend, point.backend),
        (point.case.status, point.case.status),
        (point.phase, point.phase),
        *(_count(row[name]) for name in ("batch", "q_len", "kv_len")),
        *(_whole(row[name]) for name in ("q_heads", "kv_heads", "head_dim")),
        (str(row["dtype"] or ""), str(row["dtype"] or "")),
        *_measured(point, best),
        (" ".join(point.case.notes), " ".join(point.case.notes)),
        (str(row["repro"] or ""), str(row["repro"] or "")),
    )


def _measured(point: Point, best: float | None) -> tuple[tuple[str, Any], ...]:
    latency = point.latency
    if latency is None:
        return (("", None),) * 8
    half = latency.half_width
    peak = point.middle("peak_bytes")
    ratio = None if best is None else latency.seconds / best
    return (
        _number(latency.seconds * 1e6),
        ("", None) if half is None else (f"±{100 * half:.1f}", round(100 * half, 3)),
        ("", None) if ratio is None else (f"{ratio:.2f}x", round(ratio, 4)),
        _number(point.bandwidth_gbps),
        _number(point.bandwidth_share, 1),
        _number(point.tflops),
        ("", None) if peak is None else (bytes_text(peak), round(peak)),
        (str(latency.processes), latency.processes),
    )


def _number(value: float | None, decimals: int | None = None) -> tuple[str, Any]:
    if value is None:
        return ("", None)
    text = significant(value) if decimals is None else f"{value:.{decimals}f}"
    return (text, float(f"{value:.5g}"))


def _count(value: int | None) -> tuple[str, Any]:
    return ("", None) if value is None else (count_text(value), value)


def _whole(value: int | None) -> tuple[str, Any]:
    return ("", None) if value is None else (str(value), value)
