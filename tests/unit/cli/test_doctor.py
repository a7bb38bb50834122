from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from attnbench.cli import examine
from attnbench.cli.examine import ABSENT, OK, PROBLEM, WARNING, Finding
from attnbench.environment import Device, Environment
from attnbench.errors import TorchMissing

FINDINGS = [
    Finding(section="software", state=OK, text="attnbench 1.2.3, python 3.12.4"),
    Finding(section="software", state=PROBLEM, text="torch is not installed", fix="pip install"),
    Finding(section="device", state=WARNING, text="other processes use this GPU: pid 7"),
    Finding(section="backends", state=ABSENT, text="flash_attn: not installed"),
]


@pytest.fixture
def found(monkeypatch):
    """What the examination finds."""
    findings = list(FINDINGS)
    monkeypatch.setattr(examine, "examine", lambda: iter(findings))
    return findings


@pytest.mark.usefixtures("found")
def test_findings_stand_under_their_sections(attnbench, golden):
    golden("doctor", attnbench("doctor").out)


@pytest.mark.usefixtures("found")
def test_only_strict_makes_a_problem_an_exit_code(attnbench):
    assert attnbench("doctor").code == 0
    assert attnbench("doctor", "--strict").code == 4


def test_a_warning_is_no_problem(attnbench, found):
    found[:] = [one for one in FINDINGS if one.state != PROBLEM]

    assert attnbench("doctor", "--strict").code == 0


@pytest.mark.usefixtures("found")
def test_a_program_gets_every_finding(attnbench):
    facts = json.loads(attnbench("doctor", "--json").out)

    assert [one["state"] for one in facts] == ["ok", "problem", "warning", "absent"]


def gpu(**facts):
    device = Device(
        kind="cuda",
        name="NVIDIA H200",
        arch="sm_90",
        memory_bytes=150 * 10**9,
        free_bytes=148 * 10**9,
        uuid="GPU-1",
        **facts,
    )
    return Environment(device=device, host="node", python="3.12.4")


@pytest.mark.parametrize(
    ("others", "state", "text"),
    [
        (None, WARNING, "NVML does not answer"),
        ([], OK, "no other process"),
        ([7, 8], WARNING, "pid 7, 8"),
    ],
)
def test_who_else_uses_a_gpu(monkeypatch, others, state, text):
    monkeypatch.setattr("attnbench.device.nvml.other_processes", lambda _: others)

    second = list(examine.device(gpu()))[1]

    assert second.state == state
    assert text in second.text


@pytest.mark.parametrize(("load", "state"), [(0.1, OK), (1.5, WARNING)])
def test_a_busy_cpu_is_a_warning(monkeypatch, load, state):
    monkeypatch.setattr(examine, "load_average", lambda: load)
    cpu = Device(kind="cpu", name="Xeon", arch="x86_64", memory_bytes=1, free_bytes=1, cores=2)

    second = list(examine.device(Environment(device=cpu, host="node", python="3.12.4")))[1]

    assert second.state == state


@pytest.mark.parametrize(("governor", "state"), [("performance", OK), ("powersave", WARNING)])
def test_a_governor_that_moves_the_clocks_is_a_warning(monkeypatch, tmp_path, governor, state):
    path = tmp_path / "scaling_governor"
    path.write_text(f"{governor}\n", encoding="ascii")
    monkeypatch.setattr(examine, "_GOVERNOR", path)
    cpu = Device(kind="cpu", name="Xeon", arch="x86_64", memory_bytes=1, free_bytes=1)

    last = list(examine.device(Environment(device=cpu, host="node", python="3.12.4")))[-1]

    assert last.state == state
    assert (last.fix is None) == (state == OK)


def test_looking_makes_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    states = [one.state for one in examine.storage(examine.RESULTS)]

    assert states[0] in (OK, WARNING)
    assert list(tmp_path.iterdir()) == []


def test_a_results_folder_that_cannot_be_written_is_a_problem(tmp_path, monkeypatch):
    def refuse(_):
        from attnbench.errors import OutputError

        raise OutputError("cannot write results: permission denied")

    monkeypatch.setattr("attnbench.store.atomic.check_writable", refuse)

    assert [one.state for one in examine.storage(tmp_path)] == [PROBLEM]


def test_without_torch_the_rest_is_looked_at_all_the_same(monkeypatch):
    def missing():
        raise TorchMissing("measuring needs torch", hint="install it")

    monkeypatch.setattr("attnbench.execute.probe.environment", missing)
    monkeypatch.setattr(examine, "backends", lambda: iter([SimpleNamespace(section="backends")]))

    sections = [one.section for one in examine.examine()]

    assert sections[-2:] == ["storage", "backends"]
    assert "device" in sections
