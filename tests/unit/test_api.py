"""The verbs as functions: what they hand to the layers below."""

from __future__ import annotations

import json

import pytest

import attnbench
from attnbench import api
from attnbench.errors import DeviceMissing, InputError, NothingSelected, TorchMissing
from attnbench.execute import checker, doctor, runner

SUITE = """\
suite: tiny
problem: {q_len: 1, q_heads: 8, head_dim: 64, dtype: bf16}
sweep: {kv_len: [1k, 4k]}
backends:
  naive:
  sdpa: {options: {kernel: [math, flash]}}
exclude:
  - {backend: naive, kv_len: 4k}
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(SUITE, encoding="utf-8")
    return path


@pytest.fixture
def requests(monkeypatch):
    """What the runner and the checker are asked for."""
    asked = []
    monkeypatch.setattr(runner, "run", lambda request, listener: asked.append((request, listener)))
    monkeypatch.setattr(checker, "check", lambda request, _: asked.append((request, None)))
    return asked


def test_a_suite_is_a_path_a_shipped_name_or_a_suite(path):
    suite = api.load_suite(path)

    assert suite.name == "tiny"
    assert len(suite.cases) == 5
    assert api.load_suite(suite) is suite
    assert api.load_suite("quick").name == "quick"


def test_a_filter_backends_and_fields_change_what_is_loaded(path):
    def labels(**settings):
        return {case.backend_label for case in api.load_suite(path, **settings).cases}

    assert labels(filter="kernel=flash") == {"sdpa[kernel=flash]"}
    assert labels(backends=["naive"]) == {"naive"}
    assert len(api.load_suite(path, overrides=["batch=1,2"]).cases) == 10
    with pytest.raises(NothingSelected):
        api.load_suite(path, filter="triton")


def test_run_hands_over_what_was_asked(path, requests, tmp_path):
    attnbench.run(
        path,
        device="cpu",
        filter="naive",
        out=str(tmp_path / "x.parquet"),
        budget="10m",
        run_args={"by": "test"},
        processes=2,
        oom_skip=False,
    )

    request, listener = requests[0]
    assert [case.backend for case in request.suite.cases] == ["naive"]
    assert request.out == tmp_path / "x.parquet"
    assert request.budget_s == 600.0
    assert (request.device, request.processes, request.oom_skip) == ("cpu", 2, False)
    assert request.repro == f"attnbench run {path}"
    assert json.loads(request.run_args) == {
        "suite": str(path),
        "device": "cpu",
        "select": "naive",
        "by": "test",
    }
    assert listener(None) is None


def test_check_hands_over_the_suite(path, requests):
    api.check(path, device="cpu", filter="sdpa")

    assert {case.backend for case in requests[0][0].suite.cases} == {"sdpa"}


def test_a_plan_needs_no_device(path):
    plan = attnbench.plan(path, device="h200")

    assert plan.device.name == "NVIDIA H200"
    assert len(plan.planned) == 5
    assert plan.seconds > 0


def test_without_torch_a_plan_is_for_the_cpu(path, monkeypatch):
    def missing(_):
        raise TorchMissing("measuring needs torch")

    monkeypatch.setattr(doctor, "device_environment", missing)

    assert attnbench.plan(path).device.kind == "cpu"
    with pytest.raises(TorchMissing):
        attnbench.plan(path, device="cuda:0")


@pytest.mark.parametrize(
    ("device", "error"), [("h20", DeviceMissing), ("results/gone.parquet", InputError)]
)
def test_a_device_that_nobody_knows(path, tmp_path, monkeypatch, device, error):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(error):
        attnbench.plan(path, device=device)
