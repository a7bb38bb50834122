"""A run: one session walks its suite once in each process, within a budget."""

from __future__ import annotations

import time
from contextlib import closing

from attnbench.execute.case_runner import Interrupt, shuffled
from attnbench.execute.events import Listener, ProcessStarted, Remark, RunFinished, RunStarted
from attnbench.execute.executors import Executor, worker_on
from attnbench.execute.request import RunRequest
from attnbench.execute.session import Job, Progress, Session, run_preflight
from attnbench.measurement import Measurement
from attnbench.planning.plan import RUN, PlannedCase
from attnbench.worker.client import Stopped, WorkerSpec


def run(request: RunRequest, listener: Listener, executor: Executor | None = None) -> RunFinished:
    """Measure a suite and write its result file.

    Args:
        request: what to measure, and where the file goes.
        listener: hears every event, in order.
        executor: where the workers run; None for this machine.

    Raises:
        AttnbenchError: whatever keeps the run from starting, or its file from being written; what
            was measured until then stays in the journal.

    """
    cases, suite = request.cases(), request.suite
    progress = Progress(listener)
    job = Job(
        suite=suite,
        settings=request.settings,
        seed=request.seed,
        run_args=request.run_args,
        repro=request.repro or f"attnbench run {suite.name}",
    )
    with Interrupt() as interrupt, worker_on(executor, WorkerSpec(request.device)) as worker:
        preflight = run_preflight(cases, worker)
        with closing(Session(job, preflight, worker, interrupt, progress)) as session:
            out, exists = request.place(preflight.environment.device)
            header = {"baseline": suite.baseline}
            session.open_file(out, resume=exists, redo=request.redo, header=header)
            return _Run(request, session, progress, interrupt).run()


class _Run:
    """One run under way."""

    def __init__(
        self, request: RunRequest, session: Session, progress: Progress, interrupt: Interrupt
    ) -> None:
        self._request = request
        self._session = session
        self._progress = progress
        self._tell = progress.listener
        self._interrupt = interrupt
        self._resumed_rows = session.recorder.rows
        self._left_s = 0.0
        progress.began = time.monotonic()  # a budget starts when the preflight has ended
        interrupt.on_first = progress.stopping
        progress.seconds_left = self._seconds_left

    def run(self) -> RunFinished:
        """Self-test, calibration, plan, processes, file."""
        session, recorder = self._session, self._session.recorder
        distrust: tuple[str, ...] = ()
        try:
            distrust = session.machine.self_test(session.preflight.ceilings)
            self._plan()
            interrupted = self._run_processes()
        except Stopped:
            interrupted = True
        if not interrupted:
            budget = self._request.budget_s
            session.write_not_run(
                f"the budget of {budget:g} s was spent" if budget else "not reached"
            )
        rows = recorder.rows if interrupted else recorder.finish()
        finished = RunFinished(
            run_name=str(session.writer.run["run_name"]),
            out=session.writer.path,
            counts=recorder.counts(),
            seconds=self._progress.elapsed_s,
            rows=rows,
            interrupted=interrupted,
            fastest=recorder.fastest(),
            distrust=distrust,
        )
        self._tell(finished)
        return finished

    def _plan(self) -> None:
        session = self._session
        self._tell(Remark(text="calibration: a few calls, to predict how long the rest takes"))
        plan = session.make_plan(self._request.cases(), calibrated=not self._resumed_rows)
        self._tell(
            RunStarted(
                run_name=str(session.writer.run["run_name"]),
                out=session.writer.path,
                environment=session.environment,
                plan=plan,
                processes=plan.processes,
                resumed_rows=self._resumed_rows,
            )
        )
        for planned, measurement in session.write_plan():
            self._progress.case_finished(planned, measurement)

    def _run_processes(self) -> bool:
        """Walk the suite once a process; return whether the user stopped the run."""
        session, progress, processes = self._session, self._progress, self._session.plan.processes
        queue = [self._waiting(process) for process in range(processes)]
        progress.total = sum(map(len, queue))
        self._left_s = sum(one.predicted_s for waiting in queue for one in waiting)
        notes = ["RESUMED"] if self._resumed_rows else []
        for process, waiting in enumerate(queue):
            if not waiting:
                continue
            if session.worker.is_open and process > 0:
                session.worker.close()  # each process is a fresh one
            if self._interrupt.stop_requested():
                return True
            self._tell(ProcessStarted(process=process, processes=processes))
            session.machine.process_begins(process)
            for planned in waiting:
                if self._interrupt.stop_requested():
                    return True
                budget = self._request.budget_s
                if budget is not None and progress.elapsed_s > budget:
                    return False
                self._run_case(planned, process, notes)
                notes = []
            session.machine.process_ends(process)
        return self._interrupt.asked and progress.position < progress.total

    def _waiting(self, process: int) -> list[PlannedCase]:
        planned = shuffled(self._session.plan.of_status(RUN), self._request.seed, process)
        return [one for one in planned if not self._session.recorder.covers(one, process)]

    def _run_case(self, planned: PlannedCase, process: int, notes: list[str]) -> None:
        """Measure one case, unless an earlier one says that it need not be tried any more."""
        session, recorder = self._session, self._session.recorder
        self._progress.position += 1
        self._left_s -= planned.predicted_s
        if recorder.covers(planned, process):
            return
        if self._request.oom_skip and not recorder.is_known(planned):
            small = recorder.larger_than_oom(planned)
            if small is not None:
                reason = f"{small.case.label} ran out of memory and this is no smaller"
                skipped = Measurement(case=planned.case, status="skipped", reason=reason)
                recorder.record(skipped, planned)
                self._progress.case_finished(planned, skipped)
                return
        session.measure(planned, process, *notes)

    def _seconds_left(self) -> float | None:
        """Predict the rest at the pace so far; None before there is a plan."""
        progress = self._progress
        if not progress.total:
            return None
        pace = progress.spent_s / progress.predicted_s if progress.predicted_s else 1.0
        return max(0.0, self._left_s) * pace
