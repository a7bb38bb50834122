"""pytest-benchmark's JSON as a side of a comparison.

A benchmark becomes a case. One that attnbench exported is the case that it was, process by process.
Any other was timed by pytest-benchmark, whose method no run of attnbench shares, and all its
samples are of one process, so that it has no interval. Unless attnbench's plugin named its case, it
is known only by its full name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.analysis.export.pytest_benchmark import KEY, UNKNOWN
from attnbench.errors import ResultFileError
from attnbench.problem import digest
from attnbench.store.columns import BY_NAME
from attnbench.store.rows import checked, to_table

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".json"
ISOLATION = "pytest"  # what a process of pytest-benchmark is; ours say "worker"
_COUNTS = ("samples_a_process", "samples_a_launch")  # the second: before schema version 2


def read_benchmark_json(path: Path) -> tuple[pa.Table, tuple[str, ...]]:
    """Read a file of pytest-benchmark as rows of results, and what must be said about it.

    Raises:
        ResultFileError: it is missing, no JSON, not of pytest-benchmark, or without its samples.

    """
    document = _document(path)
    common = _common(document, path)
    rows = [row for benchmark in document["benchmarks"] for row in _rows(benchmark, common, path)]
    if not rows:
        raise ResultFileError(f"{path} holds no benchmark")
    opaque = any(row.get("isolation") == ISOLATION for row in rows)
    remark = f"{path} was timed by pytest-benchmark in one process: no interval and no verdict"
    try:
        return to_table([checked(row) for row in rows]), ((remark,) if opaque else ())
    except (TypeError, ValueError) as error:
        raise ResultFileError(
            f"{path} cannot be read as pytest-benchmark's JSON: {error}"
        ) from None


def _document(path: Path) -> dict[str, Any]:
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ResultFileError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ResultFileError(f"{path} is no JSON: {error}") from None
    kinds = {"machine_info": dict, "benchmarks": list}
    if isinstance(document, dict) and all(
        isinstance(document.get(name), kind) for name, kind in kinds.items()
    ):
        return document
    raise ResultFileError(
        f"{path} is JSON, but not of pytest-benchmark: it lacks machine_info or benchmarks",
        hint="pytest --benchmark-json=FILE writes one; a run of attnbench is a .parquet file",
    )


def _common(document: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What all benchmarks of a file share: machine, commit, moment."""
    machine, commit = document["machine_info"], document.get("commit_info") or {}
    cpu = machine.get("cpu") or {}
    name = cpu.get("brand_raw") or cpu.get("brand") or machine.get("processor") or None
    found = {
        "run_id": digest({"file": path.name, "datetime": document.get("datetime")}),
        "run_name": path.stem,
        "device_id": digest({"cpu": name, "machine": machine.get("machine")}),
        "device_name": name,
        "device_arch": machine.get("machine") or None,
        "host": machine.get("node") or None,
        "python": machine.get("python_version") or None,
        "git_commit": None if commit.get("id") == UNKNOWN else commit.get("id"),
        "git_dirty": commit.get("dirty"),
        "started_at": document.get("datetime") or None,
    }
    return {**found, **_known(machine.get(KEY))}


def _rows(
    benchmark: Mapping[str, Any], common: Mapping[str, Any], path: Path
) -> Iterator[dict[str, Any]]:
    name = str(benchmark.get("fullname") or benchmark.get("name"))
    samples = (benchmark.get("stats") or {}).get("data")
    if not samples:
        raise ResultFileError(
            f"{path} has no samples of {name}",
            hint="save them: pytest --benchmark-json=FILE, or --benchmark-save-data",
        )
    said = (benchmark.get("extra_info") or {}).get(KEY) or {}
    stated = next((said[key] for key in _COUNTS if key in said), None)
    counts = stated or [len(samples)]
    method = _method(benchmark) if stated is None else {}
    if sum(counts) != len(samples):
        raise ResultFileError(
            f"{path}: {name} has {len(samples):,} samples, its processes {sum(counts):,}",
            hint="the file was changed; export it again",
        )
    case = {"case_id": digest({"pytest-benchmark": name}), "case_label": name}
    facts = {**case, **common, **_known(said), **method}
    begin = 0
    for process, count in enumerate(counts):
        part = [1e6 * float(one) for one in samples[begin : begin + count]]
        begin += count
        yield {**facts, "process": process, "status": "ok", "samples_us": part, "n_samples": count}


def _method(benchmark: Mapping[str, Any]) -> dict[str, Any]:
    """How pytest-benchmark timed: by rules that no run of attnbench shares."""
    timer = (benchmark.get("options") or {}).get("timer")
    method_id = digest({"tool": "pytest-benchmark", "timer": timer})
    return {"method_id": method_id, "isolation": ISOLATION}


def _known(said: Any) -> dict[str, Any]:
    """What attnbench said itself, as far as there are columns for it."""
    return {name: value for name, value in (said or {}).items() if name in BY_NAME}
