"""Two runs of 100,000 rows with 200 samples each are compared in seconds and in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from attnbench.store.columns import arrow_schema
from attnbench.store.parquet import write_parquet

pytest.importorskip("pytest_benchmark")

ROWS, LAUNCHES, SAMPLES = 100_000, 5, 200
PROGRAM = """
import json, resource, sys, time
begun = time.perf_counter()
from attnbench.analysis.compare import compare
(found,) = compare(*sys.argv[1:])
took = time.perf_counter() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": took, "bytes": peak, "cases": len(found.comparisons)}))
"""


def write_big_run(path, seed):
    rng = np.random.default_rng(seed)
    cases = ROWS // LAUNCHES
    case = np.repeat(np.arange(cases), LAUNCHES)
    latency = np.exp(3 + case % 50 / 10) * np.exp(rng.normal(0, 0.003, ROWS))
    samples = (latency[:, None] * rng.normal(1, 0.01, (ROWS, SAMPLES))).astype(np.float32)
    schema = arrow_schema()
    columns = {one.name: pa.nulls(ROWS, one.type) for one in schema}
    offsets = np.arange(0, ROWS * SAMPLES + 1, SAMPLES, dtype=np.int32)
    text = {
        "run_id": f"r{seed}",
        "status": "ok",
        "method_id": "m" * 12,
        "device_id": "d" * 12,
        "backend": "sdpa",
        "backend_label": "sdpa",
        "backend_options": "{}",
        "dtype": "bf16",
        "device_name": "NVIDIA H200",
    }
    columns |= {name: pa.array([value] * ROWS) for name, value in text.items()}
    columns["schema_version"] = pa.array(np.ones(ROWS, dtype=np.int64))
    columns["case_id"] = pa.array([f"{one:012x}" for one in case])
    columns["case_label"] = pa.array([f"decode {one}q1s4k 32/8x128 bf16 · sdpa" for one in case])
    columns["launch"] = pa.array(np.tile(np.arange(LAUNCHES), cases))
    columns["latency_us"] = pa.array(latency)
    columns["samples_us"] = pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(samples.ravel()), type=schema.field("samples_us").type
    )
    kind = schema.field("kernels").type
    columns["kernels"] = pa.array([["flash_fwd", "reduce"]] * ROWS, type=kind)
    columns["notes"] = pa.array([[]] * ROWS, type=kind)
    whole = pa.table([columns[one.name] for one in schema], schema=schema)
    groups = (whole.slice(start, 1000) for start in range(0, ROWS, 1000))
    write_parquet(path, groups, {"run_id": f"r{seed}"})
    return path


def test_two_big_runs_are_compared_in_five_seconds_and_two_gigabytes(benchmark, tmp_path):
    paths = [write_big_run(tmp_path / f"{seed}.parquet", seed) for seed in (1, 2)]

    def fresh():
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *map(str, paths)],
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    found = benchmark.pedantic(fresh, rounds=3)

    assert found["cases"] == ROWS // LAUNCHES
    assert found["bytes"] < 2e9
    assert benchmark.stats["min"] < 5
