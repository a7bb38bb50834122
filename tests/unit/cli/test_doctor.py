from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from attnbench.device.base import DeviceState
from attnbench.device.nvml import NoTelemetry
from attnbench.device.rates import Ceilings
from attnbench.environment import Device, Environment
from attnbench.errors import EnvironmentProblem, TorchMissing
from attnbench.execute import doctor
from attnbench.execute.doctor import ABSENT, OK, PROBLEM, WARNING, Finding
from attnbench.store.ceilings import stored_ceilings
from attnbench.worker.protocol import CeilingsMeasured, SelfTestDone, SustainCeilings

CPU = Device(kind="cpu", name="Xeon", arch="x86_64", memory_bytes=1, free_bytes=1)
ENVIRONMENT = Environment(device=CPU, host="node", python="3.12.4")
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
    monkeypatch.setattr(doctor, "examine", lambda: iter(findings))
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


class Answering:
    """A board that answers, with the worker (pid 1) on it."""

    def __init__(self, foreign=(), refusals=None, **facts):
        self._foreign = foreign
        self.refusals = refusals or {}
        self._reading = DeviceState(sm_clock_mhz=1980, temperature_c=61, throttled=(), **facts)

    def foreign(self, own):
        assert own == 1
        return self._foreign

    def read(self):
        return self._reading


def looked_at(monkeypatch, board):
    """The findings on a GPU after the one that names it."""
    monkeypatch.setattr("attnbench.device.nvml.find_board", lambda _uuid: board)
    return [(one.state, one.text) for one in doctor.device(gpu(), 1)][1:]


def test_a_gpu_that_nvml_does_not_show_is_a_warning_with_the_reason(monkeypatch):
    blind = NoTelemetry(reason="NVML Shared Library Not Found")

    assert looked_at(monkeypatch, blind) == [
        (
            WARNING,
            "clocks, power and other processes are unknown: NVML Shared Library Not Found",
        )
    ]


def test_a_gpu_of_ones_own_is_well(monkeypatch):
    assert looked_at(monkeypatch, Answering()) == [
        (OK, "no other process uses this GPU"),
        (OK, "SM clock 1980 MHz, 61 °C"),
    ]


def test_who_else_uses_a_gpu_is_a_warning(monkeypatch):
    found = looked_at(monkeypatch, Answering(foreign=(7, 8)))

    assert found[0] == (WARNING, "other processes use this GPU: pid 7, 8")


def test_a_gpu_that_throttles_is_a_warning(monkeypatch):
    board = Answering()
    board._reading = DeviceState(throttled=("sw_power_cap",))

    assert (WARNING, "the device is lowering its clocks: sw_power_cap") in looked_at(
        monkeypatch, board
    )


def test_what_nvml_refuses_is_said_in_its_words(monkeypatch):
    board = Answering(foreign=None, refusals={"processes": "Insufficient Permissions"})

    assert looked_at(monkeypatch, board)[-1] == (
        WARNING,
        "NVML does not report processes (Insufficient Permissions)",
    )


class FakeWorker:
    """A worker that answers a self-test, or has no device to open."""

    pid = 1

    def __init__(self, tests=(), opening_error=None, asking_error=None):
        self.tests = list(tests)
        self.opening_error, self.asking_error = opening_error, asking_error
        self.asked = []

    @property
    def environment(self):
        if self.opening_error is not None:
            raise self.opening_error
        return ENVIRONMENT

    def ask(self, request):
        self.asked.append(type(request))
        if self.asking_error is not None:
            raise self.asking_error
        if isinstance(request, SustainCeilings):
            held = {"sustained_gbps": 30.5, "sustained_tflops": {"fp32": 0.6}}
            return CeilingsMeasured(ceilings=replace(request.ceilings, **held))
        measured = Ceilings(read_gbps=35.36, tflops={"fp32": 0.7})
        return SelfTestDone(tests=self.tests, ceilings=request.ceilings or measured)

    def serve(self, monkeypatch):
        monkeypatch.setattr(doctor, "worker_on", lambda *_: nullcontext(self))


def answer(**facts):
    return {
        "name": "spin",
        "passed": True,
        "measured": "1000.3 us",
        "expected": "1000 us within 1%",
        "advice": None,
        "grave": False,
    } | facts


