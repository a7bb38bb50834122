"""The conformance kit on a device: a backend's trials one after another, nothing timed.

A trial runs like a case: in a worker, with time limits, and a crash costs one trial. Triton
backends are interpreted where there is no GPU, as in ``checker``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from attnbench.case import BUILT_IN, Case
from attnbench.conformance import THEMES, Trial, trial_fields, trials_of, undeclared
from attnbench.device.rates import Ceilings
from attnbench.environment import Environment
from attnbench.errors import NothingSelected
from attnbench.execute.case_runner import CaseRunner, Interrupt
from attnbench.execute.checker import interpretable
from attnbench.execute.executors import Executor, worker_on
from attnbench.filter import parse
from attnbench.measurement import BAD_STATUSES
from attnbench.method import Measure
from attnbench.planning.plan import describe_backends
from attnbench.plugin import BackendDescription
from attnbench.units import duration_text
from attnbench.worker.client import Stopped, WorkerHandle, WorkerSpec
from attnbench.worker.protocol import ConformCase

# Of one interpreted call; what is predicted to take longer is tried at a smaller size.
_INTERPRETED_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialDone:
    """What came of one trial.

    ``faults`` lists (kind, words): ``output``, a word of ``conformance.BEHAVIOURS``, or the status
    of a trial that ended early.
    """

    trial: Trial
    status: str
    reason: str | None = None
    notes: tuple[str, ...] = ()
    error_rel: float | None = None
    error_ratio: float | None = None
    faults: tuple[tuple[str, str], ...] = ()

    @property
    def is_bad(self) -> bool:
        """Whether the backend failed it."""
        return self.status in BAD_STATUSES


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceStarted:
    """What will be tried; the first trial has not begun."""

    subject: Case
    trials: tuple[Trial, ...]
    environment: Environment
    is_interpreted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceFinished:
    """What every trial came to; ``undeclared`` names the themes that were not asked at all."""

    subject: Case
    done: tuple[TrialDone, ...]
    undeclared: tuple[str, ...]
    interrupted: bool

    @property
    def counts(self) -> dict[str, int]:
        """How many trials have each status; ok means passed."""
        return dict(Counter(one.status for one in self.done))


ConformanceEvent = ConformanceStarted | TrialDone


class Examiner:
    """Puts one backend to its trials on one device; ``close`` ends its worker.

    ``trials`` is what its capabilities ask for; ``is_interpreted`` says that Triton's interpreter
    stands in for a GPU. A third-party backend is asked in a worker what it can do.

    Raises:
        AttnbenchError: no torch, no such device, or a backend that cannot be imported.

    """

    def __init__(
        self,
        subject: Case,
        device: str = "auto",
        interrupt: Interrupt | None = None,
        executor: Executor | None = None,
    ) -> None:
        self._executor = executor
        self._closing = ExitStack()
        worker = self._open_worker(WorkerSpec(device))
        try:
            backend = _describe(subject, worker)
            self.environment = worker.environment
        except BaseException:
            self.close()
            raise
        assert backend.capabilities is not None
        self.trials = trials_of(subject, backend.capabilities)
        self.is_interpreted = backend.is_triton and self.environment.device.kind == "cpu"
        if self.is_interpreted:
            worker = self._open_worker(WorkerSpec("cpu", interpret=True))
        self._runner = CaseRunner(worker, Measure(), Ceilings(), interrupt or Interrupt())

    def _open_worker(self, spec: WorkerSpec) -> WorkerHandle:
        self._closing.close()  # one worker at a time
        return self._closing.enter_context(worker_on(self._executor, spec))

    def close(self) -> None:
        """End the worker."""
        self._closing.close()

    def examine(self, trial: Trial) -> TrialDone:
        """Put the backend to one trial.

        Raises:
            Stopped: Ctrl-C twice.

        """
        case, notes = trial.case, list[str]()
        if self.is_interpreted:
            case, notes = interpretable(case, _INTERPRETED_S)
        answer = self._runner.conform(ConformCase(case=case, way=trial.way))
        faults = [(kind, words) for kind, words in answer.get("faults", ())]
        if answer["status"] in BAD_STATUSES and not faults:
            faults = [(answer["status"], answer["reason"])]
        return TrialDone(
            trial=trial,
            status=answer["status"],
            reason=answer["reason"],
            notes=(*answer.get("notes", ()), *notes),
            error_rel=answer.get("error_rel"),
            error_ratio=answer.get("error_ratio"),
            faults=tuple(faults),
        )


def examine(
    subject: Case,
    device: str,
    *,
    filter: str | None = None,
    budget_s: float | None = None,
    listener: Callable[[ConformanceEvent], None],
) -> ConformanceFinished:
    """Put a backend to the trials that a filter picks; a budget leaves the rest ``not_run``.

    Raises:
        AttnbenchError: as ``Examiner``; a filter that does not read or picks nothing.

    """
    done: list[TrialDone] = []
    with Interrupt() as interrupt:
        examiner = Examiner(subject, device, interrupt)
        try:
            trials = picked(examiner.trials, filter, subject)
            listener(
                ConformanceStarted(
                    subject=subject,
                    trials=tuple(trials),
                    environment=examiner.environment,
                    is_interpreted=examiner.is_interpreted,
                )
            )
            for one in _one_by_one(examiner, trials, interrupt, budget_s):
                done.append(one)
                listener(one)
        finally:
            examiner.close()
        return ConformanceFinished(
            subject=subject,
            done=tuple(done),
            undeclared=tuple(undeclared(examiner.trials)),
            interrupted=interrupt.asked,
        )


def picked(trials: list[Trial], filter: str | None, subject: Case) -> list[Trial]:
    """The trials that a filter picks.

    Raises:
        InputError: a filter that does not read.
        NothingSelected: it picks none.

    """
    if filter is None:
        return trials
    chosen = parse(filter, extra=(*dict(subject.options), "theme", "way"))
    found = [one for one in trials if chosen.matches(trial_fields(one))]
    if not found:
        raise NothingSelected(
            f"nothing to try: {filter!r} picks none of the {len(trials)} trials of "
            f"{subject.backend_label}",
            hint=f"themes: {', '.join(THEMES)}; write 'theme=paged'",
        )
    return found


def _one_by_one(
    examiner: Examiner, trials: list[Trial], interrupt: Interrupt, budget_s: float | None
) -> Iterator[TrialDone]:
    began = time.monotonic()
    for trial in trials:
        if interrupt.asked:
            return
        if budget_s is not None and time.monotonic() - began > budget_s:
            reason = f"the budget of {duration_text(budget_s)} is spent"
            yield TrialDone(trial=trial, status="not_run", reason=reason)
            continue
        try:
            yield examiner.examine(trial)
        except Stopped:
            return


def _describe(subject: Case, worker: WorkerHandle) -> BackendDescription:
    """Describe a backend; a worker is asked about a third-party one."""
    key = (subject.backend, subject.source)
    found = describe_backends([subject], worker.capabilities([subject]))[key]
    if subject.source == BUILT_IN:
        return found
    return replace(found, is_triton=worker.probe(*key).is_triton)
