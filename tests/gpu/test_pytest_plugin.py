"""The pytest plugin on a CUDA device: cases checked, and timed to the end of the call."""

from __future__ import annotations

import importlib.metadata
import json

import pytest

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.torch, pytest.mark.gpu]

POINTS = importlib.metadata.entry_points(group="pytest11")
LOADED = any(point.value == "attnbench.pytest_plugin" for point in POINTS)
PLUGIN = () if LOADED else ("-p", "attnbench.pytest_plugin")

SUITE = """
suite: small
problem: {q_len: 1, kv_len: 4k, q_heads: 32, kv_heads: 8, head_dim: 128, dtype: bf16}
backends: {sdpa: , triton_decode: }
"""


def test_a_suite_is_checked_and_timed_on_the_device(pytester):
    pytester.makefile(".yaml", small=SUITE)
    words = ("--attnbench", "small.yaml", "--attnbench-device=cuda:0", "--benchmark-json=out.json")

    result = pytester.runpytest_subprocess(*PLUGIN, *words)

    result.assert_outcomes(passed=2)
    document = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))
    assert document["machine_info"]["attnbench"]["device_arch"].startswith("sm_")
    # 16.8 MB of cache cannot be read in a microsecond: it is not the process alone that was timed.
    assert all(one["stats"]["min"] > 1e-6 for one in document["benchmarks"])
