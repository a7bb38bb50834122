"""The progress of a run: redrawn on a terminal, line by line in a log, as JSON for a program.

Nothing is redrawn on a timer: a redraw during a CPU case would disturb its samples. The footer is
redrawn when an event arrives, at most once a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import click

from attnbench.cli.json_events import JsonView
from attnbench.cli.rows import RowLayout, case_line, row_style
from attnbench.cli.run_stats import (
    RunStats,
    SuiteTitle,
    closing_lines,
    opening_lines,
    rows_layout,
    title_lines,
)
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
from attnbench.measurement import STATUSES, Measurement
from attnbench.render.run_table import distrust_lines
from attnbench.render.screen import Screen, stderr_console
from attnbench.render.values import elapsed_text, left

if TYPE_CHECKING:
    from rich.live import Live

HEARTBEAT_S = 30.0
_REDRAW_S = 1.0
_BAR_WIDTH = 38
_SHOWN_STATUSES = tuple(status for status in STATUSES if status not in ("skipped", "unsupported"))


def view_of(title: SuiteTitle, *, as_json: bool) -> JsonView | LiveView | PlainView:
    """Return the listener for a run; stdout stays free for data."""
    if as_json:
        return JsonView(click.echo, title.name)
    screen = stderr_console()
    if screen.live:
        return LiveView(screen, title)
    return PlainView(screen, title, folds=os.environ.get("GITHUB_ACTIONS") == "true")


class Footer:
    """Lines that rich redraws below the scrolling ones, on request and at most once a second."""

    def __init__(self, screen: Screen, now: Callable[[], float]) -> None:
        from rich.live import Live

        self._screen, self._now = screen, now
        self._drawn = float("-inf")
        self._live: Live | None = Live(console=screen.console, auto_refresh=False, transient=True)
        self._live.start()

    def redraw(self, lines: Callable[[], Iterable[str]]) -> None:
        """Draw the lines, unless the last drawing is less than a second old."""
        from rich.console import Group
        from rich.text import Text

        if self._live is None or self._now() - self._drawn < _REDRAW_S:
            return
        self._drawn = self._now()
        drawn = [
            Text(self._screen.spell(line), no_wrap=True, overflow="ellipsis") for line in lines()
        ]
        self._live.update(Group(*drawn), refresh=True)

    def stop(self) -> None:
        """Remove the footer."""
        if self._live is not None:
            self._live.stop()
        self._live = None


def bar_text(share: float) -> str:
    """Draw a bar that is filled up to a share."""
    # rich.progress_bar draws its background only in colour, and none where colours are off.
    filled = round(_BAR_WIDTH * share)
    return "━" * filled + "─" * (_BAR_WIDTH - filled)


def footer_line(*parts: str) -> str:
    """Join the parts that are there."""
    return "   ".join(part for part in parts if part)


@dataclass
class LiveView:
    """Rows that scroll above a bar with the time left, the current case, and the counts so far."""

    screen: Screen
    title: SuiteTitle
    now: Callable[[], float] = time.monotonic
    stats: RunStats = field(default_factory=RunStats)
    _columns: RowLayout | None = None
    _footer: Footer | None = None
    _began: float = 0.0
    _case: CaseStarted | None = None
    _doing: str = ""
    _place: tuple[int, int] = (0, 0)
    _left: float | None = None

    def __enter__(self) -> Self:
        self._began = self.now()
        self._print(title_lines(self.title))
        self._footer = Footer(self.screen, self.now)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case RunStarted():
                self._start(event)
            case SelfTested():
                self._print(distrust_lines(event.grave), "red")
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
                self._print([f"note: {event.text}"], "yellow")
                self._print([f"  {event.hint}"] if event.hint else [])
            case RunFinished():
                self._stop()
                self._print(closing_lines(event, self.stats, self.title))

    def _print(self, lines: Iterable[str], style: str = "") -> None:
        for line in lines:
            self.screen.line(line, style)

    def _start(self, event: RunStarted) -> None:
        self._columns = rows_layout(event.plan, self.screen.width - 2)
        self._print(opening_lines(event))
        self.screen.line()
        if self._columns.in_common:
            self.screen.line(self._columns.in_common, "bold")
        self.screen.line(f"  {self._columns.header}", "dim")
        self._left = None  # the calibration's own estimate ends here

    def _finished(self, event: CaseFinished) -> None:
        self.stats.add(event)
        self._place, self._left = (event.position, event.total), event.seconds_left
        self._case = None
        self.screen.line(f"  {case_line(event, self._columns)}", row_style(event.measurement))
        self._redraw()

    def _redraw(self) -> None:
        if self._footer is not None:
            self._footer.redraw(self.footer)

    def footer(self) -> Iterator[str]:
        """Yield the lines that are redrawn: the bar, the current case, the counts."""
        position, total = self._place
        elapsed = self.now() - self._began
        if not total:
            yield footer_line(f" {elapsed_text(elapsed)} elapsed", self._doing)
            return
        bar = bar_text(self.stats.share(elapsed, self._left))
        times = (f"{elapsed_text(elapsed)} elapsed", left(self._left))
        yield footer_line(f" {bar}  {position}/{total}", *times)
        case = "" if self._case is None else self._case.case.label
        yield footer_line(f" now  {case}", self._doing)
        counts = [f"{status} {n}" for status in _SHOWN_STATUSES if (n := self.stats.rows[status])]
        noisy = self.stats.cases_with("NOISY")
        yield " rows " + "  ".join([*counts, *([f"noisy {noisy}"] if noisy else [])])

    def _stop(self) -> None:
        if self._footer is not None:
            self._footer.stop()
        self._footer = None


@dataclass
class PlainView:
    """One line for each finished case and a heartbeat, without control characters.

    ``folds`` writes the marks of GitHub Actions: a fold around each process, and annotations.
    """

    screen: Screen
    title: SuiteTitle
    folds: bool = False
    width: int | None = None
    now: Callable[[], float] = time.monotonic
    clock: Callable[[], str] = lambda: time.strftime("%H:%M:%S")
    stats: RunStats = field(default_factory=RunStats)
    _columns: RowLayout | None = None
    _last_beat: float = 0.0
    _folded: bool = False

    def __enter__(self) -> Self:
        self._last_beat = self.now()
        self._print(title_lines(self.title))
        return self

    def __exit__(self, *_: object) -> None:
        self._unfold()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case RunStarted():
                self._columns = rows_layout(event.plan, self.width)
                self._print(opening_lines(event))
            case SelfTested():
                self._print(distrust_lines(event.grave), "red")
            case ProcessStarted():
                self._process(event)
            case CaseFinished():
                self._case(event)
                self._beat(event.position, event.total, event.seconds_left)
            case Beat():
                self._beat(event.position, event.total, event.seconds_left)
            case Remark():
                self._print([f"note: {event.text}", *([f"  {event.hint}"] if event.hint else [])])
            case RunFinished():
                self._unfold()
                self._print(annotation_lines(self.stats.not_ok) if self.folds else ())
                self._print(closing_lines(event, self.stats, self.title))
            case _:
                pass

    def _print(self, lines: Iterable[str], style: str = "") -> None:
        for line in lines:
            self.screen.line(line, style)

    def _process(self, event: ProcessStarted) -> None:
        self._unfold()
        title = f"process {event.process + 1} of {event.processes}"
        if self._columns is not None and self._columns.in_common:
            title += f"   {self._columns.in_common}"
        if self.folds:
            from attnbench.render.ruling_markup import workflow_command

            title = workflow_command("group", title)
        self.screen.line(title)
        self._folded = self.folds

    def _case(self, event: CaseFinished) -> None:
        self.stats.add(event)
        place = f"{event.position}/{event.total}" if event.total else "calibration"
        self.screen.line(f"{self.clock()}  {place:>9}  {case_line(event, self._columns)}")

    def _beat(self, position: int, total: int, seconds_left: float | None) -> None:
        if self.now() - self._last_beat < HEARTBEAT_S:
            return
        self._last_beat = self.now()
        where = f"{position}/{total}" if total else "calibration"
        time_left = left(seconds_left) if total else ""
        self.screen.line(
            f"{self.clock()}  heartbeat  {where}{f', {time_left}' if time_left else ''}"
        )

    def _unfold(self) -> None:
        if self._folded:
            from attnbench.render.ruling_markup import workflow_command

            self.screen.line(workflow_command("endgroup"))
        self._folded = False


def annotation_lines(not_ok: list[Measurement]) -> Iterator[str]:
    """Yield an annotation of GitHub Actions for each status that occurred; GitHub shows ten."""
    from attnbench.render.ruling_markup import workflow_command

    for status in STATUSES:
        found = [measured for measured in not_ok if measured.status == status]
        if found:
            first = found[0]
            reason = (first.reason or "").partition("\n")[0]
            text = f"{len(found)} {status}, the first: {first.case.label}: {reason}"
            yield workflow_command("warning", text, title="attnbench")
