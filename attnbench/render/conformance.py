"""The conformance check as a screen: a row for each theme, and its failures with their repros."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.conformance import BEHAVIOURS
from attnbench.environment import device_text
from attnbench.measurement import STATUSES
from attnbench.render.values import failure_text
from attnbench.units import counted, significant

if TYPE_CHECKING:
    from attnbench.case import Case
    from attnbench.execute.conformance import (
        ConformanceEvent,
        ConformanceFinished,
        ConformanceStarted,
        TrialDone,
    )
    from attnbench.execute.events import CaseChecked
    from attnbench.render.screen import Screen

_NAME, _COUNT = 19, 15
_SHOWN = 3  # failed trials of a theme that are printed in full


@dataclass(slots=True)
class ConformanceView:
    """Listens to a conformance check and prints a theme as soon as its last trial is done.

    ``device`` is the device as typed, for the repro of a failure.
    """

    screen: Screen
    device: str = "auto"
    _target: str = ""
    _is_interpreted: bool = False
    _printed_reasons: set[str] = field(default_factory=set)
    _theme: list[TrialDone] = field(default_factory=list)

    def __call__(self, event: ConformanceEvent) -> None:
        """Show one event."""
        from attnbench.execute.conformance import ConformanceStarted

        if isinstance(event, ConformanceStarted):
            self._begin(event)
            return
        if self._theme and self._theme[0].trial.theme != event.trial.theme:
            self._end_theme()
        self._theme.append(event)

    def finish(self, finished: ConformanceFinished) -> None:
        """Print what remains: the last theme, how the calls behaved, what is not declared."""
        if self._theme:
            self._end_theme()
        for kind, words in BEHAVIOURS.items():
            # The interpreter runs everything in one order, so calls cannot disagree there.
            skipped = self._is_interpreted and kind == "calls"
            self._behaviour(words, kind, () if skipped else finished.done)
        if finished.undeclared:
            self.screen.line(f"not declared: {', '.join(finished.undeclared)}", "dim")
        self.screen.line(status_counts(finished.counts))

    def _begin(self, event: ConformanceStarted) -> None:
        self._target = target_text(event.subject)
        self._is_interpreted = event.is_interpreted
        where = device_text(event.environment)
        if event.is_interpreted:
            where = "Triton's interpreter on a CPU"
        trials = f"{counted(len(event.trials), 'trial')} of its declared features"
        self.screen.line(f"{event.subject.backend_label}  ·  {trials}  ·  {where}")

    def _end_theme(self) -> None:
        done, self._theme = self._theme, []
        bad = [one for one in done if one.is_bad]
        wrong = [one for one in bad if any(kind not in BEHAVIOURS for kind, _ in one.faults)]
        tried = [one for one in done if one.status == "ok" or one.is_bad]
        ratios = [one.error_ratio for one in done if one.error_ratio is not None]
        tail = []
        if ratios and not wrong:
            tail.append(f"at most {significant(max(ratios))} x plain PyTorch's error")
        tail += self._untried(done)
        count = _passed_text(len(tried) - len(wrong), len(tried))
        self._row(done[0].trial.theme, count, tail, is_bad=bool(wrong))
        self._show_failures(wrong, None)

    def _behaviour(self, name: str, kind: str, done: Iterable[TrialDone]) -> None:
        tried = [one for one in done if one.status in ("ok", "incorrect")]
        if kind == "answers":  # tried only where the first answer was right
            tried = [one for one in tried if "output" not in dict(one.faults)]
        bad = [one for one in tried if any(fault == kind for fault, _ in one.faults)]
        self._row(name, _passed_text(len(tried) - len(bad), len(tried)), [], is_bad=bool(bad))
        self._show_failures(bad, kind)

    def _row(self, name: str, count: str, tail: list[str], *, is_bad: bool) -> None:
        text = f"  {name:<{_NAME}}{count:<{_COUNT}}{', '.join(tail)}".rstrip()
        self.screen.line(text, "bold red" if is_bad else "")

    def _untried(self, done: list[TrialDone]) -> Iterator[str]:
        """Count trials that were not tried by status; each reason is printed once."""
        for status in ("unsupported", "not_run", "oom", "skipped"):
            some = [one for one in done if one.status == status]
            if some:
                reason = str(some[0].reason)
                is_known = reason in self._printed_reasons
                yield f"{len(some)} {status}{'' if is_known else f' ({reason})'}"
                self._printed_reasons.add(reason)

    def _show_failures(self, bad: list[TrialDone], kind: str | None) -> None:
        for one in bad[:_SHOWN]:
            words = "; ".join(text for fault, text in one.faults if kind in (None, fault))
            status = "FAILED" if one.status == "incorrect" else one.status.upper()
            self.screen.line(f"      {status}  {one.trial.label}")
            self.screen.line(f"        {' '.join(words.split())}")
            self.screen.line(f"        {repro_of(one, self._target, self.device)}", "dim")
        if len(bad) > _SHOWN:
            self.screen.line(f"      and {len(bad) - _SHOWN} more")


def repro_of(done: TrialDone, target: str, device: str) -> str:
    """Return the command that repeats one trial."""
    words = ["attnbench", "check", target, "-k", done.trial.filter]
    return shlex.join([*words, *([] if device == "auto" else ["--device", device])])


def target_text(subject: Case) -> str:
    """Write a backend as one types it: its name or file, with options that are not defaults."""
    label, source = subject.backend_label, subject.source
    if not source.endswith(".py"):
        return label
    path = Path(source)
    if path.is_relative_to(Path.cwd()):
        source = f"./{path.relative_to(Path.cwd())}"
    return source + label.removeprefix(subject.backend)


def status_counts(counts: Mapping[str, int]) -> str:
    """Write ``61 passed, 3 incorrect``."""
    words = {"ok": "passed"}
    found = [f"{counts[one]} {words.get(one, one)}" for one in STATUSES if counts.get(one)]
    return ", ".join(found) or "no case"


def checked_line(checked: CaseChecked) -> str:
    """Write a checked case of a suite: passed and its error, or its status and why."""
    if checked.status != "ok":
        return failure_text(checked.status, checked.case.label, checked.reason)
    error = "" if checked.error_rel is None else f"   error {significant(checked.error_rel)}"
    if checked.error_ratio is not None:
        error += f", {significant(checked.error_ratio)} x that of plain PyTorch"
    notes = f"   {' '.join(checked.notes)}" if checked.notes else ""
    return f"passed  {checked.case.label}{error}{notes}"


def _passed_text(passed: int, tried: int) -> str:
    """Write ``12 passed``, ``9 of 12 passed``, or ``not tried``."""
    if not tried:
        return "not tried"
    return f"{passed} passed" if passed == tried else f"{passed} of {tried} passed"
