"""A run from its suite to its parquet: plan, processes, journal, and events for whoever listens.

The parent process imports neither torch nor a third-party backend; it decides, writes and tells,
and leaves everything that computes to the worker.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

from attnbench import __version__
from attnbench.case import Case
from attnbench.errors import InputError
from attnbench.execute.crew import WorkerHandle
from attnbench.execute.errand import Stopped
from attnbench.execute.events import (
    Beat,
    CaseFinished,
    CaseStarted,
    Listener,
    ProcessStarted,
    Remark,
    RunFinished,
    RunStarted,
)
from attnbench.execute.interrupt import Interrupt
from attnbench.execute.ledger import RunRecorder
from attnbench.execute.machine import Machine
from attnbench.execute.process import CaseRunner, shuffled
from attnbench.execute.request import RunRequest
from attnbench.execute.rows import RunIdentity
from attnbench.execute.survey import Preflight, survey
from attnbench.measurement import Measurement
from attnbench.planning.calibration import calibrate
from attnbench.planning.plan import RUN, Plan, PlannedCase, make_plan
from attnbench.planning.prediction import Predictor
from attnbench.store.resume import MUST_MATCH, differences
from attnbench.store.writer import RunWriter

__all__ = ["RunRequest", "run"]


def run(request: RunRequest, listener: Listener) -> RunFinished:
    """Measure a suite and write its result file.

    Raises:
        AttnbenchError: whatever keeps the run from starting, or its file from being written; what
            was measured until then stays in the journal.

    """
    cases = request.cases()
    with Interrupt() as interrupt:
        crew = WorkerHandle(request.device)
        try:
            ground = survey(cases, crew)
            with _open(request, ground) as writer:
                execution = _Execution(request, listener, crew, interrupt, ground, writer)
                return execution.run(cases)
        finally:
            crew.lost()


def _open(request: RunRequest, ground: Preflight) -> RunWriter:
    """Begin the run's journal, or go on with one after comparing what must not differ."""
    out, exists = request.place(ground.environment.device)
    header = _header(request, ground, out.stem)
    if not exists:
        return RunWriter.create(out, header)
    writer = RunWriter.resume(out)
    found = differences(writer.run, header, MUST_MATCH)
    if found:
        writer.close()
        listed = "; ".join(f"{one.key}: {one.stored} then, {one.now} now" for one in found)
        raise InputError(
            f"{out} cannot be gone on with: {listed}",
            hint="measure under another name (--name), or restore what differs",
        )
    return writer


def _header(request: RunRequest, ground: Preflight, name: str) -> dict[str, Any]:
    """What the footer of the result file holds."""
    # More processes of the same method are a reason to resume, not a difference.
    method = {k: v for k, v in request.settings.to_dict().items() if k != "processes"}
    return {
        "run_id": uuid.uuid4().hex[:12],
        "run_name": name,
        "suite": request.suite.name,
        "suite_text": request.suite.text,
        "suite_sha256": request.suite.sha256,
        "run_args": request.run_args,
        "device_id": ground.environment.device.id,
        "environment": ground.environment.to_dict(),
        "ceilings": ground.ceilings.to_dict(),
        "method": method,
        "baseline": request.suite.baseline,
        "source": request.suite.source,
        "published": [one.to_dict() for one in request.suite.published],
        "seed": request.seed,
    }


