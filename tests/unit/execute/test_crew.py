"""What a crew makes of a worker that could not answer."""

from __future__ import annotations

import pytest

from attnbench.device.rates import Ceilings
from attnbench.errors import EnvironmentProblem
from attnbench.execute.crew import WorkerHandle
from attnbench.execute.local import WorkerDied


class Scripted:
    """A worker with one answer; an exception is raised."""

    def __init__(self, answer):
        self._answer = answer

    def ask(self, _message, _timeout_s):
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def kill(self):
        """Be gone."""


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "InternalError", "message": "Traceback ... the words of the worker"},
        WorkerDied("the worker ended with signal SIGSEGV; it printed: the words of the worker"),
        TimeoutError("the words of the worker"),
    ],
    ids=["internal", "died", "late"],
)
@pytest.mark.parametrize(
    "ask",
    [lambda crew: crew.ceilings(5), lambda crew: crew.sustained(Ceilings())],
    ids=["ceilings", "sustained"],
)
def test_ceilings_that_a_worker_cannot_measure_are_said_in_its_words(answer, ask):
    crew = WorkerHandle("cuda:0", _worker=Scripted(answer))

    with pytest.raises(EnvironmentProblem, match="the words of the worker"):
        ask(crew)
