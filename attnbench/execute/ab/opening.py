"""Before the first round: both sides found and opened, their cases paired, their files begun."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnbench.errors import NotComparable
from attnbench.execute.ab.events import AbListener, AbStarted
from attnbench.execute.ab.pairs import Pair, paired
from attnbench.execute.ab.request import AbRequest, refuse_taken, result_of
from attnbench.execute.ab.sides import BASE, NEW, ROLES, Side, resolve
from attnbench.execute.ab.station import SideSession, open_station
from attnbench.execute.errand import Stopped
from attnbench.execute.events import Remark
from attnbench.execute.interrupt import Interrupt
from attnbench.planning.plan import RUN, PlannedCase
from attnbench.suite import Gate


@dataclass(frozen=True, slots=True)
class CasePair:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Two sides that are ready to measure; ``stem`` is what their files' names begin with."""

    stations: Mapping[str, SideSession]
    duels: tuple[CasePair, ...]
    rule: Gate
    rule_source: str
    stem: Path


def open_sides(
    request: AbRequest,
    tell: AbListener,
    interrupt: Interrupt,
    on_beat: Callable[[str], None],
    stack: ExitStack,
) -> Opened:
    """Resolve both sides, open them one after the other, and begin their files.

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
        # Said before anything is asked of a device.
        refuse_taken(request.out or request.folder / str(request.name), ROLES)
    for remark in remarks:
        tell(Remark(text=remark))
    stations: dict[str, SideSession] = {}
    for side in (base, new):
        if interrupt.asked:
            raise Stopped
        cases = [pair.base if side is base else pair.new for pair in pairs]
        tell(Remark(text=f"{side.role}: opening {side.words}"))
        stations[side.role] = open_station(side, cases, request.device, interrupt, on_beat)
        stack.callback(stations[side.role].close)
    if interrupt.asked:
        raise Stopped
    _require_one_device(stations)
    stem = request.stem(new.suite, stations[BASE].ground.environment.device)
    refuse_taken(stem, ROLES)
    opened = Opened(
        stations=stations,
        duels=_duels(pairs, stations),
        rule=rule,
        rule_source=rule_source,
        stem=stem,
    )
    _begin_files(request, opened, pairs, tell)
    tell(_started(request, opened, (base, new)))
    return opened


def _require_one_device(stations: Mapping[str, SideSession]) -> None:
    one, other = (stations[role].ground.environment.device for role in ROLES)
    if one.id != other.id:
        raise NotComparable(
            f"the sides open different devices: {one.name} and {other.name}",
            hint="name one that both have: --device cpu",
        )


def _duels(pairs: Sequence[Pair], stations: Mapping[str, SideSession]) -> tuple[CasePair, ...]:
    """Each pair under each of its methods, which the problem alone chooses."""
    plans: dict[str, dict[str, list[PlannedCase]]] = {role: {} for role in ROLES}
    for role in ROLES:
        for planned in stations[role].plan.planned:
            plans[role].setdefault(planned.case.id, []).append(planned)
    return tuple(
        CasePair(pair, old, new)
        for pair in pairs
        for old, new in zip(plans[BASE][pair.base.id], plans[NEW][pair.new.id], strict=True)
    )


def _begin_files(
    request: AbRequest, opened: Opened, pairs: Sequence[Pair], tell: AbListener
) -> None:
    run_id = uuid.uuid4().hex[:12]
    header: dict[str, Any] = {
        **{role: opened.stations[role].side.words for role in ROLES},
        "screen_rounds": request.rounds,
        "max_slowdown": request.max_slowdown,
        "pairs": [[pair.base.id, pair.new.id] for pair in pairs],
    }
    for role in ROLES:
        out = result_of(opened.stem, role)
        opened.stations[role].write(out, request, run_id, {"side": role, **header}, tell)


def _started(request: AbRequest, opened: Opened, sides: tuple[Side, Side]) -> AbStarted:
    running = [duel for duel in opened.duels if duel.runs]
    round_s = sum(station.start_s for station in opened.stations.values())
    round_s += sum(duel.base.predicted_s + duel.new.predicted_s for duel in running)
    one, other = (opened.stations[role].environment for role in ROLES)
    return AbStarted(
        stem=opened.stem,
        words=(sides[0].words, sides[1].words),
        commits=(sides[0].commit, sides[1].commit),
        environments=(one, other),
        pairs=len(running),
        ruled_out=len(opened.duels) - len(running),
        rounds=request.rounds,
        seconds=request.rounds * round_s,
    )
