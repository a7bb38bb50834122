"""Correctness only: every case of a suite against the reference, nothing timed.

Where there is no GPU, Triton's interpreter runs a Triton backend, in a worker of its own and on a
problem that is small enough for it (REDUCED), in fp32 instead of bf16 (UPCAST).
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from attnbench.case import Case
from attnbench.execute.case_runner import CaseRunner, Interrupt
from attnbench.execute.events import CaseChecked, Listener
from attnbench.execute.executors import Executor, worker_on
from attnbench.execute.request import RunRequest
from attnbench.execute.session import run_preflight
from attnbench.measure.reduce import reduced, upcast
from attnbench.planning.plan import RUN, PlannedCase, make_plan
from attnbench.planning.prediction import Predictor
from attnbench.worker.client import Stopped, WorkerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFinished:
    """What every case came to; ``interrupted`` where the user stopped it."""

    checked: tuple[CaseChecked, ...]
    interrupted: bool

    @property
    def counts(self) -> dict[str, int]:
        """How many cases have each status; ok means that the output passed."""
        found: dict[str, int] = {}
        for one in self.checked:
            found[one.status] = found.get(one.status, 0) + 1
        return found


def check(
    request: RunRequest, listener: Listener, executor: Executor | None = None
) -> CheckFinished:
    """Check every case of a suite once, in the suite's order.

    Args:
        request: the suite, its filter and the device.
        listener: hears a ``CaseChecked`` of each case.
        executor: where the workers run; None for this machine.

    Raises:
        AttnbenchError: no torch, no device, or a third-party backend that cannot be imported.

    """
    cases, settings = request.cases(), request.settings
    checked: list[CaseChecked] = []
    with Interrupt() as interrupt, ExitStack() as stack:
        worker = stack.enter_context(worker_on(executor, WorkerSpec(request.device)))
        preflight = run_preflight(cases, worker)
        device, ceilings = preflight.environment.device, preflight.ceilings
        runner = CaseRunner(worker, settings, ceilings, interrupt)
        # Its worker is opened by the first case that needs it.
        spec = WorkerSpec("cpu", interpret=True)
        interpreter = stack.enter_context(worker_on(executor, spec))
        interpreting = CaseRunner(interpreter, settings, ceilings, interrupt)
        plan = make_plan(cases, Predictor(device, ceilings), settings, preflight.backends)
        once = {one.case.id: one for one in plan.planned}  # methods do not matter here
        try:
            for position, planned in enumerate(once.values(), start=1):
                if interrupt.asked:
                    break
                backend = preflight.backends[planned.case.backend, planned.case.source]
                if backend.is_triton and device.kind == "cpu":
                    answer = _check_interpreted(interpreting, planned, settings.case_limit_s)
                elif planned.status == RUN:
                    answer = runner.check(planned)
                else:
                    answer = {"status": planned.status, "reason": planned.reason}
                event = _event(planned.case, answer, position, len(once))
                checked.append(event)
                listener(event)
        except Stopped:
            pass
        return CheckFinished(checked=tuple(checked), interrupted=interrupt.asked)


def _check_interpreted(runner: CaseRunner, planned: PlannedCase, limit_s: float) -> dict[str, Any]:
    case, notes = interpretable(planned.case, limit_s)
    answer = runner.check(replace(planned, case=case))
    return {**answer, "notes": [*answer.get("notes", ()), *notes]}


def interpretable(case: Case, limit_s: float) -> tuple[Case, list[str]]:
    """Change a case so that Triton's interpreter can run it.

    Args:
        case: the case as a GPU would run it.
        limit_s: what one interpreted call may take by prediction.

    Returns:
        The case to run instead, and the notes that say what was changed.

    """
    wider = upcast(case.problem)
    smaller = reduced(wider, limit_s)
    notes = ["UPCAST"] if wider != case.problem else []
    notes += ["REDUCED"] if smaller != wider else []
    return replace(case, problem=smaller), notes


def _event(case: Case, answer: dict[str, Any], position: int, total: int) -> CaseChecked:
    return CaseChecked(
        case=case,
        status=answer["status"],
        reason=answer.get("reason"),
        notes=tuple(answer.get("notes", ())),
        error_rel=answer.get("error_rel"),
        error_ratio=answer.get("error_ratio"),
        position=position,
        total=total,
    )
