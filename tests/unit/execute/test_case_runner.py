"""The order of a process, and what a runner makes of answers, deaths and silence."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.case import Case
from attnbench.device.rates import Ceilings
from attnbench.execute.case_runner import CaseRunner, Interrupt, shuffled
from attnbench.method import Measure, Method
from attnbench.planning.plan import PlannedCase
from attnbench.problem import Problem
from attnbench.worker.client import CaseTimeout, Stopped, WorkerDied, WorkerHandle, WorkerSpec
from attnbench.worker.protocol import CaseDone


def planned(kv_len=16, backend="naive"):
    problem = Problem(q_len=1, kv_len=kv_len, q_heads=2, head_dim=16, dtype="fp32")
    return PlannedCase(
        case=Case(problem=problem, backend=backend),
        method=Method(timer="wall", l2="warm"),
        status="run",
        reason=None,
        predicted_bytes=0,
        predicted_s=0.1,
    )


MANY = [planned(n, backend) for n in range(1, 9) for backend in ("naive", "sdpa", "flex")]


@given(st.integers(0, 2**32), st.integers(0, 20))
def test_a_process_holds_every_case_once_and_problems_together(seed, number):
    order = shuffled(MANY, seed, number)
    assert sorted(one.case.id for one in order) == sorted(one.case.id for one in MANY)
    problems = [one.case.problem.id for one in order]
    changes = sum(a != b for a, b in pairwise(problems))
    assert changes == len(set(problems)) - 1


def test_an_order_depends_only_on_seed_and_process():
    assert shuffled(MANY, 1, 0) == shuffled(MANY, 1, 0)
    assert shuffled(MANY, 1, 0) != shuffled(MANY, 1, 1)
    assert shuffled(MANY, 1, 0) != shuffled(MANY, 2, 0)


class Scripted:
    """A connection whose case ends as the script says; counts the workers that were killed."""

    pid = 1
    ending = None
    kills = 0

    def send(self, request):
        """Take it."""

    def receive(self, _timeout_s):
        if isinstance(self.ending, Exception):
            raise self.ending
        return self.ending

    def tail(self):
        return ""

    def kill(self):
        self.kills += 1


@pytest.fixture
def measure_ending(monkeypatch):
    """Let a runner meet a scripted end of a case."""
    connection = Scripted()
    worker = WorkerHandle(lambda _: connection, WorkerSpec("cpu"))
    monkeypatch.setattr(worker, "open", lambda: connection)
    monkeypatch.setattr(worker, "_connection", connection)
    runner = CaseRunner(worker, Measure(), Ceilings(), Interrupt())

    def scripted(ending, *notes):
        connection.ending = ending
        worker._connection = connection
        return runner.measure(planned(), 2, *notes)

    scripted.connection = connection
    return scripted


OK = CaseDone(
    done={"status": "ok", "check": "passed", "samples_us": [5.0, 5.0, 5.0], "timer": "wall"},
    alive=True,
)


def test_an_answer_becomes_a_measurement_of_its_process(measure_ending):
    measured = measure_ending(OK, "RESUMED")
    assert (measured.status, measured.process, measured.notes) == ("ok", 2, ("RESUMED",))
    assert measured.samples_us == (5.0, 5.0, 5.0)
    assert measure_ending(OK).notes == ()


@pytest.mark.parametrize(
    ("error", "status"),
    [(CaseTimeout("no end of check"), "timeout"), (WorkerDied("signal SIGSEGV"), "crashed")],
)
def test_a_lost_worker_costs_its_case_and_marks_the_next(measure_ending, error, status):
    measured = measure_ending(error)
    assert (measured.status, measured.reason) == (status, str(error))
    assert measured.samples_us == ()
    assert measure_ending.connection.kills == 1
    assert measure_ending(OK).notes == ("RESTARTED",)
    assert measure_ending(OK).notes == ()


def test_a_broken_device_context_ends_the_worker_too(measure_ending):
    failed = CaseDone(done={"status": "failed", "reason": "illegal address"}, alive=False)
    assert measure_ending(failed).status == "failed"
    assert measure_ending.connection.kills == 1
    assert measure_ending(OK).notes == ("RESTARTED",)


def test_a_stop_goes_up(measure_ending):
    with pytest.raises(Stopped):
        measure_ending(Stopped())
    assert measure_ending.connection.kills == 1
