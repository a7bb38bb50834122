"""Before the first round: both sides found and opened, their cases paired, their files begun."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from attnbench.errors import EnvironmentProblem, NotComparable
from attnbench.execute.ab.pairs import Pair, paired
from attnbench.execute.ab.request import AbRequest, refuse_taken, result_of
from attnbench.execute.ab.sides import BASE, NEW, ROLES, Side, resolve
from attnbench.execute.case_runner import Interrupt
from attnbench.execute.events import AbStarted, Remark
from attnbench.execute.executors import Executor, worker_on
from attnbench.execute.session import Job, Progress, Session, run_preflight
from attnbench.planning.plan import RUN, PlannedCase
from attnbench.suite import Gate
from attnbench.worker.client import Stopped, WorkerSpec


@dataclass(frozen=True, slots=True)
class CasePair:
    """One pair under one method, as each side plans it."""

    pair: Pair
    base: PlannedCase
    new: PlannedCase

    def of(self, role: str) -> PlannedCase:
        """Return one side's."""
        return self.base if role == BASE else self.new

    @property
    def runs(self) -> bool:
        """Whether both sides can measure it."""
        return self.base.status == self.new.status == RUN


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Two sides that are ready to measure; ``stem`` is what their files' names begin with."""

    sides: Mapping[str, Side]
    sessions: Mapping[str, Session]
    case_pairs: tuple[CasePair, ...]
    rule: Gate
    rule_source: str
    stem: Path


def open_sides(
    request: AbRequest,
    progress: Progress,
    interrupt: Interrupt,
    stack: ExitStack,
    executor: Executor | None = None,
) -> Opened:
    """Resolve both sides, open them one after the other, and begin their files.

    Args:
        request: what to measure.
        progress: where the ``ab`` is; hears what happens.
        interrupt: Ctrl-C.
        stack: closes sessions, workers and worktrees at its end.
        executor: where the workers run; None for this machine.

    Raises:
        AttnbenchError: whatever keeps it from starting; nothing has been measured.
        Stopped: the user wants it to end.

    """
    base, new = (
        resolve(word, role, request.asked, stack)
        for word, role in zip((request.base, request.new), ROLES, strict=True)
    )
    rule, rule_source = request.rule(new.suite)
    pairs, remarks = paired(base, new)
    pairs = request.selected(pairs, (base.suite, new.suite))
    if request.out is not None or request.name is not None:
        # Checked before any device is opened.
        refuse_taken(request.out or request.folder / str(request.name), ROLES)
    for remark in remarks:
        progress.listener(Remark(text=remark))
    sessions: dict[str, Session] = {}
    start_s = 0.0
    for side in (base, new):
        if interrupt.asked:
            raise Stopped
        cases = [pair.base if side is base else pair.new for pair in pairs]
        progress.listener(Remark(text=f"{side.role}: opening {side.words}"))
        spec = WorkerSpec(request.device, python=side.python, search=side.search)
        worker = stack.enter_context(worker_on(executor, spec))
        try:
            began = time.monotonic()
            worker.open()
            start_s += time.monotonic() - began
            preflight = run_preflight(cases, worker)
        except EnvironmentProblem as error:
            error.message = f"--{side.role} {side.words}: {error.message}"
            raise
        session = Session(_job_of(request, side), preflight, worker, interrupt, progress)
        stack.callback(session.close)
        session.make_plan(cases)
        refuse_foreign_imports(side, session)
        worker.close()  # each process is a fresh one
        sessions[side.role] = session
    if interrupt.asked:
        raise Stopped
    _require_one_device(sessions)
    stem = request.stem(new.suite, sessions[BASE].preflight.environment.device)
    refuse_taken(stem, ROLES)
    opened = Opened(
        sides={BASE: base, NEW: new},
        sessions=sessions,
        case_pairs=_case_pairs(pairs, sessions),
        rule=rule,
        rule_source=rule_source,
        stem=stem,
    )
    begin_files(request, opened, pairs)
    progress.listener(_started(request, opened, start_s))
    return opened


def _job_of(request: AbRequest, side: Side) -> Job:
    return Job(
        suite=side.suite,
        settings=side.suite.measure,
        seed=request.seed,
        run_args=request.run_args,
        repro=request.repro,
        side=side.role,
        commit=side.commit,
        stored_sources=side.stored,
    )


def refuse_foreign_imports(side: Side, session: Session) -> None:
    """See that a commit's worker imported only that commit's files.

    Raises:
        EnvironmentProblem: it did not, so that both sides may run the same code.

    """
    if not side.tops or not session.worker.is_open:
        return
    found = session.worker.imported_below(side.tops)
    if found:
        raise EnvironmentProblem(
            f"--{side.role} {side.words}: its backend imports {found[0]}, which is "
            "not that commit's file",
            hint="install the package of that commit in another environment: python:PATH",
        )


def _require_one_device(sessions: Mapping[str, Session]) -> None:
    one, other = (sessions[role].preflight.environment.device for role in ROLES)
    if one.id != other.id:
        raise NotComparable(
            f"the sides open different devices: {one.name} and {other.name}",
            hint="name one that both have: --device cpu",
        )


def _case_pairs(pairs: Sequence[Pair], sessions: Mapping[str, Session]) -> tuple[CasePair, ...]:
    """Each pair under each of its methods, which depend only on the problem."""
    plans: dict[str, dict[str, list[PlannedCase]]] = {role: {} for role in ROLES}
    for role in ROLES:
        for planned in sessions[role].plan.planned:
            plans[role].setdefault(planned.case.id, []).append(planned)
    return tuple(
        CasePair(pair, old, new)
        for pair in pairs
        for old, new in zip(plans[BASE][pair.base.id], plans[NEW][pair.new.id], strict=True)
    )


def begin_files(request: AbRequest, opened: Opened, pairs: Sequence[Pair]) -> None:
    """Begin both result files with what the plans already decide."""
    run_id = uuid.uuid4().hex[:12]
    for role, session in opened.sessions.items():
        header = {
            "side": role,
            **{one: opened.sides[one].words for one in ROLES},
            "screen_rounds": request.rounds,
            "max_slowdown": request.max_slowdown,
            "pairs": [[pair.base.id, pair.new.id] for pair in pairs],
        }
        session.open_file(result_of(opened.stem, role), run_id=run_id, header={"ab": header})
        session.write_plan()


def _started(request: AbRequest, opened: Opened, start_s: float) -> AbStarted:
    running = [one for one in opened.case_pairs if one.runs]
    round_s = start_s + sum(one.base.predicted_s + one.new.predicted_s for one in running)
    one, other = (opened.sides[role] for role in ROLES)
    return AbStarted(
        stem=opened.stem,
        words=(one.words, other.words),
        commits=(one.commit, other.commit),
        environments=(opened.sessions[BASE].environment, opened.sessions[NEW].environment),
        pairs=len(running),
        ruled_out=len(opened.case_pairs) - len(running),
        rounds=request.rounds,
        seconds=request.rounds * round_s,
    )
