"""Runs the steps of a slice under one time limit, and keeps the tar up to date while they run."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slices.pack import write_tar
from slices.paths import ROOT
from slices.step import Outcome, Step, allotted_s

_REFRESH_S = 20.0  # a kill -9 of the slice loses at most this much of a running step
_LOOK_S = 0.2
_PATIENCE_S = 8.0  # from SIGINT, on which attnbench saves what it has, to SIGKILL
_BUDGET_SHARE, _BUDGET_REST_S = 0.85, 20.0
_WORTH_S = 3.0  # a step with less left than this is not begun
_TAIL_LINES = 14
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a slice works and what it leaves: ``tar`` is all that counts afterwards."""

    work: Path
    tar: Path
    environment: Mapping[str, str]
    device: str
    limit_bytes: int = 15_000_000
    verbs: frozenset[str] = frozenset()


@dataclass(slots=True)
class Slice:
    """A slice under way."""

    steps: Sequence[Step]
    place: Place
    description: dict[str, Any]
    limit_s: float
    refresh_s: float = _REFRESH_S
    patience_s: float = _PATIENCE_S
    outcomes: list[Outcome] = field(default_factory=list)
    stopped_by: str | None = None
    _began: float = field(default_factory=time.monotonic)
    _child: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Run every step that time allows; return 0, 1 where one failed, or 130 where stopped."""
        self.outcomes = [Outcome(name=one.name, answers=one.answers) for one in self.steps]
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            signal.signal(getattr(signal, name), self._stop)
        (self.place.work / "logs").mkdir(parents=True, exist_ok=True)
        self._save()
        for position in range(len(self.steps)):
            self._step(position)
            self._save()
        self._save(finished=True)
        if self.stopped_by is not None:
            return 130
        return int(any(one.state in ("failed", "timeout") for one in self.outcomes))

    def _stop(self, number: int, _frame: object) -> None:
        """Begin no further step and end the running one; everything else goes on to the tar."""
        self.stopped_by = signal.Signals(number).name
        if self._child is not None:
            _signal(self._child, signal.SIGINT)

    def _step(self, position: int) -> None:
        step, outcome = self.steps[position], self.outcomes[position]
        if self.stopped_by is not None:
            outcome.reason = f"the slice was stopped by {self.stopped_by}"
            return
        left_s = self.limit_s - (time.monotonic() - self._began)
        if left_s < _WORTH_S:
            outcome.reason = "no time was left"
            return
        lacking = [reason for one in step.needs if (reason := self._lack(one))]
        if lacking:
            outcome.state, outcome.reason = "absent", "; ".join(lacking)
            _say(f"-- {step.name}: absent: {outcome.reason}")
            return
        self._execute(step, outcome, position, allotted_s(self.steps[position:], left_s))

    def _execute(self, step: Step, outcome: Outcome, position: int, limit_s: float) -> None:
        command = self._filled(step.command, limit_s)
        log = self.place.work / "logs" / f"{position + 1:02d}-{step.name}.log"
        outcome.command = shlex.join("python" if one == sys.executable else one for one in command)
        outcome.state, outcome.log = "running", f"logs/{log.name}"
        _say(f"== {step.name} (at most {limit_s:.0f} s): {outcome.command}")
        self._save()
        began = time.monotonic()
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self.place.environment, **step.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  this process has one thread
            )
            if self.stopped_by is not None:  # the signal came before there was a child to tell
                _signal(self._child, signal.SIGINT)
            late = self._wait(self._child, began + limit_s)
        outcome.seconds = round(time.monotonic() - began, 2)
        outcome.exit_code = self._child.returncode
        self._child = None
        _judge(outcome, late=late, stopped_by=self.stopped_by, limit_s=limit_s)
        _show_end(log)
        _say(
            f"-- {step.name}: {outcome.state} after {outcome.seconds:.0f} s {outcome.reason or ''}"
        )

    def _wait(self, child: subprocess.Popen[bytes], deadline: float) -> bool:
        """Wait for the child, and end it when its time is up; return whether it was."""
        late, refreshed = False, time.monotonic()
        patience: float | None = None
        while child.poll() is None:
            now = time.monotonic()
            if patience is None and now > deadline:
                late = True
                _signal(child, signal.SIGINT)
            if patience is None and (late or self.stopped_by is not None):
                patience = now + self.patience_s
                self._save()  # the process that stopped the slice may not be patient
            if patience is not None and now > patience:
                _signal(child, signal.SIGKILL)
            if now - refreshed > self.refresh_s:
                self._save()
                refreshed = time.monotonic()
            time.sleep(_LOOK_S)
        _signal(child, signal.SIGKILL)  # whatever it left running in its session
        return late

    def _filled(self, command: Sequence[str], limit_s: float) -> list[str]:
        budget_s = max(1.0, min(_BUDGET_SHARE * limit_s, limit_s - _BUDGET_REST_S))
        words = {
            "python": sys.executable,
            "work": str(self.place.work),
            "device": self.place.device,
            "budget": f"{budget_s:.0f}",
        }
        return [one.format_map(words) for one in command]

    def _lack(self, need: str) -> str | None:
        kind, _, name = need.partition(":")
        if kind == "verb":
            there = name in self.place.verbs
            return None if there else f"this attnbench has no verb {name}"
        if kind == "module":
            return None if importlib.util.find_spec(name) else f"no module {name} here"
        return None if (ROOT / name).exists() else f"no {name} in this tree"

    def _save(self, *, finished: bool = False) -> None:
        """Bring manifest and tar up to date."""
        manifest = {
            **self.description,
            "limit_s": self.limit_s,
            "seconds": round(time.monotonic() - self._began, 1),
            "finished": finished,
            "stopped_by": self.stopped_by,
            "steps": [one.to_dict() for one in self.outcomes],
        }
        path = self.place.work / "manifest.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
        try:
            left_out = write_tar(
                self.place.work, self.place.tar, limit_bytes=self.place.limit_bytes
            )
        except OSError as error:  # the next one may succeed; the steps are worth more than this one
            _say(f"!! the tar could not be written: {error}")
            return
        if finished and left_out:
            _say(f"!! left out of the tar, which may not grow further: {', '.join(left_out)}")


def _judge(outcome: Outcome, *, late: bool, stopped_by: str | None, limit_s: float) -> None:
    if outcome.exit_code == 0:
        outcome.state = "done"
    elif stopped_by is not None:
        outcome.state, outcome.reason = "interrupted", f"by {stopped_by}"
    elif late:
        outcome.state, outcome.reason = "timeout", f"its limit was {limit_s:.0f} s"
    else:
        outcome.state, outcome.reason = "failed", f"exit code {outcome.exit_code}"


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    # The child leads a session of its own, so the group is it and what it started there.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def _die_with_parent() -> None:
    """In the child: end with the slice, also when that is killed with -9."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _show_end(log: Path) -> None:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for line in lines[-_TAIL_LINES:]:
        _say(f"   {line[:200]}")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  a slice reports to its caller
