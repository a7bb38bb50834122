"""A session: one suite on one worker, from the preflight to the result file.

``run`` is one session, ``ab`` is two that take turns. A session decides, journals and reports; an
executor's worker computes. This process imports neither torch nor a third-party backend.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attnbench import __version__
from attnbench.case import Case
from attnbench.device.rates import Ceilings
from attnbench.environment import Environment
from attnbench.errors import EnvironmentProblem, InputError
from attnbench.execute.case_runner import CaseRunner, Interrupt
from attnbench.execute.events import Beat, CaseFinished, CaseStarted, Remark, SelfTested
from attnbench.execute.recorder import RunRecorder
from attnbench.execute.rows import RunIdentity
from attnbench.measurement import Measurement
from attnbench.method import Measure
from attnbench.planning.calibration import calibrate
from attnbench.planning.plan import RUN, Backends, Plan, PlannedCase, describe_backends, make_plan
from attnbench.planning.prediction import Predictor
from attnbench.stats.summary import Summary
from attnbench.store.ceilings import store_ceilings, stored_ceilings
from attnbench.store.resume import MUST_MATCH, Redo, differences
from attnbench.store.writer import RunWriter
from attnbench.suite import Suite
from attnbench.worker.client import WorkerHandle
from attnbench.worker.protocol import MeasureCeilings, RunSelfTest, TimeCanaries

_REPEATS, _REPEATS_AGAIN = 5, 1  # a run looks again: the first time may have been a busy one
# These canaries depend on the SM's clock, and the last of a process are compared with its first. A
# copy depends on the memory's clock, which NVIDIA holds fixed.
_ON_THE_CLOCK = ("gemm", "softmax")
_DRIFT = 0.02  # as between the two readings of a case


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """The device, its ceilings, and what each backend can do: known before a run is planned."""

    environment: Environment
    ceilings: Ceilings
    backends: Backends


def run_preflight(cases: Sequence[Case], worker: WorkerHandle) -> Preflight:
    """Open the device, import third-party backends in the worker, and measure the ceilings.

    Raises:
        EnvironmentProblem: no torch, no device, or a third-party backend that cannot be imported.

    """
    environment = worker.environment
    backends = describe_backends(cases, worker.capabilities(cases))
    # What is stored was measured once with care; a run looks again, in case that moment was busy.
    stored = stored_ceilings(environment)
    repeats = _REPEATS if stored is None else _REPEATS_AGAIN
    best = worker.ask(MeasureCeilings(repeats=repeats)).ceilings
    if stored is not None:
        best = best.best_of(Ceilings(**stored))
    store_ceilings(environment, best.to_dict())
    return Preflight(environment=environment, ceilings=best, backends=backends)


@dataclass(slots=True)
class Progress:
    """Where a run is, reported to a listener; two sessions of ``ab`` share one.

    ``position`` counts cases from 1, out of ``total``; ``seconds_left`` predicts the rest. Measured
    cases took ``spent_s``, and their prediction was ``predicted_s``.
    """

    listener: Callable[[Any], None]
    seconds_left: Callable[[], float | None] = lambda: None
    position: int = 0
    total: int = 0
    spent_s: float = 0.0
    predicted_s: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    def case_started(self, planned: PlannedCase, process: int) -> None:
        """Report that a case goes to the worker."""
        self.listener(
            CaseStarted(
                case=planned.case,
                method=planned.method,
                process=process,
                position=self.position,
                total=self.total,
            )
        )

    def case_finished(
        self, planned: PlannedCase, measurement: Measurement, summary: Summary | None = None
    ) -> None:
        """Report that a case's row is written."""
        self.listener(
            CaseFinished(
                measurement=measurement,
                method=planned.method.read_as(measurement.l2),
                summary=summary,
                position=self.position,
                total=self.total,
                seconds_left=self.seconds_left(),
            )
        )

    def beat(self, stage: str) -> None:
        """Report what the worker does, now and then."""
        self.listener(
            Beat(
                doing=stage,
                position=self.position,
                total=self.total,
                elapsed_s=self.elapsed_s,
                seconds_left=self.seconds_left(),
            )
        )

    def stopping(self) -> None:
        """Acknowledge the first Ctrl-C."""
        text, hint = "finishing the running case, then stopping", "Ctrl-C again stops at once"
        self.listener(Remark(text=text, hint=hint))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a session measures, and what its file says about it.

    ``side`` and ``commit`` are those of a side of ``ab``. ``stored_sources`` maps the source of a
    case to what its rows say instead, because a worktree is gone when they are read.
    """

    suite: Suite
    settings: Measure
    seed: int = 0
    run_args: str = "{}"
    repro: str = ""
    side: str | None = None
    commit: str | None = None
    stored_sources: Mapping[str, str] = field(default_factory=dict)


class Session:
    """One job on one worker: calibrate and plan, open the file, then measure case by case."""

    def __init__(
        self,
        job: Job,
        preflight: Preflight,
        worker: WorkerHandle,
        interrupt: Interrupt,
        progress: Progress,
    ) -> None:
        self.job = job
        self.preflight = preflight
        self.worker = worker
        self.plan = Plan(device=preflight.environment.device, planned=(), processes=0)
        self.runner = CaseRunner(worker, job.settings, preflight.ceilings, interrupt, progress.beat)
        self._progress = progress
        self._lost: list[tuple[PlannedCase, Measurement]] = []
        self._writer: RunWriter | None = None
        self._recorder: RunRecorder | None = None
        self._machine: MachineRecords | None = None

    @property
    def environment(self) -> Environment:
        """What this session measures on; with the commit of its code where that is another one."""
        found = self.preflight.environment
        if self.job.commit is None:
            return found
        return replace(found, git_commit=self.job.commit, git_dirty=False)

    @property
    def writer(self) -> RunWriter:
        """The result file's journal."""
        assert self._writer is not None, "open_file comes first"
        return self._writer

    @property
    def recorder(self) -> RunRecorder:
        """The session's rows."""
        assert self._recorder is not None, "open_file comes first"
        return self._recorder

    @property
    def machine(self) -> MachineRecords:
        """The session's records of the machine."""
        assert self._machine is not None, "open_file comes first"
        return self._machine

    def make_plan(self, cases: Sequence[Case], *, calibrated: bool = True) -> Plan:
        """Plan the cases, after a calibration unless the run is resumed.

        Raises:
            Stopped: Ctrl-C twice.

        """
        preflight, settings = self.preflight, self.job.settings
        predictor = Predictor(preflight.environment.device, preflight.ceilings)
        lost = []
        if calibrated:
            first = make_plan(cases, predictor, settings, preflight.backends)
            lost = calibrate(first, predictor, self.runner.calibrate)
        self.plan = make_plan(cases, predictor, settings, preflight.backends)
        # These hung or crashed already; doing it again would only cost the same once more.
        known = {(one.case.id, one.method.id): one for one in self.plan.planned}
        for planned, call in lost:
            reason = call.reason or call.status
            found = Measurement(case=planned.case, status=call.status, reason=reason, process=0)
            self._lost.append((known[planned.case.id, planned.method.id], found))
        return self.plan

    def open_file(
        self,
        out: Path,
        *,
        resume: bool = False,
        redo: Redo = "none",
        run_id: str | None = None,
        header: Mapping[str, Any],
    ) -> None:
        """Begin the result file's journal, or resume one after comparing what must not differ.

        Args:
            out: the result file.
            resume: whether it exists and gets more rows.
            redo: which of its rows are measured again.
            run_id: what two files of one ``ab`` share; None for a new one.
            header: what the file's footer holds besides the session's own entries.

        Raises:
            NameTakenError: it exists already.
            OutputError: nothing can be written there.
            InputError: it was measured with other settings.

        """
        header = {**self._header(run_id or uuid.uuid4().hex[:12], out.stem), **header}
        self._writer = RunWriter.resume(out) if resume else RunWriter.create(out, header)
        if resume and (found := differences(self._writer.run, header, MUST_MATCH)):
            listed = "; ".join(f"{one.key}: {one.stored} then, {one.now} now" for one in found)
            raise InputError(
                f"cannot resume {out}: {listed}",
                hint="measure under another name (--name), or restore what differs",
            )
        job, suite = self.job, self.job.suite
        identity = RunIdentity(
            attnbench_version=__version__,
            run_id=self._writer.run["run_id"],
            run_name=str(self._writer.run["run_name"]),
            suite=suite.name,
            suite_sha256=suite.sha256,
            suite_tags=suite.tags,
            run_args=job.run_args,
            repro=job.repro,
            environment=self.environment,
            side=job.side,
        )
        self._recorder = RunRecorder(self._writer, identity, redo, job.stored_sources)
        self._machine = MachineRecords(self.worker, self._writer, self._progress.listener)

    def _header(self, run_id: str, name: str) -> dict[str, Any]:
        """What the footer of the result file holds."""
        job, suite, preflight = self.job, self.job.suite, self.preflight
        # More processes of the same method are a reason to resume, not a difference.
        method = {k: v for k, v in job.settings.to_dict().items() if k != "processes"}
        return {
            "run_id": run_id,
            "run_name": name,
            "suite": suite.name,
            "suite_text": suite.text,
            "suite_sha256": suite.sha256,
            "run_args": job.run_args,
            "device_id": preflight.environment.device.id,
            "environment": self.environment.to_dict(),
            "ceilings": preflight.ceilings.to_dict(),
            "method": method,
            "source": suite.source,
            "published": [one.to_dict() for one in suite.published],
            "seed": job.seed,
        }

    def write_plan(self) -> list[tuple[PlannedCase, Measurement]]:
        """Write a row for each case that will not run, and for each that calibration lost.

        Returns:
            The cases that calibration lost.

        """
        self.recorder.write_plan(self.plan)
        for planned, measurement in self._lost:
            self.recorder.record(measurement, planned)
        return self._lost

    def measure(self, planned: PlannedCase, process: int, *notes: str) -> Measurement:
        """Measure one case, write its row and report it.

        Raises:
            Stopped: Ctrl-C twice.

        """
        self._progress.case_started(planned, process)
        measurement = self.runner.measure(planned, process, *notes)
        self._progress.spent_s += measurement.seconds or 0.0
        self._progress.predicted_s += planned.predicted_s
        summary = self.recorder.record(measurement, planned)
        self._progress.case_finished(planned, measurement, summary)
        return measurement

    def write_not_run(self, reason: str) -> None:
        """Write one row for every case that was never reached."""
        for planned in self.plan.of_status(RUN):
            if not self.recorder.is_known(planned):
                self.recorder.rule_out(planned, "not_run", reason)

    def close(self) -> None:
        """Let go of the file; where there is no result file its journal stays."""
        if self._writer is not None:
            self._writer.close()


