"""From a measurement to the row of the result file: identity, cost and derived columns joined."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

from attnbench.case import Case
from attnbench.cost import compute_cost
from attnbench.environment import Environment
from attnbench.measurement import Measurement
from attnbench.method import Method
from attnbench.metrics import Timing, derive
from attnbench.problem import FIELDS
from attnbench.stats.summary import Summary, summarize

_COST_COLUMNS = (
    *("cost_model", "pairs", "flops", "flops_dense", "min_bytes", "bytes_q", "bytes_k", "bytes_v"),
    *("bytes_o", "bytes_lse", "bytes_scales", "bytes_table", "intensity", "kv_cache_bytes"),
)
_MEASURED = tuple(one.name for one in fields(Measurement) if one.name not in ("case", "samples_us"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """What every row of one run says of the run."""

    attnbench_version: str
    run_id: str
    run_name: str
    suite: str
    suite_sha256: str
    suite_tags: tuple[str, ...]
    run_args: str
    repro: str
    environment: Environment
    side: str | None = None

    def columns(self) -> dict[str, Any]:
        """Identity and environment columns, the same in every row."""
        names = ("attnbench_version", "run_id", "run_name", "side", "suite", "suite_sha256")
        own = {name: getattr(self, name) for name in names}
        environment, device = self.environment, self.environment.device
        return {
            **own,
            "suite_tags": list(self.suite_tags),
            "run_args": self.run_args,
            "device_id": device.id,
            "environment_id": environment.id,
            "device_name": device.name,
            "device_uuid": device.uuid,
            "device_arch": device.arch,
            "device_memory_bytes": device.memory_bytes,
            "power_limit_w": device.power_limit_w,
            "driver": device.driver,
            **{
                name: getattr(environment, name)
                for name in ("cuda", "torch_version", "triton_version", "python", "threads")
            },
            **{name: getattr(environment, name) for name in ("host", "git_commit", "git_dirty")},
        }


def make_row(
    identity: RunIdentity, measurement: Measurement, method: Method
) -> tuple[dict[str, Any], Summary | None]:
    """Return one row, and the summary of its samples where it is ok."""
    case = measurement.case
    method = method.read_as(measurement.l2)
    summary = summarize(measurement.samples_us) if measurement.status == "ok" else None
    measured = {name: getattr(measurement, name) for name in _MEASURED}
    return {
        **identity.columns(),
        **case_columns(case),
        "method_id": method.id,
        "repro": f"{identity.repro} -k {case.id}",
        **{name: list(v) if isinstance(v, tuple) else v for name, v in measured.items()},
        "timer": method.timer,
        "l2": method.l2,
        **(_time_columns(measurement, summary) if summary else {}),
    }, summary


def case_columns(case: Case) -> dict[str, Any]:
    """Problem, backend and cost columns of a case."""
    problem, cost = case.problem, compute_cost(case.problem)
    return {
        "problem_id": problem.id,
        "case_id": case.id,
        "case_label": case.label,
        **{name: getattr(problem, name) for name in FIELDS},
        "phase": problem.phase,
        "group_size": problem.group_size,
        "model": case.model,
        "tp": case.tp,
        "weight": case.weight,
        "backend": case.backend,
        "backend_label": case.backend_label,
        "backend_options": json.dumps(dict(case.options), sort_keys=True),
        "backend_source": case.source,
        **{name: getattr(cost, name) for name in _COST_COLUMNS},
    }


def _time_columns(measurement: Measurement, summary: Summary) -> dict[str, Any]:
    timing = Timing(
        problem=measurement.case.problem,
        cost=compute_cost(measurement.case.problem),
        latency_us=summary.latency,
        peak_bandwidth_gbps=measurement.peak_bandwidth_gbps,
        peak_tflops=measurement.peak_tflops,
        notes=measurement.notes,
    )
    return {
        "samples_us": list(measurement.samples_us),
        "n_samples": summary.n,
        "latency_us": summary.latency,
        "latency_low_us": summary.low,
        "latency_high_us": summary.high,
        "median_us": summary.median,
        "min_us": summary.minimum,
        "p90_us": summary.p90,
        "noise": summary.noise,
        **derive(timing),
    }
