"""github-action-benchmark: its ``customSmallerIsBetter`` input, one entry a case, latency in µs.

The action draws a chart over commits and compares with the one point before it; it is no gate.
The format: https://github.com/benchmark-action/github-action-benchmark.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attnbench.store.export.cases import ExportedCase, ok_cases

if TYPE_CHECKING:
    import pandas as pd


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
    lines = [f"{case.processes} process{'' if case.processes == 1 else 'es'}"]
    timing = " ".join(filter(None, (case.fact("timer"), case.fact("l2"))))
    lines += [str(text) for text in (case.fact("device_name"), timing) if text]
    notes = dict.fromkeys(note for listed in case.rows["notes"] for note in listed)
    return [*lines, " ".join(notes)] if notes else lines
