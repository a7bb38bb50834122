"""A result file made by hand, a run that measures nothing, and the command line in a test."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from attnbench.case import Case
from attnbench.cli import app
from attnbench.environment import Device, Environment
from attnbench.execute.events import RunFinished
from attnbench.execute.rows import RunIdentity, make_row
from attnbench.measurement import Measurement
from attnbench.method import Method
from attnbench.problem import Problem
from attnbench.store import RunWriter

METHOD = Method(timer="wall", l2="warm")
DEVICE = Device(
    kind="cpu",
    name="Xeon",
    arch="x86_64",
    memory_bytes=8 * 10**9,
    free_bytes=3 * 10**9,
    cores=2,
)
ENVIRONMENT = Environment(device=DEVICE, host="node", python="3.12.4", torch_version="2.13.0")
IDENTITY = RunIdentity(
    attnbench_version="1.2.3",
    run_id="abc",
    run_name="tiny",
    suite="tiny",
    suite_sha256="0" * 64,
    suite_tags=(),
    run_args="{}",
    repro="attnbench run tiny",
    environment=ENVIRONMENT,
)


def make_case(backend="naive", *, kv_len=1024, options=()):
    problem = Problem(
        batch=1, q_len=1, kv_len=kv_len, q_heads=8, kv_heads=8, head_dim=64, dtype="fp32"
    )
    return Case(problem=problem, backend=backend, options=options)


def ok_rows(case, latencies, *notes):
    """A row for each process."""
    for process, latency in enumerate(latencies):
        samples = tuple(latency * (1 + 0.002 * (i % 7 - 3)) for i in range(20))
        measurement = Measurement(
            case=case,
            status="ok",
            process=process,
            started_at=1_795_000_000.0 + process,
            samples_us=samples,
            check="passed",
            error_rel=1.2e-7,
            error_ratio=0.9,
            notes=notes,
            timer="wall",
            l2="warm",
            stop_reason="time",
            first_call_us=900.0,
            prepare_us=12.0,
            check_us=4000.0,
            seconds=0.6,
            peak_bytes=1_500_000,
            input_bytes=1_000_000,
            prepared_bytes=0,
            workspace_bytes=400_000,
            output_bytes=100_000,
            peak_bandwidth_gbps=20.0,
            peak_tflops=0.1,
            ceilings_source="measured",
        )
        yield make_row(IDENTITY, measurement, METHOD)[0]


def other_row(case, status, reason, process=None):
    measurement = Measurement(case=case, status=status, reason=reason, process=process)
    return make_row(IDENTITY, measurement, METHOD)[0]


@pytest.fixture
def run_file(tmp_path):
    """A run of two problems and three backends in three processes, with every kind of gap."""
    path = tmp_path / "results" / "tiny.parquet"
    header = {"run_id": "abc", "run_name": "tiny", "environment": ENVIRONMENT.to_dict()}
    flash = (("kernel", "flash"),)
    rows = [
        *ok_rows(make_case("naive"), (120.0, 121.0, 123.0)),
        *ok_rows(make_case("sdpa"), (60.0, 61.0, 60.5), "L2_RESIDENT"),
        *ok_rows(make_case("sdpa", kv_len=4096), (240.0, 251.0, 245.0), "NOISY"),
        *ok_rows(make_case("sdpa", kv_len=16384), (980.0,)),
        other_row(make_case("naive", kv_len=4096), "incorrect", "error 0.3 is too large", 0),
        other_row(make_case("naive", kv_len=16384), "skipped", "about 63 s a process"),
        other_row(make_case("sdpa", options=flash), "unsupported", "device cpu is not one of cuda"),
    ]
    with RunWriter.create(path, header) as writer:
        for row in rows:
            writer.append(row)
        writer.finish()
    return path


@pytest.fixture
def attnbench(capsys, monkeypatch):
    """Call the command line: exit code, stdout, stderr."""
    for name in ("CI", "GITHUB_ACTIONS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*words):
        capsys.readouterr()
        code = app.main(list(map(str, words)))
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return call


@pytest.fixture
def fake_run(monkeypatch, tmp_path):
    """Stand in for loading and measuring; ``calls`` holds what the command line asked for."""
    from attnbench import api

    fake = SimpleNamespace(calls=[], loads=[], counts={"ok": 3}, interrupted=False, error=None)
    suite = SimpleNamespace(name="tiny", about="A test.", derived=())

    def load_suite(word, **settings):
        fake.loads.append((word, settings))
        return suite

    def run(_, **settings):
        fake.calls.append(settings)
        if fake.error is not None:
            raise fake.error
        finished = RunFinished(
            run_name="tiny",
            out=tmp_path / "tiny.parquet",
            counts=fake.counts,
            seconds=1.0,
            rows=3,
            interrupted=fake.interrupted,
        )
        settings["listener"](finished)
        return finished

    monkeypatch.setattr(api, "load_suite", load_suite)
    monkeypatch.setattr(api, "run", run)
    return fake
