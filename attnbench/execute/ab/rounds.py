"""Two sides by turns: rounds of fresh processes on all pairs, then fresh rounds on the suspects.

A round is one launch of each side, adjacent in time, in one order of cases; which side goes first
flips each round, so that a drift of the machine falls on both alike. The first rounds screen. What
may be slower then gets rounds of its own, numbered on from those of the screening, and is judged by
these alone (``attnbench.stats.decision``).
"""

from __future__ import annotations

import time
import uuid
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attnbench.errors import Interrupted, NotComparable, OutputError
from attnbench.execute.ab.events import (
    CONFIRM,
    INTERRUPTED,
    SCREEN,
    AbListener,
    AbMeasured,
    AbStarted,
    RoundFinished,
    Screened,
    SideStarted,
)
from attnbench.execute.ab.pairs import Pair, paired
from attnbench.execute.ab.request import AbRequest, refuse_taken, result_of
from attnbench.execute.ab.sides import BASE, NEW, ROLES, resolve
from attnbench.execute.ab.station import Station, open_station
from attnbench.execute.errand import Stopped
from attnbench.execute.events import Beat, CaseFinished, CaseStarted, Remark
from attnbench.execute.interrupt import Interrupt
from attnbench.execute.launch import shuffled
from attnbench.execute.plan import RUN, PlannedCase
from attnbench.selection import case_fields
from attnbench.stats.decision import MOST_ROUNDS, confirm_rounds, screen
from attnbench.suite import Gate

_CASE_ROUNDS = 2  # a case, that suspects may have in all where neither rounds nor time are named
_FOR_SCREENING = 0.75  # of a budget; what is left is for the suspects


@dataclass(frozen=True, slots=True)
class Duel:
    """One pair under one method, as each side plans it."""

    pair: Pair
    base: PlannedCase
    new: PlannedCase

    def of(self, role: str) -> PlannedCase:
        """One side's."""
        return self.base if role == BASE else self.new

    @property
    def runs(self) -> bool:
        """Whether both sides can measure it."""
        return self.base.status == self.new.status == RUN


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
            rounds.prepare(stack)
        except Stopped:
            raise Interrupted("stopped before anything was measured") from None
        return rounds.run()


