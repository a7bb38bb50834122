"""What ``attnbench check BACKEND`` shows: a row a theme, and under it what failed and its repro."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.conformance import BEHAVIOURS
from attnbench.units import significant

if TYPE_CHECKING:
    from attnbench.case import Case
    from attnbench.execute.conformance import (
        ConformanceEvent,
        ConformanceFinished,
        ConformanceStarted,
        TrialDone,
    )
    from attnbench.render.screen import Screen

_NAME, _COUNT = 19, 15
_SHOWN = 3  # failed trials of a theme that are told in full


@dataclass(slots=True)
class Sheet:
    """Prints a theme as soon as its last trial is done, so that a slow backend shows progress.

    ``device`` is what was typed, for the repro of a failure.
    """

    screen: Screen
    device: str = "auto"
    _target: str = ""
    _is_interpreted: bool = False
    _said: set[str] = field(default_factory=set)
    _theme: list[TrialDone] = field(default_factory=list)

    def tell(self, event: ConformanceEvent) -> None:
        """Hear one event."""
        from attnbench.execute.conformance import ConformanceStarted

        if isinstance(event, ConformanceStarted):
            self._begin(event)
            return
        if self._theme and self._theme[0].trial.theme != event.trial.theme:
            self._end_theme()
        self._theme.append(event)

    def finish(self, finished: ConformanceFinished) -> None:
        """Print what is left: the last theme, how the call behaved, what was not asked."""
        if self._theme:
            self._end_theme()
        for kind, words in BEHAVIOURS.items():
            # The interpreter has one order of everything: it is not asked whether calls agree.
            skipped = self._is_interpreted and kind == "calls"
            self._behaviour(words, kind, () if skipped else finished.done)
        if finished.undeclared:
            self.screen.line(f"not declared: {', '.join(finished.undeclared)}", "dim")
        self.screen.line(counts_text(finished.counts))

    def _begin(self, event: ConformanceStarted) -> None:
        from attnbench.render.values import device_text

        self._target = target_text(event.subject)
        self._is_interpreted = event.is_interpreted
        where = device_text(event.environment)
        if event.is_interpreted:
            where = "Triton's interpreter on a CPU"
        count = len(event.trials)
        trials = f"{count} {'trial' if count == 1 else 'trials'} of what it declares"
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
        tail += self._others(done)
        count = passed_text(len(tried) - len(wrong), len(tried))
        self._row(done[0].trial.theme, count, tail, is_bad=bool(wrong))
        self._tell_faults(wrong, None)

    def _behaviour(self, name: str, kind: str, done: Iterable[TrialDone]) -> None:
        tried = [one for one in done if one.status in ("ok", "incorrect")]
        if kind == "answers":  # asked only where the first answer was right
            tried = [one for one in tried if "output" not in dict(one.faults)]
        bad = [one for one in tried if any(fault == kind for fault, _ in one.faults)]
        self._row(name, passed_text(len(tried) - len(bad), len(tried)), [], is_bad=bool(bad))
        self._tell_faults(bad, kind)

    def _row(self, name: str, count: str, tail: list[str], *, is_bad: bool) -> None:
        text = f"  {name:<{_NAME}}{count:<{_COUNT}}{', '.join(tail)}".rstrip()
        self.screen.line(text, "bold red" if is_bad else "")

    def _others(self, done: list[TrialDone]) -> Iterator[str]:
        """How many were not tried, by status, and why the first of each was not; once each why."""
        for status in ("unsupported", "not_run", "oom", "skipped"):
            some = [one for one in done if one.status == status]
            if some:
                reason = str(some[0].reason)
                yield f"{len(some)} {status}{'' if reason in self._said else f' ({reason})'}"
                self._said.add(reason)

    def _tell_faults(self, bad: list[TrialDone], kind: str | None) -> None:
        """The first few in full; equal words are said once."""
        for one in bad[:_SHOWN]:
            words = "; ".join(text for fault, text in one.faults if kind in (None, fault))
            self.screen.line(f"      {_word(one)}  {one.trial.label}")
            self.screen.line(f"        {' '.join(words.split())}")
            self.screen.line(f"        {self.repro(one)}", "dim")
        if len(bad) > _SHOWN:
            self.screen.line(f"      and {len(bad) - _SHOWN} more")

    def repro(self, done: TrialDone) -> str:
        """The command that tries this again."""
        return repro_of(done, self._target, self.device)


def repro_of(done: TrialDone, target: str, device: str) -> str:
    """Write the command that repeats one trial."""
    words = ["attnbench", "check", target, "-k", done.trial.filter]
    return shlex.join([*words, *([] if device == "auto" else ["--device", device])])


def target_text(subject: Case) -> str:
    """Write a backend as one types it: its name or its file, with what differs from defaults."""
    label, source = subject.backend_label, subject.source
    if not source.endswith(".py"):
        return label
    path = Path(source)
    if path.is_relative_to(Path.cwd()):
        source = f"./{path.relative_to(Path.cwd())}"
    return source + label.removeprefix(subject.backend)


def passed_text(passed: int, tried: int) -> str:
    """``12 passed``, ``9 of 12``, or ``not tried`` where nothing was."""
    if not tried:
        return "not tried"
    return f"{passed} passed" if passed == tried else f"{passed} of {tried} passed"


def counts_text(counts: dict[str, int]) -> str:
    """``61 passed, 3 incorrect``."""
    from attnbench.measurement import STATUSES

    words = {"ok": "passed"}
    found = [f"{counts[one]} {words.get(one, one)}" for one in STATUSES if counts.get(one)]
    return ", ".join(found) or "no case"


def facts_of(done: TrialDone, target: str, device: str) -> dict[str, Any]:
    """One trial as JSON: what a suite's case has, then theme, way, and the command to repeat it."""
    case = done.trial.case
    return {
        "backend": case.backend_label,
        "case_id": case.id,
        "case_label": case.label,
        "status": done.status,
        "reason": done.reason,
        "notes": list(done.notes),
        "error_rel": done.error_rel,
        "error_ratio": done.error_ratio,
        "theme": done.trial.theme,
        "way": done.trial.way,
        "repro": repro_of(done, target, device),
    }


def _word(done: TrialDone) -> str:
    return "FAILED" if done.status == "incorrect" else done.status.upper()
