"""Runs for reports: physical but made up, written through the store."""

from __future__ import annotations

import math
import random

import pytest

from attnbench.case import Case
from attnbench.cost import compute_cost
from attnbench.environment import Device, Environment
from attnbench.execute.rows import RunIdentity, make_row
from attnbench.measurement import Measurement
from attnbench.method import Method
from attnbench.problem import Problem
from attnbench.store.parquet import write_parquet
from attnbench.store.rows import checked, to_table

H200 = Device(
    kind="cuda",
    name="NVIDIA H200",
    arch="sm_90",
    memory_bytes=150_000_000_000,
    free_bytes=148_000_000_000,
    cores=132,
    llc_bytes=62_000_000,
    power_limit_w=700.0,
    uuid="GPU-1",
    driver="580.65",
)
METHOD = Method(timer="event", l2="cold")
GBPS, TFLOPS = 4290.0, 720.0
# How near to the roofs each made-up backend comes, and what its process costs in µs.
BACKENDS = {"sdpa": (0.7, 0.75, 14.0), "triton_flash": (0.9, 0.6, 22.0), "naive": (0.3, 0.1, 9.0)}
SUITE = "suite: made\n# a suite's text may hold </pre><script>alert(1)</script>\n"


def identity(**changes):
    facts = {
        "attnbench_version": "0.1.0",
        "run_id": "r1",
        "run_name": "made-h200",
        "suite": "made",
        "suite_sha256": "0" * 64,
        "suite_tags": (),
        "run_args": '{"suite": "made"}',
        "repro": "attnbench run made",
        "environment": Environment(
            device=H200, host="node", python="3.12.4", torch_version="2.13.0", cuda="13.0"
        ),
    }
    return RunIdentity(**{**facts, **changes})


def decode(batch=1, kv_len=4096, kv_heads=8, **changes):
    fields = {"q_len": 1, "q_heads": 32, "head_dim": 128, "dtype": "bf16", **changes}
    return Problem(batch=batch, kv_len=kv_len, kv_heads=kv_heads, **fields)


def prefill(q_len=1024, kv_heads=8, batch=1, **changes):
    fields = {"q_heads": 32, "head_dim": 128, "dtype": "bf16", "mask": "causal", **changes}
    return Problem(batch=batch, q_len=q_len, kv_heads=kv_heads, **fields)


def predicted_us(problem, backend):
    """Roofline with a process, by made-up shares."""
    cost = compute_cost(problem)
    memory, compute, process = BACKENDS.get(backend, (0.5, 0.5, 15.0))
    return process + max(
        cost.min_bytes / (GBPS * 1e3 * memory), cost.flops / (TFLOPS * 1e6 * compute)
    )


def ok_rows(problem, backend, *, processes=3, who=None, latency_us=None, noise=0.004, **changes):
    """One row a process; the noise between processes is half of that within."""
    seed = f"{problem.id}{backend}"
    luck = random.Random(seed)  # noqa: S311  noise, not secrets
    middle = latency_us or predicted_us(problem, backend)
    cost = compute_cost(problem)
    inputs = cost.bytes_q + cost.bytes_k + cost.bytes_v
    scores = 4 * cost.pairs * problem.q_heads if backend == "naive" else 0
    for process in range(processes):
        level = middle * math.exp(luck.gauss(0, noise / 2))
        measured = {
            "case": Case(problem=problem, backend=backend),
            "status": "ok",
            "process": process,
            "started_at": 1_795_000_000.0 + 60 * process + luck.random() * 50,
            "samples_us": tuple(level * math.exp(luck.gauss(0, noise)) for _ in range(30)),
            "check": "passed",
            "peak_bytes": int(inputs + cost.bytes_o + scores),
            "workspace_bytes": scores,
            "peak_bandwidth_gbps": GBPS,
            "peak_tflops": TFLOPS,
            "ceilings_source": "measured",
            "sm_clock_mhz": 1980.0 - 5 * process,
            "temperature_c": 40.0 + 6 * process,
            "seconds": 0.5,
        }
        measurement = Measurement(**{**measured, **changes})
        yield make_row(who or identity(), measurement, METHOD)[0]


