"""Any place can run workers: whole runs on an executor that answers from a script, in no process.

It has the methods of ``Executor`` and ``Connection`` alone, so that a session can use no more.
"""

from __future__ import annotations

import pytest

from attnbench.device.rates import Ceilings
from attnbench.environment import Device, Environment
from attnbench.errors import EnvironmentProblem
from attnbench.execute.events import CaseFinished, ProcessStarted, RunFinished
from attnbench.execute.executors import executor_named, worker_on
from attnbench.execute.executors.local import LocalExecutor
from attnbench.execute.request import RunRequest
from attnbench.execute.runner import run
from attnbench.registry import Registry
from attnbench.store import read
from attnbench.suite import loads
from attnbench.worker import protocol
from attnbench.worker.client import WorkerDied, WorkerSpec

NODE = Device(kind="cpu", name="far", arch="x86_64", memory_bytes=10**10, free_bytes=10**10)
ENVIRONMENT = Environment(device=NODE, host="node-7", python="3.12")
CEILINGS = Ceilings(copy_gbps=20.0, tflops={"fp32": 0.5})
OK = {
    "status": "ok",
    "check": "passed",
    "timer": "wall",
    "l2": "warm",
    "seconds": 0.01,
    "samples_us": [10.0, 10.1, 10.2, 10.0, 10.1],
}
SUITE = """\
suite: tiny
problem: {{q_len: 1, q_heads: 2, head_dim: 16, dtype: fp32}}
sweep:
  kv_len: [16, 32, 64]
backends:
  naive:
measure:
  processes: {processes}
  deadline_s: {deadline_s}
"""


def measured(_request):
    return protocol.CaseDone(done=OK, alive=True)


def dies(_request):
    return WorkerDied("the node of this worker is gone")


def hangs(_request):
    """Say nothing at all."""


class ScriptedConnection:
    """A worker that is only a script; ``cases`` holds what becomes of its measured cases."""

    pid = 4711

    def __init__(self, executor):
        self._executor = executor
        self._waiting = None
        self.is_gone = False

    def send(self, request):
        assert not self.is_gone
        self._executor.heard.append(request)
        self._waiting = self._reply(request)

    def receive(self, timeout_s):
        reply, self._waiting = self._waiting, None
        if reply is None:
            self._executor.clock.advance(timeout_s)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def tail(self):
        return "the last words"

    def kill(self):
        self.is_gone = True

    close = kill

    def _reply(self, request):
        match request:
            case protocol.OpenDevice():
                return protocol.DeviceOpened(environment=ENVIRONMENT)
            case protocol.MeasureCeilings():
                return protocol.CeilingsMeasured(ceilings=CEILINGS)
            case protocol.RunSelfTest():
                return protocol.SelfTestDone(tests=[], ceilings=CEILINGS)
            case protocol.TimeCanaries():
                us = {"gemm": 100.0, "copy": 50.0, "softmax": 10.0}
                return protocol.CanariesTimed(at=1.0, us=us)
            case protocol.RunCase(purpose=protocol.CALIBRATE):
                done = {"status": "ok", "reason": None, "call_s": 1e-5}
                return protocol.CaseDone(done=done, alive=True)
            case protocol.RunCase(purpose=protocol.MEASURE):
                cases = self._executor.cases
                return (cases.pop(0) if cases else measured)(request)
            case _:
                raise AssertionError(request)


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


class ScriptedExecutor:
    """Opens scripted workers; ``cases`` says what becomes of the first cases of the run."""

    def __init__(self, *cases):
        self.cases = list(cases)
        self.heard = []
        self.opened = []
        self.clock = Clock()

    def connect(self, spec):
        assert spec == WorkerSpec("auto")
        self.opened.append(ScriptedConnection(self))
        return self.opened[-1]


