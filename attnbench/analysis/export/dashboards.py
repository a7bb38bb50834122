"""The inputs of tools that chart benchmarks over commits: Bencher and github-action-benchmark.

Bencher Metric Format is what ``bencher run --adapter json --file FILE`` reads. A benchmark is a
case, ``latency`` (nanoseconds, Bencher's built-in measure) its latency with the lowest and the
highest process; bandwidth, compute and memory are measures of their own, named with their units.
The format: https://bencher.dev/docs/reference/bencher-metric-format.

github-action-benchmark takes ``customSmallerIsBetter``: one entry a case, latency in µs. The action
draws a chart over commits and compares with the one point before it; it is no gate.
The format: https://github.com/benchmark-action/github-action-benchmark.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attnbench.analysis.export.cases import ExportedCase, ok_cases

if TYPE_CHECKING:
    import pandas as pd

_NAME_LENGTH = 1024  # of a benchmark, in characters; Bencher refuses longer ones
# Bencher's measures have slugs: lower case and hyphens.
_MEASURES = {
    "bandwidth-gbps": "bandwidth_gbps",
    "tflops": "tflops",
    "peak-bytes": "peak_bytes",
    "energy-j-per-call": "energy_j_per_call",
}


def to_bencher(frame: pd.DataFrame) -> str:
    """Return the ok cases of ``attnbench.load`` as Bencher Metric Format."""
    found = {_name(case): _measures(case) for case in ok_cases(frame)}
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _name(case: ExportedCase) -> str:
    if len(case.name) <= _NAME_LENGTH:
        return case.name
    tail = f"… {case.fact('case_id')}"
    return case.name[: _NAME_LENGTH - len(tail)] + tail


def _measures(case: ExportedCase) -> dict[str, dict[str, Any]]:
    ends = {"value": case.latency, "lower_value": case.low, "upper_value": case.high}
    latency = {name: end * 1e9 for name, end in ends.items() if end is not None}
    others = {
        measure: {"value": value}
        for measure, column in _MEASURES.items()
        if (value := case.mean(column)) is not None
    }
    return {"latency": latency, **others}


def to_github_action_benchmark(frame: pd.DataFrame) -> str:
    """Return the ok cases of ``attnbench.load`` as a list for ``tool: customSmallerIsBetter``."""
    entries = [_entry(case) for case in ok_cases(frame)]
    return json.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _entry(case: ExportedCase) -> dict[str, Any]:
    entry = {
        "name": case.name,
        "unit": "us",
        "value": case.latency * 1e6,
        "extra": "\n".join(_extra(case)),
    }
    if case.low is not None and case.high is not None:
        entry["range"] = f"{case.low * 1e6:.6g} to {case.high * 1e6:.6g}"
    return entry


def _extra(case: ExportedCase) -> list[str]:
    """What the chart shows when the mouse is over a point."""
    lines = [f"{len(case.rows)} process{'' if len(case.rows) == 1 else 'es'}"]
    timing = " ".join(filter(None, (case.fact("timer"), case.fact("l2"))))
    lines += [str(text) for text in (case.fact("device_name"), timing) if text]
    notes = dict.fromkeys(note for row in case.rows for note in row["notes"] or ())
    return [*lines, " ".join(notes)] if notes else lines
