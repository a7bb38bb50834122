"""The columns of a result file: names, types, order and meaning.

The table here declares the columns that are neither a metric (attnbench.metrics) nor a field of a
problem (attnbench.problem); those are derived from their own declarations. New columns are added at
the end; a type or a unit never changes. Nothing here imports pyarrow until ``arrow_schema`` is
called, so that the words can be listed cheaply.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from attnbench.measurement import (
    BOUNDS,
    CEILINGS_SOURCES,
    CHECKS,
    L2_STATES,
    NOTES,
    STATUSES,
    STOP_REASONS,
    TIMERS,
)
from attnbench.metrics import METRICS
from attnbench.problem import PROBLEM_FIELDS

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 2

# Columns whose words are a closed list; for ``notes``, a list column, each element is.
CLOSED: dict[str, tuple[str, ...]] = {
    "status": STATUSES,
    "notes": NOTES,
    "stop_reason": STOP_REASONS,
    "timer": TIMERS,
    "l2": L2_STATES,
    "bound": BOUNDS,
    "ceilings_source": CEILINGS_SOURCES,
    "check": CHECKS,
}

# (group, (column, …)); the order is the order in the file. A column is (name, type, meaning), or
# only a name: that of a metric's column or of a problem's field.
_TABLE: tuple[tuple[str, tuple[str | tuple[str, str, str], ...]], ...] = (
    (
        "identity",
        (
            ("schema_version", "int64", "the version of this table"),
            ("attnbench_version", "string", "the attnbench that measured"),
            ("run_id", "string", "one execution of a suite on one device"),
            ("run_name", "string", "its name for people"),
            ("side", "string", "base or new in a run of `ab`"),
            ("suite", "string", "the suite's name"),
            ("suite_sha256", "string", "of the suite's text"),
            ("suite_tags", "list<string>", "the suite's tags"),
            ("run_args", "string", "the arguments of the run, JSON"),
            ("problem_id", "string", "12 hex digits over the problem"),
            ("case_id", "string", "12 hex digits over problem, backend and options"),
            ("method_id", "string", "12 hex digits over the rules of timing"),
            ("device_id", "string", "12 hex digits over what makes a device the same"),
            ("environment_id", "string", "12 hex digits over device and software"),
            ("case_label", "string", "the case for people"),
            ("process", "int64", "which fresh process, from 0; NULL: decided by the plan"),
            ("seq", "int64", "the position in the order of measuring"),
            ("started_at", "timestamp[us, UTC]", "when the case began"),
        ),
    ),
    (
        "problem",
        (
            "mode",
            ("phase", "string", "prefill, decode, extend or mixed"),
            "batch",
            "q_len",
            "kv_len",
            "requests",
            "q_heads",
            "kv_heads",
            ("group_size", "int64", "query heads a key-value head"),
            "head_dim",
            "v_head_dim",
            "dtype",
            "kv_dtype",
            "mask",
            "mask_align",
            "window",
            "sinks",
            "sink_logits",
            "bias",
            "softcap",
            "scale",
            "rope",
            "rope_base",
            "rope_dim",
            "append",
            "attention",
            "feature",
            "chunk",
            "additive_dim",
            "block",
            "density",
            "pattern",
            "kv_layout",
            "page_size",
            "page_order",
            "page_format",
            "input_dist",
            "seed",
            ("model", "string", "the model that the heads come from"),
            ("tp", "int64", "tensor-parallel ranks"),
            ("weight", "float64", "layers of the model that look like this"),
        ),
    ),
    (
        "backend",
        (
            ("backend", "string", "the backend's name"),
            ("backend_label", "string", "name[option=value] for what differs from its defaults"),
            ("backend_options", "string", "JSON, {} where none differ"),
            ("backend_source", "string", "built in, a distribution or a path"),
            ("backend_version", "string", "of the distribution, or a digest of the file"),
            ("kernels", "list<string>", "names of the executed kernels"),
        ),
    ),
    (
        "method",
        (
            ("timer", "string", "what was timed"),
            ("l2", "string", "state of the last-level cache before a sample"),
            (
                "flush_bytes",
                "int64",
                "bytes read before a call meets its inputs again",
            ),
            ("warmup_s", "float64", "seconds of warm-up"),
            ("stop_reason", "string", "why sampling ended"),
            ("isolation", "string", "what a process is"),
        ),
    ),
    (
        "status",
        (
            ("status", "string", "what came of the case in this process"),
            ("reason", "string", "why, where it is not ok"),
            ("notes", "list<string>", "codes that the value carries"),
            ("repro", "string", "the command that measures this row alone"),
        ),
    ),
    (
        "time",
        (
            ("samples_us", "list<float32>", "µs, every sample in its order"),
            ("n_samples", "int64", "samples"),
            "latency_us",
            ("latency_low_us", "float64", "µs, low end of the in-process 95 % interval"),
            ("latency_high_us", "float64", "µs, its high end"),
            "median_us",
            "min_us",
            "p90_us",
            "noise",
            "first_call_us",
            "prepare_us",
            ("check_us", "float64", "µs"),
            ("launch_overhead_us", "float64", "µs of the host to enqueue a call"),
            ("seconds", "float64", "s that the case took in this process"),
        ),
    ),
    (
        "memory",
        (
            "peak_bytes",
            "workspace_bytes",
            "prepared_bytes",
            ("input_bytes", "int64", "B"),
            ("output_bytes", "int64", "B"),
            "kv_cache_bytes",
            ("llc_bytes", "int64", "B of the last-level cache"),
        ),
    ),
    (
        "cost",
        (
            ("cost_model", "int64", "the version of the formulas"),
            ("pairs", "int64", "(row, key) pairs that one query head sees"),
            ("flops", "float64", "FLOP with mask credit"),
            ("flops_dense", "float64", "FLOP without it"),
            ("min_bytes", "int64", "B, the least traffic"),
            ("bytes_q", "int64", "B"),
            ("bytes_k", "int64", "B"),
            ("bytes_v", "int64", "B"),
            ("bytes_o", "int64", "B"),
            ("bytes_lse", "int64", "B"),
            ("bytes_scales", "int64", "B"),
            ("bytes_table", "int64", "B"),
            "intensity",
        ),
    ),
    (
        "derived",
        (
            "tflops",
            "bandwidth_gbps",
            "pct_peak_bandwidth",
            "pct_peak_flops",
            ("bound", "string", "what limits the case"),
        ),
    ),
    (
        "ceilings",
        (
            ("peak_bandwidth_gbps", "float64", "GB/s, best of read, copy and triad"),
            ("copy_gbps", "float64", "GB/s"),
            ("peak_tflops", "float64", "TFLOP/s, best GEMM of the dtype"),
            ("ceilings_source", "string", "where the ceilings come from"),
            ("dram_bytes", "int64", "B that the profiler counted"),
        ),
    ),
    (
        "energy",
        (
            "energy_j_per_call",
            "power_w",
            ("sm_clock_mhz", "float64", "MHz"),
            ("mem_clock_mhz", "float64", "MHz"),
            ("temperature_c", "float64", "°C"),
            ("throttle_reasons", "string", "as the driver names them"),
        ),
    ),
    (
        "check",
        (
            ("check", "string", "whether the output was right"),
            "error_rel",
            "error_ratio",
            ("deterministic", "bool", "two calls agree bit by bit"),
        ),
    ),
    (
        "environment",
        (
            ("device_name", "string", "the device"),
            ("device_uuid", "string", "this very chip"),
            ("device_arch", "string", "sm_90, x86_64"),
            ("device_memory_bytes", "int64", "B"),
            ("power_limit_w", "float64", "W"),
            ("driver", "string", "version"),
            ("cuda", "string", "version"),
            ("torch_version", "string", "version"),
            ("triton_version", "string", "version"),
            ("python", "string", "version"),
            ("threads", "int64", "of the CPU backend"),
            ("host", "string", "the machine's name"),
            ("git_commit", "string", "of the working directory"),
            ("git_dirty", "bool", "it had uncommitted changes"),
        ),
    ),
    (
        "problem",
        ("latent",),
    ),
    (
        "method",
        (("calls_per_sample", "int64", "a sample is the mean of so many calls in a row"),),
    ),
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: ``type`` is the word of the design, ``meaning`` starts with the unit if any."""

    name: str
    type: str
    group: str
    meaning: str


