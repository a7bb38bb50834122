"""A run's records of its machine, from a scripted worker: no failure here ends the run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from attnbench.analysis.machine import machine_states
from attnbench.device.rates import Ceilings
from attnbench.errors import EnvironmentProblem
from attnbench.execute.events import SelfTested
from attnbench.execute.session import MachineRecords
from attnbench.store import RunWriter, read
from attnbench.store.journal import journal_path
from attnbench.worker.protocol import CanariesTimed, SelfTestDone

SPIN = {
    "name": "spin",
    "passed": False,
    "measured": "900 us",
    "expected": "1000 us within 1%",
    "advice": "do not believe figures of this machine",
    "grave": True,
}
ROW = {"run_id": "r", "case_id": "0" * 12, "status": "failed", "reason": "because"}


class Scripted:
    """A worker that answers from a script; an exception in it is raised."""

    def __init__(self, *answers, kind="cuda"):
        self._answers = list(answers)
        self.is_open = True
        self.environment = SimpleNamespace(device=SimpleNamespace(kind=kind))

    def ask(self, _request):
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


DEAD = EnvironmentProblem("no answer from the canaries: killed")


@pytest.fixture
def recorded(tmp_path):
    """Use the records with this worker; return the events and what a reader finds."""

    def run(worker, do):
        events = []
        out = tmp_path / "r.parquet"
        with RunWriter.create(out, {"run_id": "r"}) as writer:
            do(MachineRecords(worker, writer, events.append))
            writer.append(ROW)
        (state,) = machine_states(read(journal_path(out)).metadata)
        return events, state

    return run


def test_a_failed_test_is_stored_reported_and_returned(recorded):
    found = []
    worker = Scripted(SelfTestDone(tests=[SPIN], ceilings=Ceilings()))
    events, state = recorded(worker, lambda one: found.append(one.self_test(Ceilings())))

    assert found == [("spin: 900 us, expected 1000 us within 1%",)]
    assert events == [SelfTested(tests=(SPIN,))]
    assert state.tests == (SPIN,)
    assert state.distrust == found[0]


def test_a_worker_that_dies_of_its_test_is_a_failed_test(recorded):
    events, state = recorded(Scripted(DEAD), lambda one: one.self_test(Ceilings()))

    assert events[0].grave == (f"worker: {DEAD.message}, expected an answer",)
    assert state.distrust == events[0].grave


def canaries(gemm=100.0, copy=50.0, **more):
    return CanariesTimed(at=1.0, us={"gemm": gemm, "copy": copy, "softmax": 10.0}, **more)


def process(machine):
    machine.process_begins(0)
    machine.process_ends(0)


@pytest.mark.parametrize(
    ("kind", "last", "notes"),
    [
        ("cuda", canaries(gemm=101.0), ()),
        ("cuda", canaries(gemm=103.0), ("CLOCK_DRIFT",)),
        ("cuda", canaries(gemm=97.0), ("CLOCK_DRIFT",)),  # it cooled
        ("cuda", canaries(copy=60.0), ()),  # the memory's clock is fixed
        ("cpu", canaries(gemm=150.0), ()),  # a CPU's neighbours do that
    ],
)
def test_a_clock_that_moved_over_a_process_is_noted_on_a_gpu(recorded, kind, last, notes):
    worker = Scripted(canaries(warmup_s=1.2, flat=True), last, kind=kind)
    _, state = recorded(worker, process)

    assert state.processes[0].notes == notes
    assert (state.processes[0].warmup_s, state.processes[0].flat) == (1.2, True)


def test_canaries_without_an_answer_are_a_record_with_the_reason(recorded):
    _, state = recorded(Scripted(DEAD, canaries()), process)

    assert state.processes[0].failed == DEAD.message
    assert state.processes[0].notes == ()


def test_after_a_worker_that_died_with_the_last_case_no_other_is_opened(recorded):
    worker = Scripted(canaries())

    def dies_late(machine):
        machine.process_begins(0)
        worker.is_open = False
        machine.process_ends(0)

    _, state = recorded(worker, dies_late)
    assert state.processes[0].last is None
