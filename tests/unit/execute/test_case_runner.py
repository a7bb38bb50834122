"""The order of a process, and what a walker makes of answers, deaths and silence."""

from __future__ import annotations

from itertools import pairwise

import pytest
from attnbench.execute.errand import CaseTimeout, Stopped, WorkerDied
from attnbench.execute.interrupt import Interrupt
from attnbench.execute.process import CaseRunner, shuffled
from hypothesis import given
from hypothesis import strategies as st

from attnbench.case import Case
from attnbench.device.rates import Ceilings
from attnbench.execute import process as under_test
from attnbench.method import Measure, Method
from attnbench.planning.plan import PlannedCase
from attnbench.problem import Problem


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


def test_an_order_hangs_on_seed_and_process_alone():
    assert shuffled(MANY, 1, 0) == shuffled(MANY, 1, 0)
    assert shuffled(MANY, 1, 0) != shuffled(MANY, 1, 1)
    assert shuffled(MANY, 1, 0) != shuffled(MANY, 2, 0)


class WorkerHandle:
    """Counts the workers that were lost."""

    def __init__(self):
        self.losses = 0

    def worker(self):
        return self

    def lost(self):
        self.losses += 1


@pytest.fixture
def walk(monkeypatch):
    """Let a walker meet a scripted answer."""
    crew = WorkerHandle()
    walker = CaseRunner(crew, Measure(), Ceilings(), Interrupt(), lambda _: None)

    def scripted(answer, *notes):
        def send_case(*_, **__):
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(under_test, "send_case", send_case)
        return walker.measure(planned(), 2, *notes)

    scripted.crew = crew
    return scripted


OK = {
    "done": {"status": "ok", "check": "passed", "samples_us": [5.0, 5.0, 5.0], "timer": "wall"},
    "alive": True,
}


def test_an_answer_becomes_a_measurement_of_its_process(walk):
    measured = walk(OK, "RESUMED")
    assert (measured.status, measured.process, measured.notes) == ("ok", 2, ("RESUMED",))
    assert measured.samples_us == (5.0, 5.0, 5.0)
    assert walk(OK).notes == ()


@pytest.mark.parametrize(
    ("error", "status"),
    [(CaseTimeout("no end of check"), "timeout"), (WorkerDied("signal SIGSEGV"), "crashed")],
)
def test_a_lost_worker_costs_its_case_and_marks_the_next(walk, error, status):
    measured = walk(error)
    assert (measured.status, measured.reason) == (status, str(error))
    assert measured.samples_us == ()
    assert walk.crew.losses == 1
    assert walk(OK).notes == ("RESTARTED",)
    assert walk(OK).notes == ()


def test_a_broken_device_context_ends_the_worker_too(walk):
    failed = {"done": {"status": "failed", "reason": "illegal address"}, "alive": False}
    assert walk(failed).status == "failed"
    assert walk.crew.losses == 1
    assert walk(OK).notes == ("RESTARTED",)


def test_a_stop_goes_up(walk):
    with pytest.raises(Stopped):
        walk(Stopped())
    assert walk.crew.losses == 1
