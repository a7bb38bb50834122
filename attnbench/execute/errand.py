"""One case on a worker: send it, watch the clock, bring back the answer or why there is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from attnbench.execute.interrupt import Interrupt
from attnbench.execute.local import LocalWorker, WorkerDied
from attnbench.method import Measure
from attnbench.units import duration_text

_LOOK_S = 0.5
_COMPILING = ("prepare", "first_call")
# On a CPU the parent keeps still in these stages: a redraw would be in the samples.
QUIET_STAGES = ("warmup", "sample")


class CaseTimeout(Exception):
    """The case did not end in time; the worker was killed."""


class Stopped(Exception):
    """The user wants to stop at once; the worker was killed."""


@dataclass(slots=True)
class Limits:
    """``compile_s`` bounds prepare and first call, ``deadline_s`` everything after."""

    compile_s: float
    deadline_s: float

    @classmethod
    def of(cls, measure: Measure) -> Limits:
        """Take the limits from a suite's measure block."""
        return cls(measure.compile_s, measure.deadline)


def send_case(
    worker: LocalWorker,
    message: dict[str, Any],
    limits: Limits,
    *,
    interrupt: Interrupt,
    on_beat: Callable[[str], None],
) -> dict[str, Any]:
    """Have a worker do one case.

    Raises:
        CaseTimeout: a limit passed; the worker is dead.
        WorkerDied: the worker ended by itself.
        Stopped: Ctrl-C twice; the worker is dead.

    """
    worker.send(message)
    stage = "prepare"
    compiling_since = time.monotonic()
    rest_since: float | None = None
    while True:
        answer = worker.receive(_LOOK_S)
        if interrupt.at_once:
            worker.kill()
            raise Stopped
        interrupt.announce()
        now = time.monotonic()
        if answer is not None and "stage" in answer:
            stage = answer["stage"]
            if rest_since is None and stage not in _COMPILING:
                rest_since = now
        elif answer is not None and "beat" not in answer:
            if "error" in answer:
                raise RuntimeError(answer["message"])
            return answer
        if stage not in QUIET_STAGES:
            on_beat(stage)
        _enforce(worker, limits, stage, now, compiling_since, rest_since)


def _enforce(
    worker: LocalWorker,
    limits: Limits,
    stage: str,
    now: float,
    compiling_since: float,
    rest_since: float | None,
) -> None:
    if rest_since is None:
        spent, limit, name = now - compiling_since, limits.compile_s, "compile_s"
    else:
        spent, limit, name = now - rest_since, limits.deadline_s, "deadline_s"
    if spent > limit:
        tail = worker.tail()
        worker.kill()
        said = f"; it printed: {tail}" if tail else ""
        raise CaseTimeout(
            f"no end of {stage} after {duration_text(spent)} ({name} {limit:g}){said}"
        )


__all__ = ["QUIET_STAGES", "CaseTimeout", "Limits", "Stopped", "WorkerDied", "send_case"]
