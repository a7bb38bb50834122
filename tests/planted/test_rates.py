"""Numbers 5, 20, 23, 24 and 30: formulas, units and ceilings."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from attnbench.cost import compute_cost
from attnbench.device.cpu import Cpu
from attnbench.device.fake import Fake, Script
from attnbench.device.rates import GPU_SPECS, Ceilings
from attnbench.measure import measure as measuring
from attnbench.measure.selftest import copy as copy_test
from attnbench.measure.timers import make_timer
from attnbench.metrics import Timing, derive
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

WINDOW = Problem(
    q_len=256, q_heads=4, head_dim=32, dtype="fp32", mask="window", window=16, mask_align="top_left"
)
SHARE = 0.6  # of the arithmetic ceiling, which an honest kernel may well reach


def windowed(device, seconds):
    def prepare(inputs):
        row = torch.arange(256)
        seen = (row[:, None] >= row[None, :]) & (row[:, None] - row[None, :] < 16)

        def call():
            device.launch(seconds)
            return torch.nn.functional.scaled_dot_product_attention(
                inputs.q, inputs.k, inputs.v, attn_mask=seen, scale=inputs.scale
            )

        return call

    return prepare


@pytest.mark.parametrize("priced", ["as it is", "without the window"])
def test_flops_priced_without_the_window_are_implausible(measured, monkeypatch, priced):
    device = Fake(Script())
    ceilings = Ceilings(read_gbps=1e6, copy_gbps=1e6, triad_gbps=1e6, tflops={"fp32": 1.0})
    cost = compute_cost(WINDOW)
    seconds = cost.flops / (SHARE * 1e12)
    if priced == "without the window":
        full = compute_cost(Problem(q_len=256, q_heads=4, head_dim=32, dtype="fp32", mask="causal"))
        monkeypatch.setattr(measuring, "compute_cost", lambda _: full)
    # A device that is measured again finds the same ceiling: it is no busy moment.
    monkeypatch.setattr("attnbench.measure.context.measure_ceilings", lambda *_, **__: ceilings)
    done = measured(device, windowed(device, seconds), WINDOW, ceilings=ceilings)

    if priced == "as it is":
        assert done.status == "ok", done.reason
    else:
        assert done.status == "implausible"
        assert "the best matrix product here reaches 1" in done.reason
        assert done.samples_us == ()
        assert done.calls_per_sample is None


def test_a_gpu_that_is_in_no_table_is_held_against_what_was_measured_on_it(measured, attend):
    device = Fake(Script())
    name = device.describe().name
    assert name.lower() not in GPU_SPECS
    ceilings = Ceilings(read_gbps=200.0, copy_gbps=180.0, triad_gbps=190.0, tflops={"fp32": 5.0})
    problem = Problem(batch=4, q_len=1, kv_len=128, q_heads=8, head_dim=64, dtype="fp32")
    cost = compute_cost(problem)
    seconds = cost.min_bytes / 100e9

    def prepare(inputs):
        def call():
            device.launch(seconds)
            return attend(inputs)

        return call

    done = measured(device, prepare, problem, ceilings=ceilings)
    assert done.status == "ok", done.reason
    timing = Timing(
        problem=problem,
        cost=cost,
        latency_us=seconds * 1e6,
        peak_bandwidth_gbps=done.peak_bandwidth_gbps,
    )

    assert done.ceilings_source == "measured"
    assert derive(timing)["pct_peak_bandwidth"] == pytest.approx(50.0)


@pytest.mark.parametrize(("kv_dtype", "scale_bytes"), [("fp8_e4m3", 4), ("int8", 4), ("int4", 8)])
def test_the_bytes_of_a_quantised_cache_hold_its_scales(kv_dtype, scale_bytes):
    fields = {"batch": 3, "q_len": 1, "kv_len": 128, "q_heads": 8, "kv_heads": 2, "head_dim": 64}
    plain = compute_cost(Problem(**fields, dtype="bf16"))
    stored = compute_cost(Problem(**fields, dtype="bf16", kv_dtype=kv_dtype))
    tokens = 3 * 128 * 2  # of one tensor

    assert stored.bytes_scales == 2 * tokens * scale_bytes
    assert plain.bytes_scales == 0
    parts = ("bytes_q", "bytes_k", "bytes_v", "bytes_o", "bytes_scales")
    assert stored.min_bytes == sum(getattr(stored, one) for one in parts)


@pytest.mark.parametrize(("q_len", "kv_len"), [(4096, 512), (9, 3), (2, 1)])
def test_more_rows_than_keys_is_a_triangle_of_the_keys_and_never_negative(q_len, kv_len):
    problem = Problem(
        q_len=q_len, kv_len=kv_len, q_heads=1, head_dim=8, dtype="fp32", mask="causal"
    )

    assert compute_cost(problem).pairs == kv_len * (kv_len + 1) // 2
    assert compute_cost(replace(problem, mask="none")).pairs == q_len * kv_len


def test_a_gigabyte_is_a_thousand_million_bytes_in_a_known_copy():
    device = Fake(Script())
    nbytes = 2**30
    timer = make_timer("event", device, lambda: device.launch(2 * nbytes / 100e9), None)
    gbps = 2 * nbytes / timer.sample() / 1e9

    assert gbps == pytest.approx(100.0, rel=1e-3)
    # What MiB/ms under the name of GB/s would be, or GiB/s: both are distinguished.
    assert abs(gbps / 1.048576 - 100) > 4
    assert abs(gbps / 1.073741824 - 100) > 6


def test_the_copy_of_the_self_test_counts_decimal_bytes_in_both_directions():
    driver = Cpu()
    ceilings = Ceilings(read_gbps=1e9, copy_gbps=1e-9, triad_gbps=1e9)
    read = []
    nbytes = 32 * 10**6

    class Watched(Cpu):
        def clock_ns(self):
            """Every copy takes a millisecond."""
            read.append(1)
            return len(read) * 500_000

    done = copy_test(Watched(), driver.describe(), ceilings, brief=True)

    took_s = 500_000e-9
    assert float(done.measured.split()[0]) == pytest.approx(2 * nbytes / took_s / 1e9, rel=1e-3)


def test_a_column_says_its_unit_in_its_name_or_its_meaning():
    from attnbench.store.columns import COLUMNS

    units = {"_us": "µs", "_bytes": "B", "_gbps": "GB/s", "_mhz": "MHz", "_w": "W", "_tflops": "TF"}
    for column in COLUMNS:
        for ending, unit in units.items():
            if column.name.endswith(ending):
                assert column.meaning.startswith((unit, "bytes")), column
