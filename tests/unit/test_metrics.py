from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.cost import compute_cost
from attnbench.measurement import BOUNDS
from attnbench.metrics import METRICS, Timing, derive
from attnbench.problem import Problem
from attnbench.store.columns import BY_NAME

DECODE = Problem(
    batch=16,
    q_len=1,
    kv_len=4096,
    q_heads=32,
    kv_heads=8,
    head_dim=128,
    dtype="bf16",
    mask="causal",
)
PREFILL = Problem(q_len=8192, q_heads=32, head_dim=128, dtype="bf16", mask="causal")
COST = compute_cost(DECODE)
FORMULA_NAMES = {"allocated", "samples_us"} | set(BY_NAME)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_is_a_number_column_of_the_result_file(metric):
    column = BY_NAME[metric.column]

    assert column.type in ("int64", "float64")
    assert metric.better in ("lower", "higher", None)
    assert metric.about
    assert metric.formula


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metrics_column_is_derived_from_its_declaration(metric):
    column = BY_NAME[metric.column]

    assert (column.type, column.meaning) == (metric.type, metric.meaning)
    assert metric.unit == "1" or column.meaning.startswith(metric.unit)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("latency", 18.234, "18.2 µs"),
        ("peak_bytes", 2_150_000_000, "2.15 GB"),
        ("tflops", 512.0, "512 TFLOP/s"),
        ("bandwidth_gbps", 4310.0, "4.31 TB/s"),
        ("pct_peak_flops", 64.71, "64.7%"),
        ("intensity", 15.5, "15.5 FLOP/B"),
        ("energy", 0.25, "0.250 J"),
        ("error_ratio", 1.0, "1.00"),
    ],
)
def test_a_value_is_written_with_its_unit(name, value, text):
    assert METRICS[name].text(value) == text


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_formula_speaks_of_columns(metric):
    named = set(re.findall(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b", metric.formula))

    assert named <= FORMULA_NAMES


def test_metrics_are_found_by_name_and_no_column_is_there_twice():
    assert [metric.name for metric in METRICS.values()] == list(METRICS)
    assert len({metric.column for metric in METRICS.values()}) == len(METRICS)


def derived_of(problem, latency_us, bandwidth=None, tflops=None, notes=()):
    """Derive the columns of one row; attributes read better than keys here."""
    timing = Timing(
        problem=problem,
        cost=compute_cost(problem),
        latency_us=latency_us,
        peak_bandwidth_gbps=bandwidth,
        peak_tflops=tflops,
        notes=notes,
    )
    return SimpleNamespace(**derive(timing))


def test_what_is_derived_is_the_group_of_columns():
    group = [name for name, column in BY_NAME.items() if column.group == "derived"]

    assert sorted(vars(derived_of(DECODE, 1))) == sorted(group)


def test_what_stays_in_the_cache_has_no_share_of_the_bandwidth():
    derived = derived_of(DECODE, 62.5, 4300, 850, ["L2_RESIDENT"])

    assert derived.pct_peak_bandwidth is None
    assert derived.pct_peak_flops is not None


def test_rates_and_shares_of_a_decode_on_an_h200():
    derived = derived_of(DECODE, 62.5, 4300, 850)

    assert derived.bandwidth_gbps == pytest.approx(268_697_600 / 62.5e-6 / 1e9)
    assert derived.bandwidth_gbps == pytest.approx(4299.16, abs=0.01)
    assert derived.tflops == pytest.approx(17.18, abs=0.005)
    assert derived.pct_peak_bandwidth == pytest.approx(99.98, abs=0.005)
    assert derived.pct_peak_flops == pytest.approx(2.02, abs=0.005)
    assert derived.bound == "memory"


def test_prefill_is_bound_by_computing():
    derived = derived_of(PREFILL, 1000, 4300, 850)

    assert derived.tflops == pytest.approx(549.8, abs=0.1)
    assert derived.pct_peak_flops == pytest.approx(64.7, abs=0.05)
    assert derived.bound == "compute"


def test_the_ridge_itself_counts_as_compute():
    bandwidth = 1000.0
    ridge = COST.intensity * bandwidth / 1000

    assert derived_of(DECODE, 1, bandwidth, ridge * 1.001).bound == "memory"
    assert derived_of(DECODE, 1, bandwidth, ridge * 0.999).bound == "compute"


def test_a_launch_bound_row_says_so_whatever_its_intensity():
    assert derived_of(DECODE, 5, 4300, 850, notes=["LAUNCH_BOUND"]).bound == "launch"
    assert derived_of(PREFILL, 5, None, None, notes=["LAUNCH_BOUND"]).bound == "launch"


@pytest.mark.parametrize(
    ("bandwidth", "tflops", "shares"),
    [(None, None, (False, False)), (4300, None, (True, False)), (None, 850, (False, True))],
)
def test_without_a_ceiling_there_is_no_share_and_no_bound(bandwidth, tflops, shares):
    derived = derived_of(DECODE, 62.5, bandwidth, tflops)

    assert (derived.pct_peak_bandwidth is not None, derived.pct_peak_flops is not None) == shares
    assert derived.bound is None
    assert derived.tflops > 0


@given(st.floats(0.1, 1e7), st.floats(1, 1e5), st.floats(0.01, 1e4))
def test_rates_are_consistent_with_each_other(latency_us, bandwidth, tflops):
    derived = derived_of(DECODE, latency_us, bandwidth, tflops)

    ratio = derived.tflops * 1e12 / (derived.bandwidth_gbps * 1e9)
    assert ratio == pytest.approx(COST.intensity)
    assert derived.pct_peak_bandwidth * bandwidth == pytest.approx(100 * derived.bandwidth_gbps)
    assert derived.bound in BOUNDS


def test_twice_the_time_is_half_the_rate():
    fast, slow = derived_of(DECODE, 10, 4300, 850), derived_of(DECODE, 20, 4300, 850)

    assert fast.bandwidth_gbps == pytest.approx(2 * slow.bandwidth_gbps)
    assert fast.tflops == pytest.approx(2 * slow.tflops)
