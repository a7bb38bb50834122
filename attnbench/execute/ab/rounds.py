"""Two interleaved sessions: rounds of fresh processes on all pairs, then more on the suspects.

A round is one process of each side, adjacent in time, with the same order of cases; which side goes
first alternates, so that a drift of the machine affects both alike. The first rounds screen.
Suspects then get rounds of their own, numbered after those of the screening, and only these decide
(``attnbench.stats.decision``).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack, suppress

import numpy as np

from attnbench.errors import AttnbenchError, Interrupted, OutputError
from attnbench.execute.ab.opening import CasePair, Opened, open_sides, refuse_foreign_imports
from attnbench.execute.ab.request import AbRequest, result_of
from attnbench.execute.ab.sides import BASE, NEW, ROLES
from attnbench.execute.case_runner import Interrupt, shuffled
from attnbench.execute.events import (
    CONFIRM,
    INTERRUPTED,
    SCREEN,
    AbListener,
    AbMeasured,
    RoundFinished,
    Screened,
    SideStarted,
)
from attnbench.execute.executors import Executor
from attnbench.execute.session import Progress
from attnbench.filter import case_fields
from attnbench.measurement import Measurement
from attnbench.planning.plan import RUN, PlannedCase
from attnbench.stats.decision import FEWEST_ROUNDS, MOST_ROUNDS, confirm_rounds, screen
from attnbench.stats.summary import log_centres
from attnbench.worker.client import Stopped

_CASE_ROUNDS = 2  # a case, that suspects may have in all where neither rounds nor time are named
_FOR_SCREENING = 0.75  # of a budget; the rest is for the suspects


def measure(
    request: AbRequest, listener: AbListener, executor: Executor | None = None
) -> AbMeasured:
    """Measure both sides of a suite alternately and write a result file of each.

    Args:
        request: the two sides and the number of rounds.
        listener: hears every event, in order.
        executor: where the workers run; None for this machine.

    Raises:
        AttnbenchError: whatever keeps it from starting, or a file from being written; what was
            measured until then is kept.
        Interrupted: the user stopped it before anything was measured.

    """
    progress = Progress(listener)
    with Interrupt() as interrupt, ExitStack() as stack:
        interrupt.on_first = progress.stopping
        try:
            opened = open_sides(request, progress, interrupt, stack, executor)
        except Stopped:
            raise Interrupted("stopped before anything was measured") from None
        return _Rounds(request, opened, progress, interrupt).run()


class _Rounds:
    """One ``ab`` under way."""

    def __init__(
        self, request: AbRequest, opened: Opened, progress: Progress, interrupt: Interrupt
    ) -> None:
        self._request = request
        self._opened = opened
        self._sessions = opened.sessions
        self._progress = progress
        self._tell = progress.listener
        self._interrupt = interrupt
        # The log latency of each case of each side in each round.
        self._logs: dict[tuple[str, PlannedCase], dict[int, float]] = defaultdict(dict)
        self._round_s: float | None = None
        self._left_rounds = 0
        self._cut: str | None = None
        progress.seconds_left = self._seconds_left

    def run(self) -> AbMeasured:
        """Screen, confirm, and write both files; Ctrl-C and a full disk keep what there is."""
        opened, sessions = self._opened, self._sessions.values()
        try:
            self._screen_and_confirm()
        except Stopped:
            self._cut = INTERRUPTED
        except AttnbenchError:
            for session in sessions:
                with suppress(OutputError):
                    session.recorder.finish()
            raise
        for session in sessions:
            session.write_not_run(self._cut or "not reached")
        for session in sessions:
            session.recorder.finish()
        measured = AbMeasured(
            stem=opened.stem,
            results=(result_of(opened.stem, BASE), result_of(opened.stem, NEW)),
            seconds=self._progress.elapsed_s,
            rule=opened.rule,
            rule_source=opened.rule_source,
            cut=self._cut,
        )
        self._tell(measured)
        return measured

    def _screen_and_confirm(self) -> None:
        request = self._request
        if not self._rounds(SCREEN, self._opened.case_pairs, 0, request.rounds):
            return
        suspects = self._suspects()
        rounds = self._confirm_rounds(len(suspects))
        self._tell(Screened(suspects=tuple(one.pair for one in suspects), rounds=rounds))
        if suspects:
            self._rounds(CONFIRM, suspects, request.rounds, rounds)

    def _rounds(self, stage: str, pairs: Sequence[CasePair], first: int, count: int) -> bool:
        """Measure so many rounds; return False where the user stopped them."""
        share = _FOR_SCREENING if stage == SCREEN else 1.0
        progress = self._progress
        for number in range(first, first + count):
            alive = [one for one in pairs if self._is_alive(one)]
            waiting = list(pairs) if number == 0 else alive
            if not waiting:
                return True
            if self._is_spent(share):
                if stage == SCREEN or number - first < FEWEST_ROUNDS:
                    self._cut = f"the budget of {self._request.budget_s:g} s was spent"
                return True
            began = time.monotonic()
            self._left_rounds = first + count - number - 1
            progress.total = progress.position + 2 * len(waiting) * (self._left_rounds + 1)
            place = {"stage": stage, "round": number - first + 1, "rounds": count}
            for role in ROLES if number % 2 == 0 else ROLES[::-1]:
                self._tell(SideStarted(**place, role=role))  # type: ignore[arg-type]
                if not self._run_side(role, waiting, number):
                    return False
            self._round_s = time.monotonic() - began
            left_s = self._seconds_left()
            self._tell(RoundFinished(**place, seconds=self._round_s, seconds_left=left_s))  # type: ignore[arg-type]
        return True

    def _run_side(self, role: str, pairs: list[CasePair], number: int) -> bool:
        """Measure one side of a round in a fresh process; return False where the user stopped."""
        session = self._sessions[role]
        by_case = {one.base: one for one in pairs}
        if self._is_stopped():
            return False
        try:
            if number == 0:
                session.machine.self_test(session.preflight.ceilings)
            session.machine.process_begins(number)
            # The order of the base's cases serves both sides.
            for planned in shuffled(by_case, self._request.seed, number):
                pair = by_case[planned]
                if self._is_stopped():
                    return False
                self._progress.position += 1
                if self._wants(pair, role, number):
                    measurement = session.measure(pair.of(role), number)
                    self._keep_latency(role, pair.of(role), measurement)
            if number == 0:
                refuse_foreign_imports(self._opened.sides[role], session)
            session.machine.process_ends(number)
        finally:
            session.worker.close()
        return True

    def _keep_latency(self, role: str, planned: PlannedCase, measurement: Measurement) -> None:
        """Keep a latency for the screening as the file will hold it, in single precision."""
        if measurement.status == "ok":
            samples = np.array(measurement.samples_us, dtype=np.float32)
            (centre,) = log_centres(samples, np.array([0, len(samples)])).log
            self._logs[role, planned][measurement.process or 0] = float(centre)

    def _is_stopped(self) -> bool:
        if not self._interrupt.stop_requested():
            return False
        self._cut = INTERRUPTED
        return True

    def _wants(self, pair: CasePair, role: str, number: int) -> bool:
        """The first round measures whatever runs; later ones what can still become a pair."""
        planned = pair.of(role)
        if planned.status != RUN or self._sessions[role].recorder.has_ended(planned):
            return False
        return number == 0 or self._is_alive(pair)

    def _is_alive(self, pair: CasePair) -> bool:
        return pair.runs and not any(
            self._sessions[role].recorder.has_ended(pair.of(role)) for role in ROLES
        )

    def _suspects(self) -> list[CasePair]:
        """Return what may be slower, judging by the first rounds."""
        pairs = self._opened.case_pairs
        if not pairs:
            return []
        rounds = np.full((len(pairs), self._request.rounds), np.nan)
        for row, pair in enumerate(pairs):
            if self._is_alive(pair):
                base, new = (self._logs[role, pair.of(role)] for role in ROLES)
                for number in base.keys() & new.keys():
                    rounds[row, number] = new[number] - base[number]
        limits = np.array([self._opened.rule.limit_for(case_fields(one.pair.new)) for one in pairs])
        flags = screen(rounds, limits).suspects
        return [pair for pair, is_one in zip(pairs, flags, strict=True) if is_one]

    def _confirm_rounds(self, suspects: int) -> int:
        """Return the number of fresh rounds: as asked, as time allows, or by the suspects' number.

        Never fewer than the screening had, so that what it could have seen is found again.
        """
        request = self._request
        if not suspects:
            return 0
        if request.confirm is not None:
            return request.confirm
        if request.budget_s is not None:
            return MOST_ROUNDS  # or until the time is spent
        in_all = _CASE_ROUNDS * len(self._opened.case_pairs)
        return max(request.rounds, confirm_rounds(suspects, in_all))

    def _is_spent(self, share: float) -> bool:
        """Return whether another round would exceed this share of the budget."""
        budget = self._request.budget_s
        if budget is None:
            return False
        spent = self._progress.elapsed_s + (self._round_s or 0.0)
        return spent > (share if self._round_s is not None else 1.0) * budget

    def _seconds_left(self) -> float | None:
        if self._round_s is None:
            return None
        left, budget = self._round_s * self._left_rounds, self._request.budget_s
        return left if budget is None else min(left, max(0.0, budget - self._progress.elapsed_s))