@pytest.fixture
def run_on(tmp_path, monkeypatch):
    """Run the suite on an executor; return its rows by order, its events and its end."""

    def start(executor, processes=1, deadline_s=30):
        monkeypatch.setattr("attnbench.worker.client.time", executor.clock)
        text = SUITE.format(processes=processes, deadline_s=deadline_s)
        suite = loads(text, "tiny.yaml", tmp_path, Registry())
        events = []
        out = tmp_path / "r.parquet"
        finished = run(RunRequest(suite=suite, out=out), events.append, executor=executor)
        rows = sorted(read(out).table.to_pylist(), key=lambda row: row["seq"])
        return rows, events, finished

    return start


def test_a_run_needs_an_executor_and_its_connections_and_nothing_else(run_on):
    executor = ScriptedExecutor()
    rows, events, finished = run_on(executor, processes=2)

    assert finished == events[-1]
    assert isinstance(finished, RunFinished)
    assert finished.counts == {"ok": 3}
    assert finished.rows == len(rows) == 6
    assert [row["process"] for row in rows] == [0, 0, 0, 1, 1, 1]
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["host"] for row in rows} == {"node-7"}
    assert all(row["latency_us"] == pytest.approx(10.1, abs=0.1) for row in rows)
    assert sum(isinstance(one, CaseFinished) for one in events) == 6
    assert [one.process for one in events if isinstance(one, ProcessStarted)] == [0, 1]


def test_each_process_is_a_fresh_worker_and_all_are_gone_afterwards(run_on):
    executor = ScriptedExecutor()
    run_on(executor, processes=3)

    assert len(executor.opened) == 3
    assert all(one.is_gone for one in executor.opened)
    opening = [i for i, one in enumerate(executor.heard) if isinstance(one, protocol.OpenDevice)]
    assert len(opening) == 3
    assert opening[0] == 0


def test_a_worker_that_dies_costs_its_case_alone(run_on):
    executor = ScriptedExecutor(measured, dies)
    rows, _, finished = run_on(executor)

    assert [row["status"] for row in rows] == ["ok", "crashed", "ok"]
    assert rows[1]["reason"] == "the node of this worker is gone"
    assert ["RESTARTED" in row["notes"] for row in rows] == [False, False, True]
    assert finished.counts == {"ok": 2, "crashed": 1}
    assert len(executor.opened) == 2
    assert executor.opened[0].is_gone


def test_a_worker_that_hangs_is_killed_at_the_limit(run_on):
    def checks_and_hangs(_request):
        return protocol.StageEntered(stage="check")

    executor = ScriptedExecutor(checks_and_hangs)
    rows, _, finished = run_on(executor, deadline_s=20)

    assert [row["status"] for row in rows] == ["timeout", "ok", "ok"]
    assert "no end of check" in rows[0]["reason"]
    assert "deadline_s 20" in rows[0]["reason"]
    assert rows[0]["reason"].endswith("it printed: the last words")
    assert "RESTARTED" in rows[1]["notes"]
    assert finished.counts == {"ok": 2, "timeout": 1}
    assert len(executor.opened) == 2


def test_a_worker_that_says_nothing_at_all_is_killed_as_well(run_on):
    rows, _, _ = run_on(ScriptedExecutor(hangs))

    assert [row["status"] for row in rows] == ["timeout", "ok", "ok"]
    assert "compile_s 120" in rows[0]["reason"]


def test_where_no_worker_can_be_started_there_is_no_file(run_on, tmp_path):
    class Unreachable(ScriptedExecutor):
        def connect(self, _spec):
            raise EnvironmentProblem("node-7 cannot be reached", hint="look at the network")

    with pytest.raises(EnvironmentProblem, match="node-7 cannot be reached"):
        run_on(Unreachable())
    assert list(tmp_path.iterdir()) == []


def test_a_block_ends_its_worker_and_opens_none_that_is_not_needed():
    executor = ScriptedExecutor()
    with worker_on(executor, WorkerSpec("auto")):
        pass
    assert executor.opened == []

    with worker_on(executor, WorkerSpec("auto")) as worker:
        assert worker.environment == ENVIRONMENT
        assert worker.pid == ScriptedConnection.pid
    assert [one.is_gone for one in executor.opened] == [True]


def test_this_machine_is_the_executor_of_no_name():
    assert isinstance(executor_named(), LocalExecutor)
    assert isinstance(executor_named("local"), LocalExecutor)
