"""A suite of ten thousand cases: read, expanded and planned."""

from __future__ import annotations

from pathlib import Path

from attnbench.device.rates import lookup
from attnbench.planning.plan import describe_backends, make_plan
from attnbench.planning.prediction import Predictor
from attnbench.registry import Registry
from attnbench.suite import loads

SUITE = """
suite: ten_thousand
problem: {head_dim: 128, dtype: bf16, mask: causal}
sweep:
  batch: [1, 2, 3, 4, 5, 6, 7, 8, 16, 32]
  q_len: {pow2: [16, 8k]}
  kv_len: {pow2: [16, 8k]}
  heads:
    - {q_heads: 32, kv_heads: 32}
    - {q_heads: 32, kv_heads: 8}
    - {q_heads: 32, kv_heads: 1}
    - {q_heads: 64, kv_heads: 8}
    - {q_heads: 8, kv_heads: 8}
backends:
  naive:
  sdpa: {options: {kernel: [auto]}}
"""


def test_ten_thousand_cases_are_read_and_planned(benchmark):
    sheet = lookup("h200")

    def plan():
        suite = loads(SUITE, "ten_thousand", Path(), Registry())
        predictor = Predictor(sheet.device, sheet.ceilings)
        return make_plan(
            suite.cases, predictor, suite.measure, describe_backends(list(suite.cases))
        )

    made = benchmark.pedantic(plan, rounds=3, warmup_rounds=1)

    assert len(made.planned) == 10_000
