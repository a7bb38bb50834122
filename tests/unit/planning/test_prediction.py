"""Predictions: they follow the ceilings, learn from calibration and grow with the work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.case import Case
from attnbench.cost import compute_cost
from attnbench.device.rates import Ceilings
from attnbench.environment import Device
from attnbench.method import Measure
from attnbench.planning.prediction import Predictor, rate_key
from attnbench.planning.sizes import predict_input_bytes
from attnbench.problem import Problem

CPU = Device(
    kind="cpu", name="a CPU", arch="x86_64", memory_bytes=16 * 10**9, free_bytes=8 * 10**9, cores=2
)
CEILINGS = Ceilings(copy_gbps=20, read_gbps=25, tflops={"fp32": 0.2, "bf16": 0.1})


def decode(kv_len: int, **changes: object) -> Case:
    fields = {"q_len": 1, "kv_len": kv_len, "q_heads": 8, "head_dim": 64, "dtype": "fp32"}
    return Case(problem=Problem(**{**fields, **changes}), backend="naive")  # type: ignore[arg-type]


def test_work_is_the_roof_that_binds() -> None:
    predictor = Predictor(CPU, CEILINGS)
    one = decode(65536).problem
    assert predictor.work_s(one) == pytest.approx(compute_cost(one).min_bytes / 25e9)
    square = Problem(q_len=4096, q_heads=8, head_dim=64, dtype="fp32", mask="causal")
    # No credit for the mask: a plain backend computes what it masks.
    assert predictor.work_s(square) == pytest.approx(compute_cost(square).flops_dense / 0.2e12)


def test_one_calibration_call_may_be_all_overhead() -> None:
    predictor = Predictor(CPU, CEILINGS)
    small, large = decode(1024), decode(8192)
    predictor.learn(small, 1e-3)
    further_s = predictor.work_s(large.problem) - predictor.work_s(small.problem)
    assert predictor.call_s(large) == pytest.approx(1e-3 + 4 * further_s)
    assert predictor.call_s(decode(256)) == 1e-3  # never less than the smallest that was tried


def test_two_calibration_calls_give_the_slope() -> None:
    predictor = Predictor(CPU, CEILINGS)
    predictor.learn(decode(1024), 2e-3)
    predictor.learn(decode(16384), 17e-3)
    assert predictor.call_s(decode(32768)) == pytest.approx(33e-3, rel=0.01)


def test_a_calibration_call_that_met_another_process_does_not_make_the_rest_free() -> None:
    predictor = Predictor(CPU, CEILINGS)
    predictor.learn(decode(16), 1e-2)
    predictor.learn(decode(16384), 5e-3)
    further_s = predictor.work_s(decode(65536).problem) - predictor.work_s(decode(16384).problem)
    assert predictor.call_s(decode(65536)) == pytest.approx(5e-3 + further_s)


def test_other_kinds_learn_nothing_from_it() -> None:
    predictor = Predictor(CPU, CEILINGS)
    other = decode(1024, dtype="bf16")
    before = predictor.call_s(other)
    predictor.learn(decode(1024), 5.0)
    assert rate_key(other) != rate_key(decode(1024))
    assert predictor.call_s(other) == before


@given(st.integers(1, 2**17), st.integers(1, 2**17))
def test_more_keys_never_take_less_time_or_memory(one: int, other: int) -> None:
    predictor = Predictor(CPU, CEILINGS)
    few, many = decode(min(one, other)), decode(max(one, other))
    settings = Measure()
    assert predictor.case_s(few, settings) <= predictor.case_s(many, settings) * (1 + 1e-9)
    assert predictor.peak_bytes(few) <= predictor.peak_bytes(many)


def test_a_case_takes_its_warmup_and_its_samples() -> None:
    settings = Measure(warmup_s=0.1, sample_s=0.3)
    predictor = Predictor(CPU, CEILINGS)
    predictor.learn(decode(16), 5e-3)
    assert 0.4 <= predictor.case_s(decode(16), settings) < 0.5


def test_two_hundred_quick_samples_take_less_than_the_sampling_time() -> None:
    predictor = Predictor(CPU, CEILINGS)
    predictor.learn(decode(16), 1e-5)
    assert predictor.case_s(decode(16), Measure(sample_s=0.3)) < 0.2


def test_a_slow_call_takes_about_twenty_of_itself() -> None:
    predictor = Predictor(CPU, CEILINGS)
    predictor.learn(decode(16), 1.0)
    assert 18 <= predictor.case_s(decode(16), Measure()) <= 24


def test_bytes_hold_inputs_outputs_and_the_backends_own() -> None:
    predictor, case = Predictor(CPU, CEILINGS), decode(4096)
    assert predictor.peak_bytes(case) > predict_input_bytes(case.problem)
    assert predictor.peak_bytes(case, 10**12) > 10**12