class _Rounds:
    """One ``ab`` under way."""

    def __init__(self, request: AbRequest, listener: AbListener, interrupt: Interrupt) -> None:
        self._request = request
        self._tell = listener
        self._interrupt = interrupt
        self._began = time.monotonic()
        self._stations: dict[str, Station] = {}
        self._duels: list[Duel] = []
        self._rule, self._rule_source = Gate(), ""
        self._stem = Path()
        self._position, self._total = 0, 0
        self._round_s: float | None = None
        self._left_rounds = 0
        self._cut: str | None = None

    def prepare(self, stack: ExitStack) -> None:
        """Resolve both sides, open them one after the other, and begin their files."""
        request, asked = self._request, self._request.asked
        base, new = (
            resolve(word, role, asked, stack)
            for word, role in zip((request.base, request.new), ROLES, strict=True)
        )
        self._rule, self._rule_source = request.rule(new.suite)
        pairs, remarks = paired(base, new)
        pairs = request.selected(pairs, (base.suite, new.suite))
        if request.out is not None or request.name is not None:
            self._take(request.out or request.folder / str(request.name))
        for remark in remarks:
            self._tell(Remark(text=remark))
        for side in (base, new):
            cases = [pair.base if side is base else pair.new for pair in pairs]
            self._tell(Remark(text=f"{side.role}: opening {side.words}"))
            station = open_station(side, cases, request.device, self._interrupt, self._beat)
            stack.callback(station.close)
            self._stations[side.role] = station
            self._heed()
        self._require_one_device()
        self._duels = self._matched(pairs)
        device = self._stations[BASE].ground.environment.device
        self._take(request.stem(new.suite, device))
        self._begin_files(pairs)

    def run(self) -> AbMeasured:
        """Screen, confirm, and write both files; Ctrl-C and a full disk keep what there is."""
        try:
            self._screen_and_confirm()
        except Stopped:
            self._cut = INTERRUPTED
        except OutputError:
            for station in self._stations.values():
                with suppress(OutputError):
                    station.finish()
            raise
        self._write_not_run()
        for station in self._stations.values():
            station.finish()
        measured = AbMeasured(
            stem=self._stem,
            results=(result_of(self._stem, BASE), result_of(self._stem, NEW)),
            seconds=time.monotonic() - self._began,
            rule=self._rule,
            rule_source=self._rule_source,
            cut=self._cut,
        )
        self._tell(measured)
        return measured

    def say_stopping(self) -> None:
        """Answer the first Ctrl-C."""
        text, hint = "finishing the running case, then stopping", "Ctrl-C again stops at once"
        self._tell(Remark(text=text, hint=hint))

    def _take(self, stem: Path) -> None:
        """Refuse a name that is taken before anything is asked of a device."""
        self._stem = stem
        refuse_taken(stem, ROLES)

    def _heed(self) -> None:
        if self._interrupt.asked:
            raise Stopped

    def _require_one_device(self) -> None:
        one, other = (self._stations[role].ground.environment.device for role in ROLES)
        if one.id != other.id:
            raise NotComparable(
                f"the sides open different devices: {one.name} and {other.name}",
                hint="name one that both have: --device cpu",
            )

    def _matched(self, pairs: tuple[Pair, ...]) -> list[Duel]:
        """Each pair under each of its methods, which the problem alone chooses."""
        plans: dict[str, dict[str, list[PlannedCase]]] = {}
        for role in ROLES:
            plans[role] = {}
            for planned in self._stations[role].plan.planned:
                plans[role].setdefault(planned.case.id, []).append(planned)
        return [
            Duel(pair, old, new)
            for pair in pairs
            for old, new in zip(plans[BASE][pair.base.id], plans[NEW][pair.new.id], strict=True)
        ]

    def _begin_files(self, pairs: tuple[Pair, ...]) -> None:
        request, sides = self._request, [self._stations[role].side for role in ROLES]
        run_id = uuid.uuid4().hex[:12]
        header: dict[str, Any] = {
            "base": sides[0].words,
            "new": sides[1].words,
            "screen_rounds": request.rounds,
            "max_slowdown": request.max_slowdown,
            "pairs": [[pair.base.id, pair.new.id] for pair in pairs],
        }
        for role in ROLES:
            station = self._stations[role]
            station.write(result_of(self._stem, role), request, run_id, {"side": role, **header})
        running = [duel for duel in self._duels if duel.runs]
        round_s = sum(station.start_s for station in self._stations.values())
        round_s += sum(duel.base.predicted_s + duel.new.predicted_s for duel in running)
        self._tell(
            AbStarted(
                stem=self._stem,
                words=(sides[0].words, sides[1].words),
                commits=(sides[0].commit, sides[1].commit),
                environments=(self._stations[BASE].environment, self._stations[NEW].environment),
                pairs=len(running),
                ruled_out=len(self._duels) - len(running),
                rounds=request.rounds,
                seconds=request.rounds * round_s,
            )
        )

    def _screen_and_confirm(self) -> None:
        request = self._request
        if not self._rounds(SCREEN, self._duels, 0, request.rounds):
            return
        suspects = self._suspects()
        rounds = self._confirm_rounds(len(suspects))
        self._tell(Screened(suspects=tuple(one.pair for one in suspects), rounds=rounds))
        if suspects:
            self._rounds(CONFIRM, suspects, request.rounds, rounds)

    def _rounds(self, stage: str, duels: list[Duel], first: int, count: int) -> bool:
        """Measure so many rounds; return whether all of them were reached or time alone is out."""
        share = _FOR_SCREENING if stage == SCREEN else 1.0
        for number in range(first, first + count):
            alive = [duel for duel in duels if self._is_alive(duel)]
            waiting = duels if number == 0 else alive
            if not waiting or self._is_spent(share):
                return True
            began = time.monotonic()
            self._left_rounds = first + count - number - 1
            self._total = self._position + 2 * len(waiting) * (self._left_rounds + 1)
            for role in ROLES if number % 2 == 0 else ROLES[::-1]:
                told = SideStarted(stage=stage, round=number - first + 1, rounds=count, role=role)
                self._tell(told)
                if not self._launch(role, waiting, number):
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

    def _launch(self, role: str, duels: list[Duel], number: int) -> bool:
        """One side of a round, in a fresh process; return whether to go on."""
        station = self._stations[role]
        by_case = {one.of(BASE): one for one in duels}
        try:
            # The base's cases give the order, which is then the same for both sides.
            for planned in shuffled(by_case, self._request.seed, number):
                duel = by_case[planned]
                if self._interrupt.asked:
                    self._cut = INTERRUPTED
                    return False
                self._position += 1
                if self._wants(duel, role, number):
                    self._one(station, duel.of(role), number)
            if number == 0:
                station.refuse_strays()
        finally:
            if station.crew.is_open:
                station.crew.dismiss()
        return True

    def _wants(self, duel: Duel, role: str, number: int) -> bool:
        """The first round measures whatever runs; later ones what can still become a pair."""
        planned, station = duel.of(role), self._stations[role]
        if planned.status != RUN or planned in station.lost:
            return False
        return number == 0 or self._is_alive(duel)

    def _one(self, station: Station, planned: PlannedCase, number: int) -> None:
        method, position, total = planned.method, self._position, self._total
        self._tell(
            CaseStarted(
                case=planned.case, method=method, launch=number, position=position, total=total
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

    def _is_alive(self, duel: Duel) -> bool:
        return duel.runs and not any(duel.of(role) in self._stations[role].lost for role in ROLES)

    def _suspects(self) -> list[Duel]:
        """What may be slower by the first rounds."""
        if not self._duels:
            return []
        rounds = np.full((len(self._duels), self._request.rounds), np.nan)
        for row, duel in enumerate(self._duels):
            if self._is_alive(duel):
                base, new = (self._stations[role].log.get(duel.of(role), {}) for role in ROLES)
                for number in base.keys() & new.keys():
                    rounds[row, number] = new[number] - base[number]
        limits = np.array([self._rule.limit_for(case_fields(one.pair.new)) for one in self._duels])
        flags = screen(rounds, limits).suspects
        return [duel for duel, is_one in zip(self._duels, flags, strict=True) if is_one]

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
        return max(request.rounds, confirm_rounds(suspects, _CASE_ROUNDS * len(self._duels)))

    def _is_spent(self, share: float) -> bool:
        """Whether another round would go past this share of the budget."""
        budget = self._request.budget_s
        if budget is None:
            return False
        spent = time.monotonic() - self._began + (self._round_s or 0.0)
        if spent <= share * budget:
            return False
        if self._round_s is None and spent <= budget:
            return False
        self._cut = f"the budget of {budget:g} s was spent"
        return True

    def _write_not_run(self) -> None:
        """One row for every case that was never reached."""
        for station in self._stations.values():
            for planned in station.plan.of_status(RUN):
                if not station.ledger.is_known(planned):
                    station.rule_out(planned, "not_run", self._cut or "not reached")

    def _seconds_left(self) -> float | None:
        return None if self._round_s is None else self._round_s * self._left_rounds

    def _beat(self, stage: str) -> None:
        self._tell(
            Beat(
                doing=stage,
                position=self._position,
                total=self._total,
                elapsed_s=time.monotonic() - self._began,
                seconds_left=self._seconds_left(),
            )
        )
