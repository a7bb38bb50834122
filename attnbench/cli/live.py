"""A run on a terminal: rows that scroll above a bar with the time left.

Nothing is redrawn by a clock of its own: while a case samples on a CPU, a redraw would be measured
with it. What is redrawn is redrawn when an event comes, at most once a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.text import Text

from attnbench.cli import summary
from attnbench.cli.rows import RowLayout, case_line, row_style
from attnbench.cli.screen import Screen
from attnbench.cli.summary import Shown
from attnbench.cli.tally import Tally, elapsed_text, left
from attnbench.execute.events import (
    Beat,
    CaseFinished,
    CaseStarted,
    Event,
    ProcessStarted,
    Remark,
    RunFinished,
    RunStarted,
    SelfTested,
)
from attnbench.measurement import STATUSES

if TYPE_CHECKING:
    from rich.live import Live

_REDRAW_S = 1.0
_BAR_WIDTH = 38
_SHOWN_STATUSES = tuple(status for status in STATUSES if status not in ("skipped", "unsupported"))


@dataclass
class LiveView:
    """Rows that scroll above a bar with the time left, a line of now, and the counts so far."""

    screen: Screen
    shown: Shown
    now: Callable[[], float] = time.monotonic
    tally: Tally = field(default_factory=Tally)
    _columns: RowLayout | None = None
    _live: Live | None = None
    _began: float = 0.0
    _drawn: float = float("-inf")
    _case: CaseStarted | None = None
    _doing: str = ""
    _place: tuple[int, int] = (0, 0)
    _left: float | None = None

    def __enter__(self) -> Self:
        from rich.live import Live

        self._began = self.now()
        for line in summary.title(self.shown):
            self.screen.line(line)
        self._live = Live(console=self.screen.console, auto_refresh=False, transient=True)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case RunStarted():
                self._start(event)
            case SelfTested():
                self._say(summary.distrust_lines(event.grave), "red")
            case ProcessStarted():
                self.screen.line(f"process {event.process + 1} of {event.processes}", "dim")
            case CaseStarted():
                self._case, self._doing = event, ""
                self._place = (event.position - 1, event.total)
                self._redraw()
            case CaseFinished():
                self._finished(event)
            case Beat():
                self._doing, self._left = event.doing, event.seconds_left
                self._redraw()
            case Remark():
                self._say([f"note: {event.text}"], "yellow")
                self._say([f"  {event.hint}"] if event.hint else [])
            case RunFinished():
                self._stop()
                self._say(summary.closing(event, self.tally, self.shown.words))

    def _say(self, lines: Iterable[str], style: str = "") -> None:
        for line in lines:
            self.screen.line(line, style)

    def _start(self, event: RunStarted) -> None:
        self._columns = summary.rows_layout(event.plan, self.screen.width - 2)
        for line in summary.opening(event):
            self.screen.line(line)
        self.screen.line()
        if self._columns.in_common:
            self.screen.line(self._columns.in_common, "bold")
        self.screen.line(f"  {self._columns.header}", "dim")
        self._left = None  # what a pilot said of itself

    def _finished(self, event: CaseFinished) -> None:
        self.tally.add(event)
        self._place, self._left = (event.position, event.total), event.seconds_left
        self._case = None
        self.screen.line(f"  {case_line(event, self._columns)}", row_style(event.measurement))
        self._redraw()

    def _redraw(self) -> None:
        if self._live is None or self.now() - self._drawn < _REDRAW_S:
            return
        self._drawn = self.now()
        self._live.update(Group(*map(self._drawable, self.footer())), refresh=True)

    def _drawable(self, line: str) -> Text:
        return Text(self.screen.spell(line), no_wrap=True, overflow="ellipsis")

    def footer(self) -> Iterator[str]:
        """The lines that are redrawn: the bar, what runs now, the counts."""
        position, total = self._place
        elapsed = self.now() - self._began
        if not total:
            yield "   ".join(filter(None, (f" {elapsed_text(elapsed)} elapsed", self._doing)))
            return
        filled = round(_BAR_WIDTH * self.tally.share(elapsed, self._left))
        bar = "━" * filled + "─" * (_BAR_WIDTH - filled)
        times = (f"{elapsed_text(elapsed)} elapsed", left(self._left))
        yield "   ".join(filter(None, (f" {bar}  {position}/{total}", *times)))
        case = "" if self._case is None else self._case.case.label
        yield "   ".join(filter(None, (f" now  {case}", self._doing)))
        counts = [f"{status} {n}" for status in _SHOWN_STATUSES if (n := self.tally.rows[status])]
        noisy = self.tally.cases_with("NOISY")
        yield " rows " + "  ".join([*counts, *([f"noisy {noisy}"] if noisy else [])])

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
        self._live = None
