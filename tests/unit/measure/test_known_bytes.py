"""A backend that copies known bytes, through everything that a case goes through, on this CPU."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from attnbench.case import Case
from attnbench.device.ceilings import measure_ceilings
from attnbench.device.cpu import Cpu
from attnbench.measure.context import CaseSettings, DeviceContext
from attnbench.measure.measure import measure
from attnbench.measure.outcome import TOLERANCE
from attnbench.method import Measure, Method
from attnbench.plugin import Capabilities
from attnbench.problem import Problem
from attnbench.stats.summary import summarize

pytestmark = [pytest.mark.torch, pytest.mark.slow]

SHARE = 0.5  # of the copy's ceiling; other processes take the rest
NBYTES = 400 * 10**6
CASE = Case(
    problem=Problem(q_len=1, kv_len=8, q_heads=1, head_dim=8, dtype="fp32"),
    backend="copying",
    source="copying.py",
)
METHOD = Method(timer="wall", l2="warm", warmup_s=0.1)


def copying(inputs):
    source = torch.ones(NBYTES, dtype=torch.uint8)
    target = torch.empty_like(source)

    def call():
        target.copy_(source)
        return torch.nn.functional.scaled_dot_product_attention(
            inputs.q, inputs.k, inputs.v, scale=inputs.scale
        )

    return call


def test_a_copy_reaches_half_of_the_ceiling_and_never_more_than_all_of_it():
    driver = Cpu()
    bench = DeviceContext(driver, lambda _stage: None)
    bench._modules[CASE.backend, CASE.source] = SimpleNamespace(
        capabilities=Capabilities(), prepare=copying
    )
    shares = []
    for _ in range(4):  # another process may take the memory for a while
        bench.ceilings = measure_ceilings(driver, driver.describe(), repeats=3)
        done = measure(CASE, CaseSettings(method=METHOD, measure=Measure(sample_s=0.5)), bench)
        assert done.status == "ok", done.reason
        assert done.prepared_bytes == 2 * NBYTES
        gbps = 2 * NBYTES / (summarize(done.samples_us).latency / 1e6) / 1e9
        shares.append(gbps / bench.ceilings.copy_gbps)
        if SHARE <= shares[-1] <= TOLERANCE["cpu"]:
            return
    pytest.fail(f"copied at {shares} of the ceiling")