class _Execution:
    """One run under way."""

    def __init__(
        self,
        request: RunRequest,
        listener: Listener,
        crew: WorkerHandle,
        interrupt: Interrupt,
        ground: Preflight,
        writer: RunWriter,
    ) -> None:
        self._request = request
        self._tell = listener
        self._crew = crew
        self._interrupt = interrupt
        self._ground = ground
        self._out = writer.path
        self._started = time.monotonic()
        self._resumed_rows = writer.row_count
        self._name = str(writer.run["run_name"])
        identity = RunIdentity(
            attnbench_version=__version__,
            run_id=writer.run["run_id"],
            run_name=self._name,
            suite=request.suite.name,
            suite_sha256=request.suite.sha256,
            suite_tags=request.suite.tags,
            run_args=request.run_args,
            repro=request.repro or f"attnbench run {request.suite.name}",
            environment=ground.environment,
        )
        self._ledger = RunRecorder(writer, identity, request.redo)
        self._machine = Machine(crew, writer, listener)
        self._distrust: tuple[str, ...] = ()
        interrupt.on_first = self._say_stopping
        self._walker = CaseRunner(crew, request.settings, ground.ceilings, interrupt, self._beat)
        self._position, self._total = 0, 0
        self._left_s, self._spent_s, self._foreseen_s = 0.0, 0.0, 0.0

    def run(self, cases: list[Case]) -> RunFinished:
        """Self-test, pilot, plan, processes, file."""
        try:
            self._distrust = self._machine.self_test(self._ground.ceilings)
            plan = self._plan(cases)
            interrupted = self._processes(plan)
        except Stopped:
            interrupted = True
        if not interrupted:
            self._write_not_run(plan)
        rows = self._ledger.rows if interrupted else self._ledger.finish()
        finished = RunFinished(
            run_name=self._name,
            out=self._out,
            counts=self._ledger.counts(),
            seconds=time.monotonic() - self._started,
            rows=rows,
            interrupted=interrupted,
            fastest=self._ledger.fastest(),
            distrust=self._distrust,
        )
        self._tell(finished)
        return finished

    def _plan(self, cases: list[Case]) -> Plan:
        request, ground = self._request, self._ground
        predictor = Predictor(ground.environment.device, ground.ceilings)
        settings = request.settings
        first = make_plan(cases, predictor, settings, ground.backends)
        self._tell(Remark(text="pilot: a few calls, to predict how long the rest takes"))
        lost = [] if self._resumed_rows else calibrate(first, predictor, self._walker.pilot)
        plan = make_plan(cases, predictor, settings, ground.backends)
        self._tell(
            RunStarted(
                run_name=self._name,
                out=self._out,
                environment=ground.environment,
                plan=plan,
                processes=settings.processes,
                resumed_rows=self._resumed_rows,
            )
        )
        self._ledger.write_plan(plan)
        for planned, calibrated in lost:
            # It hung or crashed already; doing it again would only cost the same once more.
            reason = calibrated.reason or calibrated.status
            measurement = Measurement(
                case=planned.case, status=calibrated.status, reason=reason, process=0
            )
            self._record(measurement, planned)
        return plan

    def _processes(self, plan: Plan) -> bool:
        """Walk the suite once a process; return whether the user stopped the run."""
        processes = self._request.settings.processes
        queue = [list(self._waiting(plan, process)) for process in range(processes)]
        self._total = sum(map(len, queue))
        self._left_s = sum(one.predicted_s for process in queue for one in process)
        resumed = ["RESUMED"] if self._resumed_rows else []
        for process, waiting in enumerate(queue):
            if not waiting:
                continue
            if self._crew.is_open and process > 0:
                self._crew.dismiss()  # each process is a fresh one
            if self._interrupt.heard():
                return True
            self._tell(ProcessStarted(process=process, processes=processes))
            self._machine.process_begins(process)
            for planned in waiting:
                if self._interrupt.heard():
                    return True
                if self._out_of_time():
                    return False
                self._one(planned, process, resumed)
                resumed = []
            self._machine.process_ends(process)
        return self._interrupt.asked and self._position < self._total

    def _waiting(self, plan: Plan, process: int) -> Iterator[PlannedCase]:
        for planned in shuffled(plan.of_status(RUN), self._request.seed, process):
            if not self._ledger.covers(planned, process):
                yield planned

    def _one(self, planned: PlannedCase, process: int, notes: list[str]) -> None:
        """Measure one case, or find that it need not be tried any more."""
        self._position += 1
        self._left_s -= planned.predicted_s
        if self._ledger.covers(planned, process):
            return
        if self._request.oom_skip and not self._ledger.is_known(planned):
            small = self._ledger.larger_than_oom(planned)
            if small is not None:
                reason = f"{small.case.label} ran out of memory and this is no smaller"
                self._record(
                    Measurement(case=planned.case, status="skipped", reason=reason), planned
                )
                return
        self._tell(
            CaseStarted(
                case=planned.case,
                method=planned.method,
                process=process,
                position=self._position,
                total=self._total,
            )
        )
        measurement = self._walker.measure(planned, process, *notes)
        self._spent_s += measurement.seconds or 0.0
        self._foreseen_s += planned.predicted_s
        self._record(measurement, planned)

    def _record(self, measurement: Measurement, planned: PlannedCase) -> None:
        summary = self._ledger.record(measurement, planned)
        self._tell(
            CaseFinished(
                measurement=measurement,
                method=planned.method.read_as(measurement.l2),
                summary=summary,
                position=self._position,
                total=self._total,
                seconds_left=self._seconds_left(),
            )
        )

    def _write_not_run(self, plan: Plan) -> None:
        """One row for every case that the budget left no time for."""
        budget = self._request.budget_s
        for planned in plan.of_status(RUN):
            if not self._ledger.is_known(planned):
                reason = f"the budget of {budget:g} s was spent" if budget else "not reached"
                self._ledger.rule_out(planned, "not_run", reason)

    def _out_of_time(self) -> bool:
        budget = self._request.budget_s
        return budget is not None and time.monotonic() - self._started > budget

    def _say_stopping(self) -> None:
        hint = "Ctrl-C again stops at once"
        self._tell(Remark(text="finishing the running case, then stopping", hint=hint))

    def _seconds_left(self) -> float | None:
        """What is left by prediction, at the pace so far; None before there is a plan."""
        if not self._total:
            return None
        pace = self._spent_s / self._foreseen_s if self._foreseen_s else 1.0
        return max(0.0, self._left_s) * pace

    def _beat(self, stage: str) -> None:
        self._tell(
            Beat(
                doing=stage,
                position=self._position,
                total=self._total,
                elapsed_s=time.monotonic() - self._started,
                seconds_left=self._seconds_left(),
            )
        )
