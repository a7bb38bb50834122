"""pytest-benchmark's JSON: what ``pytest-benchmark compare FILE…`` and its many readers take.

A benchmark is a case; its data are the samples of all processes in seconds, one call each, and its
statistics are computed from them as pytest-benchmark computes its own. They mix what differs inside
a process with what differs between processes; ``extra_info`` says how many samples each process
gave and what the case is, so that ``attnbench compare`` can read the file back and tell the two
apart.
"""

from __future__ import annotations

import json
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attnbench.analysis.export.cases import ExportedCase, ok_cases

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "5.1.0"  # the pytest-benchmark whose layout this is
KEY = "attnbench"  # of extra_info and machine_info: what attnbench itself says there
UNKNOWN = "unknown"  # pytest-benchmark's word for a commit that nobody knows
# What a comparison must know of a case; everything else of a row stays in the result file.
CASE_COLUMNS = (
    *("attnbench_version", "run_id", "run_name", "suite", "problem_id", "case_id", "method_id"),
    *("device_id", "environment_id", "case_label", "mode", "phase", "batch", "q_len", "kv_len"),
    *("requests", "q_heads", "kv_heads", "group_size", "head_dim", "v_head_dim", "dtype"),
    *("kv_dtype", "mask", "window", "backend", "backend_label", "backend_options", "kernels"),
    *(
        "isolation",
        "timer",
        "l2",
        "warmup_s",
        "bound",
        "peak_bandwidth_gbps",
        "peak_tflops",
        "started_at",
    ),
)
DEVICE_COLUMNS = (
    *("device_id", "device_name", "device_uuid", "device_arch", "device_memory_bytes"),
    *("power_limit_w", "driver", "cuda", "torch_version", "triton_version", "python", "threads"),
    *("host",),
)


def to_pytest_benchmark(frame: pd.DataFrame) -> str:
    """Return the ok cases of ``attnbench.load`` as a file of pytest-benchmark."""
    cases = ok_cases(frame)
    document = {
        "machine_info": _machine(cases),
        "commit_info": _commit(cases),
        "benchmarks": [_benchmark(case) for case in cases],
        "datetime": min((str(case.fact("started_at")) for case in cases), default=""),
        "version": FORMAT,
    }
    return json.dumps(document, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def stats_of(data: Sequence[float]) -> dict[str, Any]:
    """Compute the statistics of pytest-benchmark for one list of seconds, one call each."""
    ordered, mean = sorted(data), statistics.mean(data)
    deviation = statistics.stdev(data) if len(data) > 1 else 0.0
    q1, q3 = _quartiles(ordered)
    fence = 1.5 * (q3 - q1)
    beyond = sum(abs(one - mean) > deviation for one in data)
    outside = sum(not q1 - fence <= one <= q3 + fence for one in data)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": deviation,
        "rounds": len(data),
        "median": statistics.median(data),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": outside,
        "stddev_outliers": beyond,
        "outliers": f"{beyond};{outside}",
        "ld15iqr": ordered[bisect_left(ordered, q1 - fence)],
        "hd15iqr": ordered[bisect_right(ordered, q3 + fence) - 1],
        "ops": len(data) / sum(data),
        "total": sum(data),
        "data": list(data),
        "iterations": 1,
    }


def _quartiles(ordered: Sequence[float]) -> tuple[float, float]:
    """Quartiles as pytest-benchmark has them: medians of halves, weighted if the count is odd."""
    count = len(ordered)
    if count == 1:
        return ordered[0], ordered[0]
    if count % 2 == 0:
        return statistics.median(ordered[: count // 2]), statistics.median(ordered[count // 2 :])
    n = count // 4
    if count % 4 == 1:
        return (
            0.25 * ordered[n - 1] + 0.75 * ordered[n],
            0.75 * ordered[3 * n] + 0.25 * ordered[3 * n + 1],
        )
    return (
        0.75 * ordered[n] + 0.25 * ordered[n + 1],
        0.25 * ordered[3 * n + 1] + 0.75 * ordered[3 * n + 2],
    )


def _benchmark(case: ExportedCase) -> dict[str, Any]:
    processes = case.samples()
    known = {name: case.fact(name) for name in CASE_COLUMNS}
    said = {name: value for name, value in known.items() if value is not None}
    suite = case.fact("suite")
    return {
        "group": str(case.fact("case_label") or "").partition(" · ")[0] or None,
        "name": case.name,
        "fullname": f"{suite}::{case.name}" if suite else case.name,
        "params": {name: said[name] for name in ("backend_label", "dtype") if name in said},
        "param": case.fact("backend_label"),
        "extra_info": {KEY: {**said, "samples_a_process": [len(one) for one in processes]}},
        "options": {"timer": case.fact("timer"), "warmup": True, "disable_gc": True},
        "stats": stats_of([one for process in processes for one in process]),
    }


def _machine(cases: Sequence[ExportedCase]) -> dict[str, Any]:
    """The keys that pytest-benchmark and its readers look at; what is unknown is an empty text."""
    first = cases[0].fact if cases else lambda _: None
    python = first("python") or ""
    named = {name: first(name) for name in DEVICE_COLUMNS}
    return {
        "node": first("host") or "",
        "processor": first("device_arch") or "",
        "machine": first("device_arch") or "",
        "python_compiler": "",
        "python_implementation": "",
        "python_implementation_version": python,
        "python_version": python,
        "python_build": ["", ""],
        "release": "",
        "system": "",
        "cpu": {"brand_raw": first("device_name") or ""},
        KEY: {name: value for name, value in named.items() if value is not None},
    }


def _commit(cases: Sequence[ExportedCase]) -> dict[str, Any]:
    first = cases[0].fact if cases else lambda _: None
    moment = first("started_at")
    return {
        "id": first("git_commit") or UNKNOWN,
        "time": moment,
        "author_time": moment,
        "dirty": bool(first("git_dirty")),
        "project": first("suite") or "attnbench",
        "branch": "(unknown)",
    }