@dataclass(slots=True)
class MachineRecords:
    """Writes what a file says about its machine: a self-test, and canaries around each process.

    They are records beside the rows. Nothing that fails here ends a run: it is a record too.
    """

    worker: WorkerHandle
    writer: RunWriter
    listener: Callable[[Any], None]
    _first: dict[str, float] | None = None

    def self_test(self, ceilings: Ceilings) -> tuple[str, ...]:
        """Test the timers in the first worker; return why the machine cannot be believed."""
        record: dict[str, Any] = {"record": "selftest", "at": time.time()}
        try:
            tests = self.worker.ask(RunSelfTest(ceilings=ceilings, brief=True)).tests
        except EnvironmentProblem as error:
            unanswered = {
                "name": "worker",
                "passed": False,
                "measured": error.message,
                "expected": "an answer",
                "advice": "look at this machine with attnbench doctor",
                "grave": True,
            }
            tests = [unanswered]
        self.writer.record({**record, "tests": tests})
        event = SelfTested(tests=tuple(tests))
        self.listener(event)
        return event.grave

    def process_begins(self, process: int) -> None:
        """Warm the device, then time the canaries."""
        self._first = self._canaries(process, "first", warm=True)

    def process_ends(self, process: int) -> None:
        """Time them again, unless the worker died with the last case: a new one costs seconds."""
        if self.worker.is_open:
            self._canaries(process, "last", warm=False)

    def _canaries(self, process: int, when: str, *, warm: bool) -> dict[str, float] | None:
        record: dict[str, Any] = {"record": "canaries", "process": process, "when": when}
        try:
            timed = self.worker.ask(TimeCanaries(warm=warm))
        except EnvironmentProblem as error:
            self.writer.record({**record, "at": time.time(), "failed": error.message})
            return None
        record |= {"at": timed.at, "us": timed.us}
        if timed.warmup_s is not None:
            record |= {"warmup_s": timed.warmup_s, "flat": timed.flat}
        notes = []
        # On a CPU other processes move the times as well.
        if when == "last" and self._first and self.worker.environment.device.kind == "cuda":
            shifts = (timed.us[one] / self._first[one] - 1 for one in _ON_THE_CLOCK)
            notes = ["CLOCK_DRIFT"] if any(abs(one) > _DRIFT for one in shifts) else []
        self.writer.record({**record, "notes": notes})
        return timed.us
