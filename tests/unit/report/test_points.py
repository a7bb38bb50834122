"""Cases as points."""

from __future__ import annotations

import pytest

from attnbench.cost import compute_cost
from attnbench.report.points import drawn, gather
from attnbench.store import load


def test_a_points_rates_are_those_of_its_latency_over_processes(made):
    problem = made.decode()
    (point,) = gather(load(made.run(made.ok_rows(problem, "sdpa", latency_us=100.0, noise=0.0))))

    assert point.seconds == pytest.approx(1e-4)
    assert point.tflops == pytest.approx(compute_cost(problem).flops / 1e-4 / 1e12)
    assert point.bandwidth_gbps == pytest.approx(compute_cost(problem).min_bytes / 1e-4 / 1e9)
    assert point.bandwidth_share == pytest.approx(100 * point.bandwidth_gbps / 4290)


def test_what_stays_in_the_cache_has_no_share_of_the_memorys_bandwidth(made):
    (point,) = gather(load(made.run(made.ok_rows(made.decode(), "s", notes=("L2_RESIDENT",)))))

    assert point.bandwidth_gbps is not None
    assert point.bandwidth_share is None


@pytest.mark.parametrize(("kind", "length"), [("decode", 4096), ("prefill", 1024), ("mixed", None)])
def test_a_length_is_the_caches_in_decode_and_the_prompts_in_prefill(made, kind, length):
    problems = {
        "decode": made.decode(),
        "prefill": made.prefill(),
        "mixed": made.decode(batch=None, q_len=None, kv_len=None, requests="q1s1k_q512"),
    }
    (point,) = gather(load(made.run(made.ok_rows(problems[kind], "sdpa"))))

    assert point.length == length


def test_a_case_that_is_not_ok_is_not_drawn(made):
    rows = [*made.ok_rows(made.decode(), "a"), made.other_row(made.decode(), "b", "oom", "no room")]
    points = gather(load(made.run(rows)))

    assert [point.backend for point in drawn(points)] == ["a"]


def test_runs_are_named_by_device_where_that_tells_them_apart(made):
    import dataclasses

    first = made.identity()
    h100 = dataclasses.replace(first.environment.device, name="NVIDIA H100")
    environment = dataclasses.replace(first.environment, device=h100)
    second = made.identity(run_id="r2", run_name="other", environment=environment)
    third = made.identity(run_id="r3", run_name="third")
    paths = [
        made.run(made.ok_rows(made.decode(), "sdpa", who=who)) for who in (first, second, third)
    ]

    assert {p.run for p in gather(load(paths[:2]))} == {"NVIDIA H200", "NVIDIA H100"}
    assert {p.run for p in gather(load(paths))} == {"made-h200", "other", "third"}
