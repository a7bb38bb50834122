"""Result files with known changes, for the tests of comparing and gating."""

from __future__ import annotations

import numpy as np

from attnbench.store.parquet import write_parquet
from attnbench.store.rows import checked, to_table

MOMENT = 1_795_246_200.0
DAY = 86_400.0


def make_row(number, process, samples=None, *, status="ok", **changes):
    """One row of case ``number``; samples in µs."""
    kv_len = 1024 << (number % 6)
    batch = 1 + number // 6
    backend = changes.get("backend", "sdpa")
    problem = f"decode {batch}q1s{kv_len // 1024}k 32/8x128 bf16"
    row = {
        "attnbench_version": "0.1.0",
        "run_id": "r1",
        "run_name": "made",
        "suite": "made",
        "problem_id": f"{number:012x}",
        "case_id": f"{number:06x}{abs(hash_of(backend)):06x}",
        "method_id": "fedcba987654",
        "case_label": f"{problem} · {backend}",
        "process": process,
        "started_at": MOMENT,
        "status": status,
        "phase": "decode",
        "mode": "fwd",
        "batch": batch,
        "q_len": 1,
        "kv_len": kv_len,
        "q_heads": 32,
        "kv_heads": 8,
        "head_dim": 128,
        "dtype": "bf16",
        "backend": backend,
        "backend_label": backend,
        "timer": "event",
        "l2": "cold",
        "warmup_s": 0.1,
        "bound": "memory",
        "device_id": "h200h200h200",
        "device_name": "NVIDIA H200",
        "device_arch": "sm_90",
        "device_memory_bytes": 150_000_000_000,
        "device_uuid": "GPU-1",
        "power_limit_w": 700.0,
        "triton_version": "3.7.1",
        "python": "3.12.4",
        "peak_bandwidth_gbps": 4290.0,
        "peak_tflops": 720.0,
        "kernels": ["flash_fwd"],
    }
    if status == "ok":
        row["samples_us"] = [float(one) for one in samples]
        row["n_samples"] = len(row["samples_us"])
        row["latency_us"] = row["samples_us"][0]
    else:
        row["reason"] = f"because of {status}"
    return {**row, **changes}


def hash_of(text):
    """A stable small number of a text."""
    return sum((place + 1) * byte for place, byte in enumerate(text.encode())) % 0xFFFFFF


def make_rows(cases=12, processes=5, *, seed=1, slowdowns=None, noise=0.003, shift=0.0, **changes):
    """Ok rows of a run whose processes differ by ``noise``; a slowdown is a share, by case."""
    rng = np.random.default_rng(seed)
    slowdowns = slowdowns or {}
    rows = []
    for number in range(cases):
        level = 20.0 * 1.7 ** (number % 6) * (1 + slowdowns.get(number, 0.0)) * np.exp(shift)
        for process in range(processes):
            middle = level * np.exp(rng.normal(0, noise))
            samples = middle * np.exp(rng.normal(0, 0.004, 20))
            rows.append(make_row(number, process, samples, **changes))
    return rows


def write_run(path, rows, **run):
    """Write a finished run and return its path; without a journal, whose fsyncs take long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = to_table([checked(row) for row in rows])
    write_parquet(path, [table], {"run_id": rows[0]["run_id"], **run})
    return path
