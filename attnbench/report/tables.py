"""The tables of a page: all cases, the failures by reason, and where each run comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attnbench.measurement import STATUSES
from attnbench.render.values import ratio_text
from attnbench.report.model import CaseTable, Column, Provenance, ReasonGroup, ReportData
from attnbench.report.points import Point
from attnbench.units import (
    bytes_text,
    count_text,
    duration_text,
    flops_text,
    rate_text,
    significant,
)

_FIGURE = re.compile(r"\d+(?:[.,]\d+)*(?: [kMGT]?B\b| m?s\b| min\b| h\b)?")
_LONGEST_REASON = 600

_COLUMNS = (
    Column("problem", "phase, requests, query/KV heads x head_dim, dtype, non-default fields"),
    Column("backend", "label with its non-default options"),
    Column("status", "ok, or why there is no latency"),
    Column("phase", "prefill, decode, extend or mixed", is_minor=True),
    Column("batch", "number of sequences", is_number=True, is_minor=True),
    Column("q_len", "query tokens per sequence", is_number=True, is_minor=True),
    Column("kv_len", "key tokens per sequence", is_number=True, is_minor=True),
    Column("q_heads", "query heads", is_number=True, is_minor=True),
    Column("kv_heads", "key-value heads", is_number=True, is_minor=True),
    Column("head_dim", "size of a head", is_number=True, is_minor=True),
    Column("dtype", "dtype of queries and output", is_minor=True),
    Column("latency_us", "µs, geometric mean over processes; lower is better", is_number=True),
    Column("interval", "±%, half of the 95 % interval between processes", is_number=True),
    Column("vs_best", "latency relative to the fastest backend on the problem", is_number=True),
    Column("gbps", "GB/s of the minimum traffic; higher is better", is_number=True),
    Column("pct_bandwidth", "% of the best measured bandwidth", is_number=True),
    Column("tflops", "TFLOP/s; higher is better", is_number=True),
    Column("peak_bytes", "peak memory during a call; lower is better", is_number=True),
    Column("processes", "number of fresh processes", is_number=True),
    Column("notes", "notes on the measurement"),
    Column("repro", "command that measures only this case"),
)
_RUN = Column("run", "name of the run")


def case_table(data: ReportData) -> CaseTable:
    """Make one row per case; the run is a column only where there are several runs."""
    several = len({point.run for point in data.points}) > 1
    best = {id(point): one.best.seconds for one in data.rankings for point in one.points}
    rows = []
    for point in data.points:
        line = _line(point, best.get(id(point)))
        rows.append(((point.run, point.run), *line) if several else line)
    return CaseTable((_RUN, *_COLUMNS) if several else _COLUMNS, tuple(rows))


def failures(points: Sequence[Point]) -> tuple[ReasonGroup, ...]:
    """Group failed cases by status, backend and reason, ignoring the numbers in a reason."""
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
            (members[0].case.reason or "no reason recorded")[:_LONGEST_REASON],
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
        ("", None) if ratio is None else (ratio_text(ratio), round(ratio, 4)),
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


Row = Mapping[str, Any]


def provenance(
    points: Sequence[Point], metadata: Mapping[str, Mapping[str, Any]]
) -> tuple[Provenance, ...]:
    """Describe the origin of each run.

    Args:
        points: the points of all runs.
        metadata: footers of the runs' files, by run id.

    """
    found = []
    for run in dict.fromkeys(point.run for point in points):
        rows = [row for point in points if point.run == run for row in point.case.rows]
        footer = metadata.get(rows[0]["run_id"], {})
        facts = [(name, text) for name, text in _facts(rows, footer) if text]
        suite_text = footer.get("suite_text")
        found.append(Provenance(run, tuple(facts), suite_text if _is_text(suite_text) else None))
    return tuple(found)


def _facts(rows: Sequence[Row], footer: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield "run", _several(rows, "run_name")
    yield "suite", _suite(rows)
    yield "arguments", _arguments(rows[0]["run_args"])
    yield "measured", _when(rows)
    yield "attnbench", _several(rows, "attnbench_version")
    yield "device", _device(rows)
    yield "device UUID", _several(rows, "device_uuid")
    yield "power limit", _with_unit(rows, "power_limit_w", "W")
    yield "driver", _several(rows, "driver")
    for name, column in (
        ("CUDA", "cuda"),
        ("torch", "torch_version"),
        ("triton", "triton_version"),
    ):
        yield name, _several(rows, column)
    yield "python", _several(rows, "python")
    yield "threads", _several(rows, "threads")
    yield "commit", _commit(rows)
    yield "backends", _backends(rows)
    yield "timer", _several(rows, "timer")
    yield "last-level cache", _several(rows, "l2")
    yield "ceilings", _ceilings(rows)
    yield "SM clock", _range(rows, "sm_clock_mhz", "MHz")
    yield "temperature", _range(rows, "temperature_c", "°C")
    yield "power", _range(rows, "power_w", "W")
    yield "throttling", _several(rows, "throttle_reasons")
    yield "method", _rules(footer.get("method"))
    yield "seed", _text(footer.get("seed"))
    yield "ids", _ids(rows)


def _suite(rows: Sequence[Row]) -> str:
    digest = (rows[0]["suite_sha256"] or "")[:12]
    return f"{_several(rows, 'suite')}{f', sha256 {digest}' if digest else ''}"


def _arguments(text: Any) -> str:
    """The arguments of the run, without empty ones."""
    try:
        given = json.loads(text)
    except (TypeError, ValueError):
        return _text(text)
    if not isinstance(given, dict):
        return _text(text)
    return ", ".join(f"{name}: {_text(value)}" for name, value in given.items() if value)


def _when(rows: Sequence[Row]) -> str:
    moments = [row["started_at"] for row in rows if row["started_at"] is not None]
    if not moments:
        return ""
    first, last = min(moments), max(moments)
    return f"{first:%Y-%m-%d %H:%M} UTC, over {duration_text((last - first).total_seconds())}"


def _device(rows: Sequence[Row]) -> str:
    memory = rows[0]["device_memory_bytes"]
    parts = [_several(rows, "device_name"), _several(rows, "device_arch")]
    return ", ".join(filter(None, (*parts, bytes_text(memory) if memory else "")))


def _commit(rows: Sequence[Row]) -> str:
    text = _several(rows, "git_commit")
    return (
        f"{text} with uncommitted changes"
        if text and any(row["git_dirty"] for row in rows)
        else text
    )


def _backends(rows: Sequence[Row]) -> str:
    found = dict.fromkeys(
        f"{row['backend_label']} ({row['backend_source'] or 'built in'}"
        f"{' ' + str(row['backend_version']) if row['backend_version'] else ''})"
        for row in rows
    )
    return ", ".join(found)


def _ceilings(rows: Sequence[Row]) -> str:
    parts = []
    for dtype in dict.fromkeys(row["dtype"] for row in rows):
        rates = [r["peak_tflops"] for r in rows if r["dtype"] == dtype and r["peak_tflops"]]
        if rates:
            parts.append(f"{dtype} {flops_text(max(rates) * 1e12)}")
    widths = [row["peak_bandwidth_gbps"] for row in rows if row["peak_bandwidth_gbps"]]
    if widths:
        parts.insert(0, f"memory {rate_text(max(widths) * 1e9)}")
    source = _several(rows, "ceilings_source")
    return f"{', '.join(parts)} ({source})" if parts and source else ", ".join(parts)


def _rules(method: Any) -> str:
    if not isinstance(method, dict):
        return ""
    return ", ".join(
        f"{name} {_text(value)}" for name, value in method.items() if value is not None
    )


def _ids(rows: Sequence[Row]) -> str:
    named = (("run", "run_id"), ("method", "method_id"), ("device", "device_id"))
    parts = [f"{name} {text}" for name, column in named if (text := _several(rows, column))]
    return ", ".join(parts)


def _several(rows: Sequence[Row], column: str) -> str:
    """The distinct values of a column; beyond six, how many more there are."""
    values = [_text(v) for v in dict.fromkeys(row[column] for row in rows) if v not in (None, "")]
    more = f" and {len(values) - 6} more" if len(values) > 6 else ""  # noqa: PLR2004
    return ", ".join(values[:6]) + more


def _with_unit(rows: Sequence[Row], column: str, unit: str) -> str:
    text = _several(rows, column)
    return f"{text} {unit}" if text else ""


def _range(rows: Sequence[Row], column: str, unit: str) -> str:
    known = sorted(row[column] for row in rows if row[column] is not None)
    if not known:
        return ""
    return f"{known[0]:g} to {known[-1]:g} {unit}, median {known[len(known) // 2]:g}"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return "" if value is None else str(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
