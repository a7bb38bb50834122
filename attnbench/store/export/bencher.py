"""Bencher Metric Format: what ``bencher run --adapter json --file FILE`` reads.

A benchmark is a case, ``latency`` (nanoseconds, Bencher's built-in measure) its latency with the
lowest and the highest process; bandwidth, compute and memory are measures of their own, named with
their units. The format: https://bencher.dev/docs/reference/bencher-metric-format.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attnbench.store.export.cases import ExportedCase, ok_cases

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
