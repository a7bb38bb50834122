"""The progress of ``ab``: a line for each round and, on a terminal, a redrawn bar below."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

from attnbench.cli.rows import failure, row_style
from attnbench.cli.run_view import HEARTBEAT_S, Footer, bar_text, footer_line
from attnbench.environment import device_text, stack_text
from attnbench.execute.ab.request import result_of, ruling_of
from attnbench.execute.ab.sides import ROLES
from attnbench.execute.events import (
    CONFIRM,
    AbEvent,
    AbStarted,
    Beat,
    CaseFinished,
    CaseStarted,
    Remark,
    RoundFinished,
    Screened,
    SelfTested,
    SideStarted,
)
from attnbench.render.run_table import distrust_lines
from attnbench.render.screen import Screen
from attnbench.render.values import about, elapsed_text, left, shown_path
from attnbench.units import counted, duration_text

_ALMOST = 0.98
_SUSPECTS_SHOWN = 5


@dataclass
class AbView:
    """Listens to ``ab`` and writes progress; only the ruling is data."""

    screen: Screen
    title: str
    now: Callable[[], float] = time.monotonic
    clock: Callable[[], str] = lambda: time.strftime("%H:%M:%S")
    _footer: Footer | None = None
    _began: float = 0.0
    _printed: float = 0.0
    _order: tuple[str, ...] = ()
    _stage: str = ""
    _doing: str = ""
    _case: str = ""
    _place: tuple[int, int] = (0, 0)
    _left: float | None = None

    def __enter__(self) -> Self:
        self._began = self._printed = self.now()
        self.screen.line(self.title)
        if self.screen.live:
            self._footer = Footer(self.screen, self.now)
        return self

    def __exit__(self, *_: object) -> None:
        if self._footer is not None:
            self._footer.stop()
        self._footer = None

    def __call__(self, event: AbEvent) -> None:
        """Show one event."""
        match event:
            case AbStarted():
                for line in opening_lines(event):
                    self._line(line, stamped=False)
            case SideStarted():
                stage = f"{_round_word(event)} {event.round} of {event.rounds}"
                same = stage == self._stage
                self._order = (*self._order, event.role) if same else (event.role,)
                self._stage, self._case, self._doing = stage, "", ""
            case RoundFinished():
                self._left = event.seconds_left
                self._line(self._round(event))
            case Screened():
                for line in screening_lines(event):
                    self._line(line)
            case Remark() | SelfTested():
                for line, style in _remark_lines(event):
                    self._line(line, style, stamped=False)
            case CaseStarted() | CaseFinished() | Beat():
                self._progress(event)
        self._show_alive()

    def _progress(self, event: CaseStarted | CaseFinished | Beat) -> None:
        """Remember what is being measured; print a case that is not ok at once."""
        match event:
            case CaseStarted():
                self._case, self._doing = event.case.label, ""
                self._place = (event.position, event.total)
            case CaseFinished():
                self._place, self._case = (event.position, event.total), ""
                measured = event.measurement
                if measured.status != "ok":
                    role = self._order[-1] if self._order else ""
                    self._line(f"{role}  {failure(measured)}".strip(), row_style(measured))
            case Beat():
                self._doing = event.doing

    def _line(self, text: str, style: str = "", *, stamped: bool = True) -> None:
        """Print a line; off a terminal it begins with the time of day."""
        prefix = "" if self.screen.live or not stamped else f"{self.clock()}  "
        self._printed = self.now()
        self.screen.line(f"{prefix}{text}", style)

    def _round(self, event: RoundFinished) -> str:
        width = len(str(event.rounds))
        order = " then ".join(self._order)
        which = f"{_round_word(event)} {event.round:>{width}} of {event.rounds}"
        words = (which, f"{order:<13}", f"{duration_text(event.seconds):>8}")
        return "  ".join(part for part in (*words, left(event.seconds_left)) if part).rstrip()

    def _show_alive(self) -> None:
        """Redraw the bar on a terminal, or print a heartbeat to a log."""
        if self._footer is not None:
            self._footer.redraw(self.footer)
        elif self.now() - self._printed >= HEARTBEAT_S:
            position, total = self._place
            where = f"{self._stage}, case {position} of {total}" if total else "opening the sides"
            self._line(f"heartbeat  {where}")

    def footer(self) -> Iterator[str]:
        """Yield the lines that are redrawn: the bar, and the current case."""
        position, total = self._place
        elapsed = f"{elapsed_text(self.now() - self._began)} elapsed"
        if not total:
            yield footer_line(f" {elapsed}", self._doing)
            return
        bar = bar_text(min(position / total, _ALMOST))
        yield footer_line(f" {bar}  {self._stage}", elapsed, left(self._left))
        role = self._order[-1] if self._order else ""
        yield footer_line(f" now  {role}", self._case, self._doing)


def opening_lines(started: AbStarted) -> Iterator[str]:
    """Say which sides are measured, on what, for how long, and where the files will be."""
    for role, words, commit in zip(ROLES, started.words, started.commits, strict=True):
        yield f"{role:<7} {words}" + (f"  {commit[:12]}" if commit else "")
    base, new = started.environments
    yield f"device  {device_text(base)}"
    if stack_text(base) == stack_text(new):
        yield f"stack   {stack_text(base)}"
    else:
        yield f"stack   base {stack_text(base)}"
        yield f"        new  {stack_text(new)}"
    rounds = f"{counted(started.rounds, 'round')} of all cases, then fresh rounds of suspects"
    yield f"plan    {counted(started.pairs, 'pair')}, {rounds}"
    yield f"        {about(started.seconds)} for the rounds of all cases"
    if started.ruled_out:
        yield f"        {counted(started.ruled_out, 'pair')} cannot be measured on both sides"
    files = [*(result_of(started.stem, role) for role in ROLES), ruling_of(started.stem)]
    yield f"out     {', '.join(shown_path(path) for path in files)}"


def screening_lines(event: Screened) -> Iterator[str]:
    """Say which cases may be slower, and how that will be confirmed."""
    if not event.suspects:
        yield "screening found no likely slowdowns"
        return
    count = counted(len(event.suspects), "case")
    rounds = counted(event.rounds, "fresh round")
    yield f"screening: {count} may be slower; {rounds} will confirm or clear"
    yield from (f"  suspect  {pair.label}" for pair in event.suspects[:_SUSPECTS_SHOWN])
    if (more := len(event.suspects) - _SUSPECTS_SHOWN) > 0:
        yield f"  and {more:,} more"


def _remark_lines(event: Remark | SelfTested) -> Iterator[tuple[str, str]]:
    """Yield remarks with their style; of self-tests only the grave failures."""
    if isinstance(event, SelfTested):
        yield from ((line, "red") for line in distrust_lines(event.grave))
        return
    yield f"note: {event.text}", "yellow"
    if event.hint:
        yield f"  {event.hint}", ""


def _round_word(event: SideStarted | RoundFinished) -> str:
    return "fresh round" if event.stage == CONFIRM else "round"
