"""Two sides being measured: a line for each round, and on a terminal a bar below that is redrawn.

As for a run, nothing is redrawn by a clock of its own, because a redraw would be measured with a
CPU case.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.text import Text

from attnbench.cli.plain import HEARTBEAT_S
from attnbench.cli.rows import failure, row_style
from attnbench.cli.screen import Screen
from attnbench.cli.summary import (
    counted,
    device_text,
    distrust_lines,
    shown_path,
    stack_text,
)
from attnbench.cli.tally import about, elapsed_text, left
from attnbench.execute.events import (
    CONFIRM,
    AbEvent,
    AbStarted,
    RoundFinished,
    Screened,
    SideStarted,
)
from attnbench.execute.ab.request import result_of, ruling_of
from attnbench.execute.ab.sides import ROLES
from attnbench.execute.events import Beat, CaseFinished, CaseStarted, Remark, SelfTested
from attnbench.units import duration_text

if TYPE_CHECKING:
    from rich.live import Live

_REDRAW_S = 1.0
_BAR_WIDTH = 38
_SUSPECTS_SHOWN = 5


@dataclass
class AbView:
    """Listens to ``ab``; what it writes is talk, and the ruling alone is data."""

    screen: Screen
    title: str
    now: Callable[[], float] = time.monotonic
    clock: Callable[[], str] = lambda: time.strftime("%H:%M:%S")
    _live: Live | None = None
    _began: float = 0.0
    _drawn: float = float("-inf")
    _said: float = 0.0
    _order: tuple[str, ...] = ()
    _stage: str = ""
    _doing: str = ""
    _case: str = ""
    _place: tuple[int, int] = (0, 0)
    _left: float | None = None

    def __enter__(self) -> Self:
        self._began = self._said = self.now()
        self.screen.line(self.title)
        if self.screen.live:
            from rich.live import Live

            self._live = Live(console=self.screen.console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
        self._live = None

    def __call__(self, event: AbEvent) -> None:
        """Show one event."""
        match event:
            case AbStarted():
                for line in opening(event):
                    self._line(line, stamped=False)
            case SideStarted():
                self._side(event)
            case RoundFinished():
                self._left = event.seconds_left
                self._line(self._round(event))
            case Screened():
                for line in suspicion(event):
                    self._line(line)
            case Remark() | SelfTested():
                for line, style in notices(event):
                    self._line(line, style, stamped=False)
            case CaseStarted() | CaseFinished() | Beat():
                self._at_work(event)
        self._breathe()

    def _at_work(self, event: CaseStarted | CaseFinished | Beat) -> None:
        """Remember what is being measured; a case that is not ok is told at once."""
        match event:
            case CaseStarted():
                self._case, self._doing = event.case.label, ""
                self._place = (event.position, event.total)
            case CaseFinished():
                self._finished(event)
            case Beat():
                self._doing = event.doing

    def _line(self, text: str, style: str = "", *, stamped: bool = True) -> None:
        """Print a line; off a terminal it begins with the time of day."""
        prefix = "" if self.screen.live or not stamped else f"{self.clock()}  "
        self._said = self.now()
        self.screen.line(f"{prefix}{text}", style)

    def _side(self, event: SideStarted) -> None:
        fresh = "fresh round" if event.stage == CONFIRM else "round"
        stage = f"{fresh} {event.round} of {event.rounds}"
        self._order = (*self._order, event.role) if stage == self._stage else (event.role,)
        self._stage, self._case, self._doing = stage, "", ""

    def _round(self, event: RoundFinished) -> str:
        width = len(str(event.rounds))
        fresh = "fresh round" if event.stage == CONFIRM else "round"
        order = " then ".join(self._order)
        took = duration_text(event.seconds)
        words = (f"{fresh} {event.round:>{width}} of {event.rounds}", f"{order:<13}", f"{took:>8}")
        return "  ".join(filter(None, (*words, left(event.seconds_left)))).rstrip()

    def _finished(self, event: CaseFinished) -> None:
        self._place, self._case = (event.position, event.total), ""
        measured = event.measurement
        if measured.status != "ok":
            role = self._order[-1] if self._order else ""
            self._line(f"{role}  {failure(measured)}".strip(), row_style(measured))

    def _breathe(self) -> None:
        """Redraw the bar on a terminal, or show a log that somebody is alive."""
        if self._live is not None:
            if self.now() - self._drawn >= _REDRAW_S:
                self._drawn = self.now()
                lines = [
                    Text(self.screen.spell(line), no_wrap=True, overflow="ellipsis")
                    for line in self.footer()
                ]
                self._live.update(Group(*lines), refresh=True)
        elif self.now() - self._said >= HEARTBEAT_S:
            position, total = self._place
            where = f"{self._stage}, case {position} of {total}" if total else "opening the sides"
            self._line(f"heartbeat  {where}")

    def footer(self) -> Iterator[str]:
        """The lines that are redrawn: the bar, and what runs now."""
        position, total = self._place
        elapsed = f"{elapsed_text(self.now() - self._began)} elapsed"
        if not total:
            yield "   ".join(filter(None, (f" {elapsed}", self._doing)))
            return
        filled = round(_BAR_WIDTH * min(position / total, 0.98))
        bar = "━" * filled + "─" * (_BAR_WIDTH - filled)
        yield "   ".join(filter(None, (f" {bar}  {self._stage}", elapsed, left(self._left))))
        role = self._order[-1] if self._order else ""
        yield "   ".join(filter(None, (f" now  {role}", self._case, self._doing)))


def opening(started: AbStarted) -> Iterator[str]:
    """Say which sides, on what, for how long, and where the files will be."""
    for role, words, commit in zip(ROLES, started.words, started.commits, strict=True):
        yield f"{role:<7} {words}" + (f"  {commit[:12]}" if commit else "")
    base, new = started.environments
    yield f"device  {device_text(base)}"
    if stack_text(base) == stack_text(new):
        yield f"stack   {stack_text(base)}"
    else:
        yield f"stack   base {stack_text(base)}"
        yield f"        new  {stack_text(new)}"
    rounds = f"{counted(started.rounds, 'round')} of all, then fresh ones of suspects"
    yield f"plan    {counted(started.pairs, 'pair')}, {rounds}"
    yield f"        {about(started.seconds)} for the first"
    if started.ruled_out:
        yield f"        {counted(started.ruled_out, 'pair')} cannot be measured on both sides"
    files = [*(result_of(started.stem, role) for role in ROLES), ruling_of(started.stem)]
    yield f"out     {', '.join(shown_path(path) for path in files)}"


def notices(event: Remark | SelfTested) -> Iterator[tuple[str, str]]:
    """What is to be known, line by line with its style; of self-tests only what failed gravely."""
    if isinstance(event, SelfTested):
        yield from ((line, "red") for line in distrust_lines(event.grave))
        return
    yield f"note: {event.text}", "yellow"
    if event.hint:
        yield f"  {event.hint}", ""


def suspicion(event: Screened) -> Iterator[str]:
    """Say what may be slower, and how it will be found out."""
    if not event.suspects:
        yield "screened: nothing may be slower"
        return
    count = counted(len(event.suspects), "case")
    yield f"screened: {count} may be slower; {counted(event.rounds, 'fresh round')} will tell"
    yield from (f"  suspect  {pair.label}" for pair in event.suspects[:_SUSPECTS_SHOWN])
    if (more := len(event.suspects) - _SUSPECTS_SHOWN) > 0:
        yield f"  and {more:,} more"
