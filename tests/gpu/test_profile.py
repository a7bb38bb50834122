"""The three profilers on a real device: kernels, DRAM bytes, and a refusal that says what to do."""

from __future__ import annotations

import json

import pytest

from attnbench import api
from attnbench.errors import EnvironmentProblem
from attnbench.profile.ncu import program

pytestmark = [pytest.mark.gpu, pytest.mark.torch]

SUITE = """
suite: one
problem: {batch: 16, q_len: 1, kv_len: 16k, q_heads: 32, kv_heads: 8, head_dim: 128, dtype: bf16}
backends:
  sdpa:
  triton_decode:
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    path = tmp_path / "one.yaml"
    path.write_text(SUITE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return path


@pytest.mark.parametrize("tool", ["torch", "proton"])
@pytest.mark.parametrize("backend", ["sdpa", "triton_decode"])
def test_kernels_and_their_time_are_read(suite, tool, backend):
    profiled = api.profile(suite, filter=f"backend={backend}", tool=tool, device="cuda")

    assert profiled.status == "ok", profiled.reason
    assert profiled.kernels
    assert all(one.calls >= 1 for one in profiled.kernels)
    assert profiled.total_s > 0


def test_the_chrome_trace_holds_the_kernels(suite):
    profiled = api.profile(suite, filter="backend=triton_decode", tool="torch", device="cuda")
    (path,) = profiled.files
    names = {one.get("name") for one in json.loads(path.read_text())["traceEvents"]}

    assert profiled.kernels[0].name in names


def counted(suite):
    try:
        return api.profile(suite, filter="backend=triton_decode", tool="ncu", device="cuda")
    except EnvironmentProblem as error:
        if "NVreg_RestrictProfilingToAdminUsers" in (error.hint or ""):
            pytest.skip(error.message)
        raise


def test_a_decode_kernel_moves_its_cache_once(suite):
    if program() is None:
        pytest.skip("ncu is not installed")
    profiled = counted(suite)

    assert profiled.dram_bytes is not None
    assert 0.9 < profiled.moved_over_minimum < 1.3
    assert max(one.counters["dram_pct"] for one in profiled.kernels) > 30
