"""The error rates that docs/gating.md states: a quick look in CI, the whole table with -m slow.

pytest tests/bench/gate -m slow --benchmark-only     writes tests/bench/gate/RATES.md
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pytest_benchmark")

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("gate_rates", HERE / "rates.py")
rates = importlib.util.module_from_spec(SPEC)
sys.modules["gate_rates"] = rates
SPEC.loader.exec_module(rates)

# Red on unchanged suites, in percent, at most.
RED = {"quiet": 1, "typical": 1, "noisy": 3}


def test_ab_at_a_glance(benchmark):
    found = benchmark.pedantic(
        lambda: [rates.ab("typical", slowdown, 20) for slowdown in (0.0, 0.03, 0.05)], rounds=1
    )

    assert sum(found[0].red) == 0
    assert np.mean(found[1].found) >= 0.93
    assert np.mean(found[2].found) >= 0.99
    assert 0.93 <= np.mean(found[0].held) <= 0.96


def test_twenty_baselines_at_a_glance(benchmark):
    found = benchmark.pedantic(
        lambda: [rates.history("typical", slowdown, 10, 20) for slowdown in (0.0, 0.05)], rounds=1
    )

    assert sum(found[0].red) <= 1
    assert np.mean(found[1].found) >= 0.9
    assert np.mean(found[0].held) >= 0.94


@pytest.mark.slow
def test_the_whole_table(benchmark):
    count = 200
    rows = benchmark.pedantic(lambda: rates.table(count), rounds=1)

    (HERE / "RATES.md").write_text(rates.markdown(rows, count), encoding="utf-8")
    by_rule = {(regime, name): tallies for regime, name, tallies in rows}
    for regime, most in RED.items():
        assert 100 * np.mean(by_rule[regime, "ab"][0].red) <= most
        assert 100 * np.mean(by_rule[regime, "gate, 20 baselines"][0].red) <= most
        assert 0.94 <= np.mean(by_rule[regime, "ab"][0].held) <= 0.96
    assert np.mean(by_rule["typical", "ab"][1].found) >= 0.95
    assert np.mean(by_rule["typical", "ab"][2].found) >= 0.99
    assert np.mean(by_rule["noisy", "ab"][2].found) >= 0.88
    assert np.mean(by_rule["typical", "gate, 20 baselines"][2].found) >= 0.95
