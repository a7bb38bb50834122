"""The conformance kit on a device: a backend's trials one after another, nothing timed.

The way of a trial is that of a case: one worker, time limits, a crash costs one trial. Triton
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
from attnbench.execute.crew import WorkerHandle
from attnbench.execute.errand import Stopped
from attnbench.execute.interrupt import Interrupt
from attnbench.execute.process import CaseRunner
from attnbench.filter import parse
from attnbench.measure.reduce import reduced, upcast
from attnbench.measurement import BAD_STATUSES
from attnbench.method import Measure, Method
from attnbench.planning.plan import RUN, PlannedCase, describe_backends
from attnbench.plugin import BackendDescription
from attnbench.units import duration_text

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
        self, subject: Case, device: str = "auto", interrupt: Interrupt | None = None
    ) -> None:
        self._closing = ExitStack()
        crew = self._crew(device)
        try:
            backend = _describe(subject, crew)
            self.environment = crew.environment
        except BaseException:
            self.close()
            raise
        assert backend.capabilities is not None
        self.trials = trials_of(subject, backend.capabilities)
        self.is_interpreted = backend.is_triton and self.environment.device.kind == "cpu"
        if self.is_interpreted:
            crew = self._crew("cpu", interpret=True)
        heard = interrupt or Interrupt()
        self._walker = CaseRunner(crew, Measure(), Ceilings(), heard, lambda _: None)

    def _crew(self, device: str, *, interpret: bool = False) -> WorkerHandle:
        self._closing.close()  # one worker at a time
        crew = WorkerHandle(device, interpret=interpret)
        self._closing.callback(crew.lost)
        return crew

    def close(self) -> None:
        """End the worker."""
        self._closing.close()

    def examine(self, trial: Trial) -> TrialDone:
        """Put the backend to one trial.

        Raises:
            Stopped: Ctrl-C twice.

        """
        stand_in, notes = self._stand_in(trial)
        facts = self._walker.conform(_planned(stand_in), trial.way)
        faults = [(kind, words) for kind, words in facts.get("faults", ())]
        if facts["status"] in BAD_STATUSES and not faults:
            faults = [(facts["status"], facts["reason"])]
        return TrialDone(
            trial=trial,
            status=facts["status"],
            reason=facts["reason"],
            notes=(*facts.get("notes", ()), *notes),
            error_rel=facts.get("error_rel"),
            error_ratio=facts.get("error_ratio"),
            faults=tuple(faults),
        )

    def _stand_in(self, trial: Trial) -> tuple[Case, list[str]]:
        """The case as the interpreter can take it, and what was changed."""
        case = trial.case
        if not self.is_interpreted:
            return case, []
        wider = upcast(case.problem)
        smaller = reduced(wider, _INTERPRETED_S)
        notes = ["UPCAST"] if wider != case.problem else []
        notes += ["REDUCED"] if smaller != wider else []
        return replace(case, problem=smaller), notes


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


def _describe(subject: Case, crew: WorkerHandle) -> BackendDescription:
    """Describe a backend; a worker is asked about a third-party one."""
    key = (subject.backend, subject.source)
    found = describe_backends([subject], crew.capabilities([subject]))[key]
    if subject.source == BUILT_IN:
        return found
    return replace(found, is_triton=crew.probe(*key)["is_triton"])


def _planned(case: Case) -> PlannedCase:
    """A case on its way to a worker; how it would be timed does not matter here."""
    method = Method(timer="wall", l2="warm")
    return PlannedCase(
        case=case, method=method, status=RUN, reason=None, predicted_bytes=0, predicted_s=0.0
    )