def test_timing_shows_ceilings_and_what_each_test_read():
    failed = {"passed": False, "advice": "stop it"}
    worker = FakeWorker([answer(), answer(name="A/A", **failed), answer(grave=True, **failed)])

    found = list(doctor.timing(worker, ENVIRONMENT))

    assert [one.state for one in found] == [OK, OK, OK, WARNING, PROBLEM]
    assert found[0].text == "memory reaches read 35.36 GB/s; sustained for a second 30.5"
    assert (
        found[1].text == "matrix products reach fp32 0.7 TFLOP/s; sustained for a second fp32 0.6"
    )
    assert found[2].text == "spin: 1000.3 us (expected 1000 us within 1%)"
    assert [one.fix for one in found] == [None, None, None, "stop it", "stop it"]


def test_what_a_device_holds_is_measured_once_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    list(doctor.timing(FakeWorker(), ENVIRONMENT))

    kept = stored_ceilings(ENVIRONMENT)
    assert kept["sustained_gbps"] == 30.5
    assert kept["read_gbps"] == 35.36
    worker = FakeWorker()
    again = list(doctor.timing(worker, ENVIRONMENT))
    assert SustainCeilings not in worker.asked
    assert again[0].text.endswith("sustained for a second 30.5")


def test_rates_that_are_not_known_are_not_shown():
    assert list(doctor.rates(Ceilings())) == []


def test_a_self_test_that_cannot_end_is_a_problem_and_the_rest_is_looked_at(monkeypatch):
    died = EnvironmentProblem("no answer from the self-test: killed")
    FakeWorker(asking_error=died).serve(monkeypatch)
    monkeypatch.setattr(doctor, "backends", lambda: iter([]))

    texts = {one.text: one.state for one in doctor.examine()}

    assert texts["no answer from the self-test: killed"] == PROBLEM


@pytest.mark.torch
def test_on_this_machine_every_self_test_is_answered(monkeypatch):
    monkeypatch.setattr(doctor, "backends", lambda: iter([]))
    timed = [one for one in doctor.examine() if one.section == "timing"]

    assert [one.text.split(":")[0] for one in timed[2:]][:3] == ["spin", "copy", "A/A"]
    assert "; sustained for a second" in timed[0].text
    assert PROBLEM not in [one.state for one in timed]


@pytest.mark.parametrize(("load", "state"), [(0.1, OK), (1.5, WARNING)])
def test_a_busy_cpu_is_a_warning(monkeypatch, load, state):
    monkeypatch.setattr(doctor, "load_average", lambda: load)
    cpu = Device(kind="cpu", name="Xeon", arch="x86_64", memory_bytes=1, free_bytes=1, cores=2)

    second = list(doctor.device(Environment(device=cpu, host="node", python="3.12.4"), 1))[1]

    assert second.state == state


@pytest.mark.parametrize(("governor", "state"), [("performance", OK), ("powersave", WARNING)])
def test_a_governor_that_moves_the_clocks_is_a_warning(monkeypatch, tmp_path, governor, state):
    path = tmp_path / "scaling_governor"
    path.write_text(f"{governor}\n", encoding="ascii")
    monkeypatch.setattr(doctor, "_GOVERNOR", path)
    cpu = Device(kind="cpu", name="Xeon", arch="x86_64", memory_bytes=1, free_bytes=1)

    last = list(doctor.device(Environment(device=cpu, host="node", python="3.12.4"), 1))[-1]

    assert last.state == state
    assert (last.fix is None) == (state == OK)


def test_looking_makes_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    states = [one.state for one in doctor.storage(doctor.RESULTS)]

    assert states[0] in (OK, WARNING)
    assert list(tmp_path.iterdir()) == []


def test_a_results_folder_that_cannot_be_written_is_a_problem(tmp_path, monkeypatch):
    def refuse(_):
        from attnbench.errors import OutputError

        raise OutputError("cannot write results: permission denied")

    monkeypatch.setattr("attnbench.store.atomic.check_writable", refuse)

    assert [one.state for one in doctor.storage(tmp_path)] == [PROBLEM]


def test_without_torch_the_rest_is_looked_at_all_the_same(monkeypatch):
    missing = TorchMissing("measuring needs torch", hint="install it")
    FakeWorker(opening_error=missing).serve(monkeypatch)
    monkeypatch.setattr(doctor, "backends", lambda: iter([SimpleNamespace(section="backends")]))

    sections = [one.section for one in doctor.examine()]

    assert sections[-2:] == ["storage", "backends"]
    assert "device" in sections
