"""The physics check: what may not be true, and what may."""

from __future__ import annotations

from attnbench.cost import compute_cost
from attnbench.device.rates import Ceilings
from attnbench.measure.outcome import excess, is_resident
from attnbench.problem import Problem

DECODE = Problem(batch=8, q_len=1, kv_len=4096, q_heads=32, kv_heads=8, head_dim=128, dtype="bf16")
PREFILL = Problem(q_len=2048, q_heads=32, head_dim=128, dtype="bf16", mask="causal")
H200 = Ceilings(read_gbps=4300, copy_gbps=4200, tflops={"bf16": 780, "fp32": 50})


def latency_at(gbps: float) -> float:
    return compute_cost(DECODE).min_bytes / (gbps * 1e9)


def test_the_ceiling_itself_and_five_per_cent_more_may_be_true() -> None:
    for gbps in (1000, 4300, 4300 * 1.04):
        assert excess(compute_cost(DECODE), latency_at(gbps), H200, "cuda", cached_bytes=0) is None


def test_more_bandwidth_than_the_device_has_is_named() -> None:
    said = excess(compute_cost(DECODE), latency_at(9000), H200, "cuda", cached_bytes=0)
    assert said == (
        "9000 GB/s of memory traffic, but this device reaches 4300: "
        "the call cannot have read its inputs"
    )


def test_what_the_cache_may_have_served_is_not_counted() -> None:
    cost = compute_cost(DECODE)
    fast_s = latency_at(9000)
    assert excess(cost, fast_s, H200, "cuda", cached_bytes=cost.min_bytes) is None
    assert excess(cost, fast_s, H200, "cuda", cached_bytes=None) is None


def test_a_causal_problem_priced_as_dense_would_be_caught() -> None:
    cost = compute_cost(PREFILL)
    fastest_s = cost.flops / (780e12 * 1.04)
    assert excess(cost, fastest_s, H200, "cuda", cached_bytes=None) is None
    said = excess(cost, fastest_s / 2, H200, "cuda", cached_bytes=None)
    assert said is not None
    assert "the call cannot have done the work" in said


def test_nothing_is_said_where_nothing_is_known() -> None:
    assert excess(compute_cost(DECODE), 1e-12, Ceilings(), "cuda", cached_bytes=0) is None


def test_only_a_warm_call_in_the_cache_is_resident() -> None:
    assert is_resident(10, 11, "warm")
    assert not is_resident(11, 11, "warm")
    assert not is_resident(10, 11, "cold")
    assert not is_resident(10, None, "warm")
