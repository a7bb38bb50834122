"""A row says everything: identity, problem, cost, time, environment."""

from __future__ import annotations

import json

import pytest

from attnbench.case import Case
from attnbench.environment import Device, Environment
from attnbench.execute.rows import RunIdentity, make_row
from attnbench.measurement import Measurement
from attnbench.method import Method
from attnbench.problem import Problem
from attnbench.store.columns import COLUMNS
from attnbench.store.rows import checked

DEVICE = Device(kind="cuda", name="NVIDIA H200", arch="sm_90", memory_bytes=150, free_bytes=140)
IDENTITY = RunIdentity(
    attnbench_version="0.1.0",
    run_id="r1",
    run_name="decode-h200",
    suite="decode",
    suite_sha256="ab",
    suite_tags=("kv",),
    run_args="{}",
    repro="attnbench run suites/decode.yaml",
    environment=Environment(device=DEVICE, host="h", python="3.12", torch_version="2.13.0"),
)
PROBLEM = Problem(batch=8, q_len=1, kv_len=4096, q_heads=32, kv_heads=8, head_dim=128, dtype="bf16")
CASE = Case(problem=PROBLEM, backend="sdpa", options=(("kernel", "flash"),), model="llama-3-8b")
METHOD = Method(timer="event", l2="cold", flush="read")


def ok(**changes):
    facts = {
        "status": "ok",
        "process": 1,
        "check": "passed",
        "samples_us": (40.0, 41.0, 39.0, 40.0),
        "peak_bandwidth_gbps": 4300.0,
        "peak_tflops": 780.0,
        "ceilings_source": "measured",
    }
    return Measurement(case=CASE, **{**facts, **changes})


def test_the_store_takes_every_row_as_it_stands():
    names = {one.name for one in COLUMNS}
    for measurement in (ok(), Measurement(case=CASE, status="skipped", reason="too large")):
        row, _ = make_row(IDENTITY, measurement, METHOD)
        assert set(row) <= names
        checked(row)


def test_rates_come_from_the_latency_and_the_exact_cost():
    row, summary = make_row(IDENTITY, ok(), METHOD)
    assert summary is not None
    assert row["latency_us"] == summary.latency == 40.0
    assert row["bandwidth_gbps"] == pytest.approx(row["min_bytes"] / 40e-6 / 1e9)
    assert row["pct_peak_bandwidth"] == pytest.approx(100 * row["bandwidth_gbps"] / 4300)
    assert row["bound"] == "memory"
    assert row["kv_cache_bytes"] == 8 * 4096 * 8 * 128 * 2 * 2


def test_identity_is_in_columns_since_readers_drop_footers():
    row, _ = make_row(IDENTITY, ok(), METHOD)
    assert row["case_id"] == CASE.id
    assert row["method_id"] == METHOD.id
    assert row["device_id"] == DEVICE.id
    assert row["environment_id"] == IDENTITY.environment.id
    assert row["backend_label"] == "sdpa[kernel=flash]"
    assert json.loads(row["backend_options"]) == {"kernel": "flash"}
    assert row["repro"] == f"attnbench run suites/decode.yaml -k {CASE.id}"
    assert (row["timer"], row["l2"]) == ("event", "cold")


def test_only_an_ok_row_has_a_latency():
    row, summary = make_row(IDENTITY, Measurement(case=CASE, status="oom", reason="no"), METHOD)
    assert summary is None
    assert not {"latency_us", "samples_us", "tflops", "bandwidth_gbps"} & set(row)
    assert row["flops"] > 0  # its cost is known all the same


def test_a_launch_bound_row_says_so():
    row, _ = make_row(IDENTITY, ok(notes=("LAUNCH_BOUND",)), METHOD)
    assert row["bound"] == "launch"


def test_what_lies_in_the_cache_has_no_share_of_the_memory():
    row, _ = make_row(IDENTITY, ok(notes=("L2_RESIDENT",)), METHOD)
    assert row["pct_peak_bandwidth"] is None
    assert row["pct_peak_flops"] is not None
    assert row["bandwidth_gbps"] > 0


def test_a_rotation_that_found_no_room_is_a_row_of_the_warm_method():
    planned = Method(timer="graph", l2="cold", flush="rotate")
    row, _ = make_row(IDENTITY, ok(timer="graph", l2="warm"), planned)
    assert row["l2"] == "warm"
    assert row["flush_bytes"] is None
    assert row["method_id"] == Method(timer="graph", l2="warm").id != planned.id
