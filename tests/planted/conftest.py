"""One case of a backend that is written for the occasion, on a scripted or a real device."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from attnbench.case import Case
from attnbench.device.rates import Ceilings
from attnbench.method import Measure, Method
from attnbench.problem import Problem

PROBLEM = Problem(q_len=8, q_heads=2, head_dim=8, dtype="fp32")
HIGH = Ceilings(read_gbps=1e6, copy_gbps=1e6, triad_gbps=1e6, tflops={"fp32": 1e6})
SETTINGS = Measure(warmup_s=0.01, sample_s=0.05)


@pytest.fixture
def measured():
    """Measure ``prepare`` on a driver; the whole way of a case, without a process of its own."""
    from attnbench.measure.context import CaseSettings, DeviceContext
    from attnbench.measure.measure import measure
    from attnbench.plugin import Capabilities

    able = Capabilities(
        masks={"none", "causal", "window"},
        mask_aligns={"bottom_right", "top_left"},
        paged=True,
    )

    def run(driver, prepare, problem=PROBLEM, *, ceilings=HIGH, bench=None, method=None):
        cold = driver.kind == "cuda"
        method = method or Method(
            timer="event" if cold else "wall",
            l2="cold" if cold else "warm",
            flush="read" if cold else None,
            warmup_s=0.01,
        )
        bench = bench or DeviceContext(driver, lambda _: None)
        bench.ceilings = ceilings
        case = Case(problem=problem, backend="planted", source="planted.py")
        module = SimpleNamespace(__name__="planted", capabilities=able, prepare=prepare)
        bench._modules[case.backend, case.source] = module
        return measure(case, CaseSettings(method=method, measure=SETTINGS), bench)

    return run


@pytest.fixture
def attend():
    """Right attention of inputs through torch, without a mask."""
    import torch

    def call(inputs):
        return torch.nn.functional.scaled_dot_product_attention(
            inputs.q, inputs.k, inputs.v, scale=inputs.scale
        )

    return call
