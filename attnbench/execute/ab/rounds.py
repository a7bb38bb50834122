"""Two sides by turns: rounds of fresh processes on all pairs, then fresh rounds on the suspects.

A round is one process of each side, adjacent in time, in one order of cases; which side goes first
flips each round, so that a drift of the machine falls on both alike. The first rounds screen. What
may be slower then gets rounds of its own, numbered on from those of the screening, and is judged by
these alone (``attnbench.stats.decision``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress

import numpy as np

from attnbench.errors import AttnbenchError, Interrupted, OutputError
from attnbench.execute.ab.events import (
    CONFIRM,
    INTERRUPTED,
    SCREEN,
    AbListener,
    AbMeasured,
    RoundFinished,
    Screened,
    SideStarted,
)
from attnbench.execute.ab.opening import CasePair, Opened, open_sides
from attnbench.execute.ab.request import AbRequest, result_of
from attnbench.execute.ab.sides import BASE, NEW, ROLES
from attnbench.execute.ab.station import SideSession
from attnbench.execute.errand import Stopped
from attnbench.execute.events import Beat, CaseFinished, CaseStarted, Remark
from attnbench.execute.interrupt import Interrupt
from attnbench.execute.process import shuffled
from attnbench.filter import case_fields
from attnbench.planning.plan import RUN, PlannedCase
from attnbench.stats.decision import FEWEST_ROUNDS, MOST_ROUNDS, confirm_rounds, screen

_CASE_ROUNDS = 2  # a case, that suspects may have in all where neither rounds nor time are named
_FOR_SCREENING = 0.75  # of a budget; what is left is for the suspects


def measure(request: AbRequest, listener: AbListener) -> AbMeasured:
    """Measure both sides of a suite by turns and write a result file of each.

    Raises:
        AttnbenchError: whatever keeps it from starting, or a file from being written; what was
            measured until then is kept.
        Interrupted: the user stopped it before anything was measured.

    """
    with Interrupt() as interrupt, ExitStack() as stack:
        rounds = _Rounds(request, listener, interrupt)
        interrupt.on_first = rounds.say_stopping
        try:
            opened = open_sides(request, listener, interrupt, rounds.beat, stack)
        except Stopped:
            raise Interrupted("stopped before anything was measured") from None
        return rounds.run(opened)


class _Rounds:
    """One ``ab`` under way."""

    def __init__(self, request: AbRequest, listener: AbListener, interrupt: Interrupt) -> None:
        self._request = request
        self._tell = listener
        self._interrupt = interrupt
        self._began = time.monotonic()
        self._opened: Opened
        self._position, self._total = 0, 0
        self._round_s: float | None = None
        self._left_rounds = 0
        self._cut: str | None = None

    def run(self, opened: Opened) -> AbMeasured:
        """Screen, confirm, and write both files; Ctrl-C and a full disk keep what there is."""
        self._opened = opened
        stem, stations = opened.stem, opened.stations
        try:
            self._screen_and_confirm()
        except Stopped:
            self._cut = INTERRUPTED
        except AttnbenchError:
            for station in stations.values():
                with suppress(OutputError):
                    station.finish()
            raise
        self._write_not_run()
        for station in stations.values():
            station.finish()
        measured = AbMeasured(
            stem=stem,
            results=(result_of(stem, BASE), result_of(stem, NEW)),
            seconds=time.monotonic() - self._began,
            rule=opened.rule,
            rule_source=opened.rule_source,
            cut=self._cut,
        )
        self._tell(measured)
        return measured

    def say_stopping(self) -> None:
        """Answer the first Ctrl-C."""
        text, hint = "finishing the running case, then stopping", "Ctrl-C again stops at once"
        self._tell(Remark(text=text, hint=hint))

    def _screen_and_confirm(self) -> None:
        request = self._request
        if not self._rounds(SCREEN, self._opened.duels, 0, request.rounds):
            return
        suspects = self._suspects()
        rounds = self._confirm_rounds(len(suspects))
        self._tell(Screened(suspects=tuple(one.pair for one in suspects), rounds=rounds))
        if suspects:
            self._rounds(CONFIRM, suspects, request.rounds, rounds)

    def _rounds(self, stage: str, duels: Sequence[CasePair], first: int, count: int) -> bool:
        """Measure so many rounds; return whether all of them were reached or time alone is out."""
        share = _FOR_SCREENING if stage == SCREEN else 1.0
        for number in range(first, first + count):
            alive = [duel for duel in duels if self._is_alive(duel)]
            waiting = list(duels) if number == 0 else alive
            if not waiting:
                return True
            if self._is_spent(share):
                if stage == SCREEN or number - first < FEWEST_ROUNDS:
                    self._cut = f"the budget of {self._request.budget_s:g} s was spent"
                return True
            began = time.monotonic()
            self._left_rounds = first + count - number - 1
            self._total = self._position + 2 * len(waiting) * (self._left_rounds + 1)
            for role in ROLES if number % 2 == 0 else ROLES[::-1]:
                told = SideStarted(stage=stage, round=number - first + 1, rounds=count, role=role)
                self._tell(told)
                if not self._process(role, waiting, number):
                    return False
            self._round_s = time.monotonic() - began
            self._tell(
                RoundFinished(
                    stage=stage,
                    round=number - first + 1,
                    rounds=count,
                    seconds=self._round_s,
                    seconds_left=self._seconds_left(),
                )
            )
        return True

    def _process(self, role: str, duels: list[CasePair], number: int) -> bool:
        """One side of a round, in a fresh process; return whether to go on."""
        station = self._opened.stations[role]
        by_case = {one.of(BASE): one for one in duels}
        if self._is_stopped():
            return False
        try:
            station.process_begins(number)
            # The base's cases give the order, which is then the same for both sides.
            for planned in shuffled(by_case, self._request.seed, number):
                duel = by_case[planned]
                if self._is_stopped():
                    return False
                self._position += 1
                if self._wants(duel, role, number):
                    self._one(station, duel.of(role), number)
            if number == 0:
                station.refuse_strays()
            station.process_ends(number)
        finally:
            if station.crew.is_open:
                station.crew.dismiss()
        return True

    def _is_stopped(self) -> bool:
        if not self._interrupt.heard():
            return False
        self._cut = INTERRUPTED
        return True

    def _wants(self, duel: CasePair, role: str, number: int) -> bool:
        """The first round measures whatever runs; later ones what can still become a pair."""
        planned, station = duel.of(role), self._opened.stations[role]
        if planned.status != RUN or planned in station.lost:
            return False
        return number == 0 or self._is_alive(duel)

    def _one(self, station: SideSession, planned: PlannedCase, number: int) -> None:
        method, position, total = planned.method, self._position, self._total
        self._tell(
            CaseStarted(
                case=planned.case, method=method, process=number, position=position, total=total
            )
        )
        measurement = station.walker.measure(planned, number)
        self._tell(
            CaseFinished(
                measurement=measurement,
                method=method,
                summary=station.record(measurement, planned),
                position=position,
                total=total,
                seconds_left=self._seconds_left(),
            )
        )

    def _is_alive(self, duel: CasePair) -> bool:
        return duel.runs and not any(
            duel.of(role) in self._opened.stations[role].lost for role in ROLES
        )

    def _suspects(self) -> list[CasePair]:
        """What may be slower by the first rounds."""
        if not self._opened.duels:
            return []
        rounds = np.full((len(self._opened.duels), self._request.rounds), np.nan)
        for row, duel in enumerate(self._opened.duels):
            if self._is_alive(duel):
                base, new = (
                    self._opened.stations[role].log.get(duel.of(role), {}) for role in ROLES
                )
                for number in base.keys() & new.keys():
                    rounds[row, number] = new[number] - base[number]
        limits = np.array(
            [self._opened.rule.limit_for(case_fields(one.pair.new)) for one in self._opened.duels]
        )
        flags = screen(rounds, limits).suspects
        return [duel for duel, is_one in zip(self._opened.duels, flags, strict=True) if is_one]

    def _confirm_rounds(self, suspects: int) -> int:
        """How many fresh rounds the suspects get: as asked, as time allows, or by their number.

        Never fewer than the screening had, so that what it could have seen is found again.
        """
        request = self._request
        if not suspects:
            return 0
        if request.confirm is not None:
            return request.confirm
        if request.budget_s is not None:
            return MOST_ROUNDS  # or until the time is spent
        return max(request.rounds, confirm_rounds(suspects, _CASE_ROUNDS * len(self._opened.duels)))

    def _is_spent(self, share: float) -> bool:
        """Whether another round would go past this share of the budget."""
        budget = self._request.budget_s
        if budget is None:
            return False
        spent = time.monotonic() - self._began + (self._round_s or 0.0)
        return spent > (share if self._round_s is not None else 1.0) * budget

    def _write_not_run(self) -> None:
        """One row for every case that was never reached."""
        for station in self._opened.stations.values():
            for planned in station.plan.of_status(RUN):
                if not station.ledger.is_known(planned):
                    station.rule_out(planned, "not_run", self._cut or "not reached")

    def _seconds_left(self) -> float | None:
        if self._round_s is None:
            return None
        left, budget = self._round_s * self._left_rounds, self._request.budget_s
        spent = time.monotonic() - self._began
        return left if budget is None else min(left, max(0.0, budget - spent))

    def beat(self, stage: str) -> None:
        """Say what a worker does, now and then."""
        self._tell(
            Beat(
                doing=stage,
                position=self._position,
                total=self._total,
                elapsed_s=time.monotonic() - self._began,
                seconds_left=self._seconds_left(),
            )
        )
