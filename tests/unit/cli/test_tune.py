"""The command, over a scripted compiler and run: what is printed, written and refused."""

from __future__ import annotations

import json

import pytest

from attnbench.api import catalogue
from attnbench.environment import Device, Environment
from attnbench.execute import tune
from attnbench.execute.events import RunFinished
from attnbench.execute.rows import RunIdentity, make_row
from attnbench.kernels.tile_table import read_table, table_of
from attnbench.measurement import Measurement
from attnbench.method import Method
from attnbench.store import RunWriter

GPU = Device(kind="cuda", name="NVIDIA H200", arch="sm_90", memory_bytes=10**11, free_bytes=10**11)
ENVIRONMENT = Environment(device=GPU, host="node", python="3.12.4", torch_version="2.13.0")
FAST, WRONG = "128x128-w8-s2", "64x64-w4-s2"
ONE = ("-k", "head_dim=128 mask=causal mode=fwd")


@pytest.fixture
def scripted(monkeypatch):
    """A GPU on which one tile is 10 % faster and one is wrong; ``scripted`` may interrupt."""
    asked = {"interrupted": False, "requests": []}

    def inspected(candidates):
        return [
            one if one.is_shipped or str(one.tile) != "128x128-w8-s3" else _dropped(one)
            for one in candidates
        ]

    def run(request, listener):
        del listener
        asked["requests"].append(request)
        rows = [row for case in request.cases() for row in _rows(case, request)]
        header = {"run_id": "r", "run_name": "tuned", "environment": ENVIRONMENT.to_dict()}
        with RunWriter.create(request.out, header) as writer:
            for row in rows:
                writer.append(row)
            writer.finish()
        return RunFinished(
            run_name="tuned",
            out=request.out,
            counts={"ok": len(rows)},
            seconds=1.0,
            rows=len(rows),
            interrupted=asked["interrupted"],
        )

    monkeypatch.setattr(tune, "compiled", lambda _, candidates, __: inspected(candidates))
    monkeypatch.setattr(tune, "run", run)
    monkeypatch.setattr(catalogue, "device_rates", lambda _: (GPU, None))
    return asked


def _dropped(candidate):
    from dataclasses import replace

    return replace(candidate, dropped="spills")


def _rows(case, request):
    identity = RunIdentity(
        attnbench_version="1.2.3",
        run_id="r",
        run_name="tuned",
        suite="tune",
        suite_sha256="0" * 64,
        suite_tags=(),
        run_args="{}",
        repro=request.repro,
        environment=ENVIRONMENT,
    )
    tile = dict(case.options).get("tile")
    method = Method(timer="event", l2="cold")
    for process in range(request.processes):
        speed = 90.0 if tile == FAST else 100.0
        samples = tuple(speed + process / 10 + i / 100 for i in range(20))
        measurement = Measurement(
            case=case,
            status="ok",
            process=process,
            samples_us=samples,
            check="passed",
            timer="event",
            l2="cold",
        )
        if tile == WRONG:
            measurement = Measurement(
                case=case, status="incorrect", reason="o is off by 3", process=process
            )
        yield make_row(identity, measurement, method)[0]


def test_what_was_measured_is_printed_and_written(attnbench, scripted, tmp_path):
    out = tmp_path / "tiles.json"

    done = attnbench("tune", "triton_flash", *ONE, "--out", out)

    assert done.code == 0, done.err
    line = next(one for one in done.out.splitlines() if one.startswith("flash_forward"))
    assert line.split() == [
        *("flash_forward", "narrow", "hopper", "256", "1", "128x64-w8-s3", "100", "µs"),
        *(FAST, "90.3", "µs", "-10.0%", "faster"),
    ]
    assert f"{WRONG} left out: " in done.err
    assert "incorrect: o is off by 3" in done.err
    row = read_table(out).find("flash_forward", "narrow", 90, 256)
    source = read_table(out).sources[row.source]
    assert str(row.tile) == FAST
    assert (source["device"], source["run"]) == ("NVIDIA H200", "tuned")
    assert len(read_table(out).rows) == len(table_of().rows)
    (request,) = scripted["requests"]
    assert request.out == tmp_path / "tiles.parquet"
    labels = {case.backend_label for case in request.cases()}
    assert "triton_flash" in labels
    assert "triton_flash[tile=128x128-w8-s3]" not in labels


def test_the_choices_as_json(attnbench, scripted, tmp_path):
    assert scripted["requests"] == []

    done = attnbench("tune", "triton_flash", *ONE, "--out", tmp_path / "t.json", "--json")

    choices = json.loads(done.out)
    assert [(one["chosen"], one["rule"]) for one in choices] == [(FAST, "faster")]
    assert list(choices[0]["failed"]) == [WRONG]


def test_a_list_says_what_would_be_measured(attnbench, scripted):
    assert scripted["requests"] == []

    done = attnbench("tune", "triton_flash", *ONE, "--list")

    assert done.code == 0
    assert "flash_forward narrow hopper 256" in done.out
    assert done.out.splitlines()[-1] == "8 cases to measure, 1 tile dropped"
    plain = json.loads(attnbench("tune", "triton_flash", *ONE, "--list", "--json").out)
    assert [one["tile"] for one in plain if one["dropped"]] == ["128x128-w8-s3"]


def test_an_interrupted_tuning_writes_no_table_and_says_how_to_go_on(attnbench, scripted, tmp_path):
    scripted["interrupted"] = True
    out = tmp_path / "tiles.json"

    done = attnbench("tune", "triton_flash", *ONE, "--out", out)

    assert done.code == 130
    assert not out.exists()
    assert f"--out {out} --resume" in done.err


def test_what_is_wrong_is_said_before_anything_is_measured(attnbench, scripted, tmp_path):
    (tmp_path / "old.json").write_text("", encoding="utf-8")

    taken = attnbench("tune", "triton_flash", *ONE, "--out", tmp_path / "old.json")
    nameless = attnbench("tune", "triton_flash")
    few = attnbench("tune", "triton_flash", "--out", tmp_path / "t.json", "--processes", "2")

    assert (taken.code, nameless.code, few.code) == (2, 2, 2)
    assert "old.json exists" in taken.err
    assert "name the table to write (--out FILE)" in nameless.err
    assert scripted["requests"] == []


def test_a_cpu_is_exit_4(attnbench, monkeypatch, tmp_path):
    cpu = Device(kind="cpu", name="Xeon", arch="x86_64", memory_bytes=1, free_bytes=1)
    monkeypatch.setattr(catalogue, "device_rates", lambda _: (cpu, None))

    done = attnbench("tune", "triton_decode", "--out", tmp_path / "t.json")

    assert done.code == 4
    assert "triton_decode is tuned by measuring on a GPU, and this is a CPU" in done.err
