from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from attnbench import api
from attnbench.case import Case
from attnbench.environment import Device
from attnbench.method import Method
from attnbench.planning.plan import Plan, PlannedCase
from attnbench.problem import Problem

METHOD = Method(timer="event", l2="cold", flush="read")
DEVICE = Device(
    kind="cuda", name="NVIDIA H200", arch="sm_90", memory_bytes=150 * 10**9, free_bytes=148 * 10**9
)


def planned(backend, kv_len, status="run", reason=None, *, mode="fwd"):
    problem = Problem(
        mode=mode, q_len=1, kv_len=kv_len, q_heads=32, kv_heads=8, head_dim=128, dtype="bf16"
    )
    return PlannedCase(
        case=Case(problem=problem, backend=backend),
        method=METHOD,
        status=status,
        reason=reason,
        predicted_bytes=kv_len * 1_000_000,
        predicted_s=kv_len / 1000,
    )


@pytest.fixture
def fake_plan(monkeypatch):
    """Stand in for planning; ``asked`` holds what the command line wanted."""
    asked = []
    plan = Plan(
        device=DEVICE,
        planned=(
            planned("naive", 1024),
            planned("naive", 4096),
            planned("naive", 65536, "skipped", "about 63 s a process, over case_limit_s 5"),
            planned("sdpa", 1024),
            planned("sdpa", 1024, mode="bwd"),
            planned("flex", 1024, "unsupported", "needs sm_80, this is sm_75"),
        ),
        processes=3,
    )

    def load_suite(word, **settings):
        asked.append((word, settings))
        derived = ("llama-3-8b: 32 heads, 8 kv_heads, head_dim 128",)
        return SimpleNamespace(name="decode", derived=derived, excluded=3)

    def make(_, **settings):
        asked.append(settings)
        return plan

    monkeypatch.setattr(api, "load_suite", load_suite)
    monkeypatch.setattr(api, "plan", make)
    return asked


def test_a_plan_is_summed_up(attnbench, golden, fake_plan):
    result = attnbench("plan", "decode", "--device", "h200", "-k", "flash", "--set", "batch=1")

    assert result.code == 0
    chosen = {"backends": (), "overrides": ("batch=1",), "filter": "flash"}
    assert fake_plan == [("decode", chosen), {"device": "h200"}]
    golden("plan", result.out)


@pytest.mark.usefixtures("fake_plan")
def test_all_is_a_line_for_every_case(attnbench, golden):
    golden("plan_all", attnbench("plan", "decode", "--all").out)


@pytest.mark.usefixtures("fake_plan")
def test_a_program_gets_every_case(attnbench):
    facts = json.loads(attnbench("plan", "decode", "--json").out)

    assert facts["device"]["name"] == "NVIDIA H200"
    assert facts["seconds"] == pytest.approx(3 * (1.024 * 3 + 4.096))
    assert [one["status"] for one in facts["cases"]].count("run") == 4
    assert facts["cases"][2]["reason"].startswith("about 63 s")