def other_row(problem, backend, status, reason, who=None):
    measurement = Measurement(
        case=Case(problem=problem, backend=backend), status=status, reason=reason
    )
    return make_row(who or identity(), measurement, METHOD)[0]


def sweep(backends=tuple(BACKENDS), *, lengths=8, batches=(1, 8, 64), heads=(32, 8, 1), **options):
    """Decode and prefill over lengths, batches and KV heads; the largest ends out of memory."""
    rows = []
    for kv_heads in heads:
        problems = [decode(b, 1024 << n, kv_heads) for b in batches for n in range(lengths)]
        problems += [prefill(256 << n, kv_heads) for n in range(lengths)]
        for problem in problems:
            for backend in backends:
                needed = (
                    compute_cost(problem).pairs * problem.q_heads * 4 if backend == "naive" else 0
                )
                if needed > H200.memory_bytes:
                    rows.append(other_row(problem, backend, "oom", "needs 201 GB, 148 GB are free"))
                else:
                    rows += ok_rows(problem, backend, **options)
    return rows


def again(rows, factor, **changes):
    """The rows of another run of the same cases: ``factor`` says how much longer each row takes."""
    for row in rows:
        other = {**row, **changes}
        if row["status"] == "ok":
            slower = factor(row)
            other["samples_us"] = [one * slower for one in row["samples_us"]]
            for name in ("latency_us", "latency_low_us", "latency_high_us"):
                other[name] = row[name] * slower
        yield other


# A second device that was made up, as columns: none of its figures is anybody's result.
OTHER_DEVICE = {
    "run_id": "h1",
    "run_name": "made-other",
    "device_name": "Made-up GPU",
    "device_id": "0123456789ab",
    "device_uuid": "GPU-9",
    "device_memory_bytes": 80_000_000_000,
    "peak_bandwidth_gbps": GBPS / 1.5,
}


def write(path, rows, **footer):
    """Write a result file as the store does, without a journal that is synced row by row."""
    header = {"run_id": rows[0]["run_id"], "suite_text": SUITE, **footer}
    write_parquet(path, [to_table(map(checked, rows))], header)
    return path


class Maker:
    """What a test makes runs with."""

    identity = staticmethod(identity)
    decode = staticmethod(decode)
    prefill = staticmethod(prefill)
    ok_rows = staticmethod(ok_rows)
    other_row = staticmethod(other_row)
    sweep = staticmethod(sweep)
    again = staticmethod(again)
    other_device = OTHER_DEVICE

    def __init__(self, folder):
        self.folder = folder
        self.number = 0

    def run(self, rows, **footer):
        """Write a run and return its path."""
        self.number += 1
        return write(self.folder / f"run{self.number}.parquet", list(rows), **footer)

    def figure(self, rows, name, **footer):
        """Draw one figure of a run, without the rest of the page."""
        from attnbench.report.figures import FIGURES
        from attnbench.report.page import make_report_data
        from attnbench.report.points import gather
        from attnbench.report.svg import figure_style
        from attnbench.store import load

        points = gather(load(self.run(rows)))
        data = make_report_data(points, {"r1": footer})
        with figure_style():
            return FIGURES[name](data)

    def html(self, rows, name="report.html", **options):
        """Write a run and a report about it; return the report's text."""
        from attnbench.report import report

        written = report(self.run(rows), self.folder / name, **options)
        return written.path.read_text(encoding="utf-8")


@pytest.fixture
def made(tmp_path):
    return Maker(tmp_path)


@pytest.fixture(scope="session")
def h200_html(tmp_path_factory):
    """The page of a large sweep, made once."""
    maker = Maker(tmp_path_factory.mktemp("h200"))
    return maker.html(sweep(), name="h200.html")
