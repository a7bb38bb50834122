"""One side at work: its workers, its plan, its file, and the log latencies it has so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from attnbench import __version__
from attnbench.case import Case
from attnbench.environment import Environment
from attnbench.errors import EnvironmentProblem
from attnbench.execute.ab.request import AbRequest
from attnbench.execute.ab.sides import Side
from attnbench.execute.crew import WorkerHandle
from attnbench.execute.events import SelfTested
from attnbench.execute.interrupt import Interrupt
from attnbench.execute.ledger import RunRecorder
from attnbench.execute.machine import Machine
from attnbench.execute.process import CaseRunner
from attnbench.execute.rows import RunIdentity
from attnbench.execute.survey import Preflight, survey
from attnbench.measurement import Measurement
from attnbench.method import Measure
from attnbench.planning.calibration import calibrate
from attnbench.planning.plan import RUN, Plan, PlannedCase, make_plan
from attnbench.planning.prediction import Predictor
from attnbench.stats.summary import Summary, log_centres
from attnbench.store.writer import RunWriter


@dataclass(slots=True)
class SideSession:
    """What one side needs to measure; made by ``open_station``, told where to write by ``write``.

    ``start_s`` is what a fresh process takes until it can measure. ``log`` holds the log latency of
    each case in each round, by planned case; ``lost`` the cases that ended other than ok.
    """

    side: Side
    crew: WorkerHandle
    ground: Preflight
    plan: Plan
    walker: CaseRunner
    calibrated: list[tuple[PlannedCase, Measurement]]
    start_s: float
    log: dict[PlannedCase, dict[int, float]] = field(default_factory=dict)
    lost: set[PlannedCase] = field(default_factory=set)
    _ledger: RunRecorder | None = None
    _machine: Machine | None = None
    _writer: RunWriter | None = None

    @property
    def environment(self) -> Environment:
        """What this side was measured on; a commit's own where the side is one."""
        found = self.ground.environment
        if self.side.commit is None:
            return found
        return replace(found, git_commit=self.side.commit, git_dirty=False)

    @property
    def ledger(self) -> RunRecorder:
        """The side's rows."""
        assert self._ledger is not None, "write comes first"
        return self._ledger

    def write(
        self,
        out: Path,
        request: AbRequest,
        run_id: str,
        header: dict[str, Any],
        tell: Callable[[SelfTested], None],
    ) -> None:
        """Begin the side's file and write into it what the plan decided.

        ``tell`` hears of the self-test.

        Raises:
            NameTakenError: it is there already.
            OutputError: nothing can be written there.

        """
        ground, suite = self.ground, self.side.suite
        settings = suite.measure
        self._writer = RunWriter.create(
            out,
            {
                "run_id": run_id,
                "run_name": out.name.removesuffix(".parquet"),
                "suite": suite.name,
                "suite_text": suite.text,
                "suite_sha256": suite.sha256,
                "run_args": request.run_args,
                "device_id": ground.environment.device.id,
                "environment": self.environment.to_dict(),
                "ceilings": ground.ceilings.to_dict(),
                "method": {k: v for k, v in settings.to_dict().items() if k != "processes"},
                "source": suite.source,
                "published": [one.to_dict() for one in suite.published],
                "seed": request.seed,
                "ab": header,
            },
        )
        identity = RunIdentity(
            attnbench_version=__version__,
            run_id=run_id,
            run_name=self._writer.run["run_name"],
            suite=suite.name,
            suite_sha256=suite.sha256,
            suite_tags=suite.tags,
            run_args=request.run_args,
            repro=request.repro,
            environment=self.environment,
            side=self.side.role,
        )
        self._ledger = RunRecorder(self._writer, identity)
        self._machine = Machine(self.crew, self._writer, tell)
        for planned in self.plan.planned:
            if planned.status != RUN:
                self.rule_out(planned, planned.status, planned.reason or planned.status)
        for planned, measurement in self.calibrated:
            self.record(measurement, planned)

    def process_begins(self, process: int) -> None:
        """Test the timers in the first process; in each, warm the device and time the canaries."""
        assert self._machine is not None, "write comes first"
        if process == 0:
            self._machine.self_test(self.ground.ceilings)
        self._machine.process_begins(process)

    def process_ends(self, process: int) -> None:
        """Time the canaries again."""
        assert self._machine is not None, "write comes first"
        self._machine.process_ends(process)

    def rule_out(self, planned: PlannedCase, status: str, reason: str) -> None:
        """Write the one row of a case that is not measured."""
        self.record(Measurement(case=planned.case, status=status, reason=reason), planned)

    def record(self, measurement: Measurement, planned: PlannedCase) -> Summary | None:
        """Write a row, and keep its latency for the screening as the file will hold it."""
        if measurement.status == "ok":
            samples = np.array(measurement.samples_us, dtype=np.float32)
            (centre,) = log_centres(samples, np.array([0, len(samples)])).log
            self.log.setdefault(planned, {})[measurement.process or 0] = float(centre)
        else:
            self.lost.add(planned)
        stored = self.side.stored.get(measurement.case.source)
        if stored is not None:
            case = replace(measurement.case, source=stored)
            measurement = replace(measurement, case=case)
        return self.ledger.record(measurement, planned)

    def refuse_strays(self) -> None:
        """Look whether a commit's worker imported what is not that commit's.

        Raises:
            EnvironmentProblem: it did, so that both sides may run the same code.

        """
        if not self.side.tops or not self.crew.is_open:
            return
        found = self.crew.imported_below(self.side.tops)
        if found:
            raise EnvironmentProblem(
                f"--{self.side.role} {self.side.words}: its backend imports {found[0]}, which is "
                "not that commit's file",
                hint="install the package of that commit in another environment: python:PATH",
            )

    def finish(self) -> None:
        """Write the result file from the journal.

        Raises:
            OutputError: it cannot be written; the journal is kept.

        """
        if self._writer is not None:
            self.ledger.finish()

    def close(self) -> None:
        """End the worker and let go of the file; a journal stays where there is no result file."""
        self.crew.lost()
        if self._writer is not None:
            self._writer.close()


