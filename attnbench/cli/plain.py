"""A run in a log: a line for each finished case, a heartbeat, and no control characters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

from attnbench.cli import summary
from attnbench.cli.rows import RowLayout, case_line
from attnbench.cli.screen import Screen
from attnbench.cli.summary import Shown
from attnbench.cli.tally import Tally, left
from attnbench.execute.events import (
    Beat,
    CaseFinished,
    Event,
    ProcessStarted,
    Remark,
    RunFinished,
    RunStarted,
    SelfTested,
)
from attnbench.measurement import STATUSES, Measurement
from attnbench.render.workflow_command import command

HEARTBEAT_S = 30.0


@dataclass
class PlainView:
    """One line a finished case and a heartbeat, without a single control character.

    ``folds`` writes the marks of GitHub Actions: a fold around each process, an annotation for what
    went wrong.
    """

    screen: Screen
    shown: Shown
    folds: bool = False
    width: int | None = None
    now: Callable[[], float] = time.monotonic
    clock: Callable[[], str] = lambda: time.strftime("%H:%M:%S")
    tally: Tally = field(default_factory=Tally)
    _columns: RowLayout | None = None
    _last_beat: float = 0.0
    _folded: bool = False

    def __enter__(self) -> Self:
        self._last_beat = self.now()
        for line in summary.title(self.shown):
            self.screen.line(line)
        return self

    def __exit__(self, *_: object) -> None:
        self._unfold()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case RunStarted():
                self._start(event)
            case SelfTested():
                for line in summary.distrust_lines(event.grave):
                    self.screen.line(line, "red")
            case ProcessStarted():
                self._process(event)
            case CaseFinished():
                self._case(event)
                self._beat(event.position, event.total, event.seconds_left)
            case Beat():
                self._beat(event.position, event.total, event.seconds_left)
            case Remark():
                self._remark(event)
            case RunFinished():
                self._finish(event)
            case _:
                pass

    def _start(self, event: RunStarted) -> None:
        self._columns = summary.rows_layout(event.plan, self.width)
        for line in summary.opening(event):
            self.screen.line(line)

    def _process(self, event: ProcessStarted) -> None:
        self._unfold()
        title = f"process {event.process + 1} of {event.processes}"
        if self._columns is not None and self._columns.in_common:
            title += f"   {self._columns.in_common}"
        self.screen.line(command("group", title) if self.folds else title)
        self._folded = self.folds

    def _case(self, event: CaseFinished) -> None:
        self.tally.add(event)
        place = f"{event.position}/{event.total}" if event.total else "pilot"
        self.screen.line(f"{self.clock()}  {place:>9}  {case_line(event, self._columns)}")

    def _beat(self, position: int, total: int, seconds_left: float | None) -> None:
        if self.now() - self._last_beat < HEARTBEAT_S:
            return
        self._last_beat = self.now()
        words = filter(None, (f"{position}/{total}", left(seconds_left))) if total else ["pilot"]
        self.screen.line(f"{self.clock()}  heartbeat  {', '.join(words)}")

    def _remark(self, event: Remark) -> None:
        self.screen.line(f"note: {event.text}")
        if event.hint:
            self.screen.line(f"  {event.hint}")

    def _finish(self, event: RunFinished) -> None:
        self._unfold()
        if self.folds:
            for line in annotated(self.tally.not_ok):
                self.screen.line(line)
        for line in summary.closing(event, self.tally, self.shown.words):
            self.screen.line(line)

    def _unfold(self) -> None:
        if self._folded:
            self.screen.line(command("endgroup"))
        self._folded = False


def annotated(not_ok: list[Measurement]) -> Iterator[str]:
    """One annotation of GitHub Actions for each status that occurred; it shows ten at most."""
    for status in STATUSES:
        found = [measured for measured in not_ok if measured.status == status]
        if found:
            first = found[0]
            reason = (first.reason or "").partition("\n")[0]
            text = f"{len(found)} {status}, the first: {first.case.label}: {reason}"
            yield command("warning", text, title="attnbench")