def _columns() -> Iterator[Column]:
    """Yield the columns of the table; then, by version, those that are declared only elsewhere."""
    metrics = {one.column: (one.type, "derived", one.meaning) for one in METRICS.values()}
    fields = {name: (one.column_type, "problem", one.about) for name, one in PROBLEM_FIELDS.items()}
    declared = {**metrics, **fields}
    for group, members in _TABLE:
        for member in members:
            if isinstance(member, str):
                kind, _, meaning = declared.pop(member)
                yield Column(member, kind, group, meaning)
            else:
                yield Column(member[0], member[1], group, member[2])
    since = {one.column: one.since for one in METRICS.values()}
    since |= {name: one.since for name, one in PROBLEM_FIELDS.items()}
    for name in sorted(declared, key=since.__getitem__):
        yield Column(name, *declared[name])


COLUMNS: tuple[Column, ...] = tuple(_columns())
BY_NAME: dict[str, Column] = {column.name: column for column in COLUMNS}


@cache
def arrow_schema() -> pa.Schema:
    """Return the arrow schema of a result file, without metadata."""
    import pyarrow as pa

    types = {
        "string": pa.string(),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "timestamp[us, UTC]": pa.timestamp("us", tz="UTC"),
        # Parquet names the child of a list "element"; the same name here survives the round trip.
        "list<float32>": pa.list_(pa.field("element", pa.float32())),
        "list<string>": pa.list_(pa.field("element", pa.string())),
    }
    return pa.schema([pa.field(column.name, types[column.type]) for column in COLUMNS])


def markdown() -> dict[str, str]:
    """Return the tables of docs/metrics.md: the columns of each group, and the metrics."""
    head = "| column | type | meaning |\n|---|---|---|\n"
    tables = {column.group: head for column in COLUMNS}
    for column in COLUMNS:
        tables[column.group] += f"| `{column.name}` | `{column.type}` | {column.meaning} |\n"
    rows = [
        f"| `{one.name}` | `{one.column}` | {one.unit} | {one.better or '-'} | "
        f"`{one.formula.replace('|', chr(92) + '|')}` |\n"
        for one in METRICS.values()
    ]
    head = "| metric | column | unit | better | formula |\n|---|---|---|---|---|\n"
    return {**tables, "metrics": head + "".join(rows)}