def open_station(
    side: Side,
    cases: list[Case],
    device: str,
    interrupt: Interrupt,
    on_beat: Callable[[str], None],
) -> SideSession:
    """Open a side's device, import its backends, fly its pilot and plan its cases.

    Raises:
        EnvironmentProblem: no torch, no device, or a backend that cannot be imported.
        Stopped: Ctrl-C twice.

    """
    crew = WorkerHandle(device, python=side.python, search=side.search)
    try:
        with _told_of(side):
            began = time.monotonic()
            crew.worker()
            start_s = time.monotonic() - began
            ground = survey(cases, crew)
        walker = CaseRunner(crew, side.suite.measure, ground.ceilings, interrupt, on_beat)
        plan, calibrated = _planned(cases, ground, side.suite.measure, walker)
        station = SideSession(side, crew, ground, plan, walker, calibrated, start_s)
        station.refuse_strays()
        if crew.is_open:
            crew.dismiss()  # each process is a fresh one
    except BaseException:
        crew.lost()
        raise
    return station


@contextmanager
def _told_of(side: Side) -> Iterator[None]:
    """Say which side it is that cannot be measured."""
    try:
        yield
    except EnvironmentProblem as error:
        error.message = f"--{side.role} {side.words}: {error.message}"
        raise


def _planned(
    cases: list[Case], ground: Preflight, settings: Measure, walker: CaseRunner
) -> tuple[Plan, list[tuple[PlannedCase, Measurement]]]:
    predictor = Predictor(ground.environment.device, ground.ceilings)
    first = make_plan(cases, predictor, settings, ground.backends)
    lost = calibrate(first, predictor, walker.pilot)
    plan = make_plan(cases, predictor, settings, ground.backends)
    # It hung or crashed already; doing it again would only cost the same once more.
    known = {(one.case.id, one.method.id): one for one in plan.planned}
    rows = []
    for planned, calibrated in lost:
        reason = calibrated.reason or calibrated.status
        found = Measurement(case=planned.case, status=calibrated.status, reason=reason, process=0)
        rows.append((known[planned.case.id, planned.method.id], found))
    return plan, rows
