"""One process: a fresh worker walks the suite once, in a seeded random order of problems.

Backends of one problem stay adjacent and share its inputs. A worker that died or hung costs its own
case alone: the next one goes on in the same process, and its first row is noted RESTARTED.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from attnbench.device.rates import Ceilings
from attnbench.execute.crew import WorkerHandle
from attnbench.execute.errand import CaseTimeout, Limits, Stopped, WorkerDied, send_case
from attnbench.execute.interrupt import Interrupt
from attnbench.measurement import Measurement
from attnbench.method import Measure
from attnbench.planning.calibration import CalibrationCall
from attnbench.planning.plan import PlannedCase

Beat = Callable[[str], None]


def shuffled(planned: Iterable[PlannedCase], seed: int, process: int) -> list[PlannedCase]:
    """Order a process: problems at random, the cases of one problem adjacent and at random too."""
    by_problem: dict[str, list[PlannedCase]] = {}
    for one in planned:
        by_problem.setdefault(one.case.problem.id, []).append(one)
    dice = random.Random(f"{seed}/{process}")  # noqa: S311  an order, not a secret
    groups = list(by_problem.values())
    dice.shuffle(groups)
    for group in groups:
        dice.shuffle(group)
    return [one for group in groups for one in group]


@dataclass(slots=True)
class CaseRunner:
    """Takes planned cases to the crew's worker and brings measurements back."""

    crew: WorkerHandle
    settings: Measure
    ceilings: Ceilings
    interrupt: Interrupt
    on_beat: Beat
    _notes: list[str] = field(default_factory=list)

    def measure(self, planned: PlannedCase, process: int, *notes: str) -> Measurement:
        """Measure one case in one process.

        Raises:
            Stopped: Ctrl-C twice.

        """
        case = planned.case
        started, began = time.time(), time.monotonic()
        self._notes += notes
        status, outcome = self._send(planned, {})
        if status == "answered":
            measurement = Measurement.from_dict(case, outcome["done"])
        else:
            measurement = Measurement(
                case=case,
                status=status,
                reason=outcome["reason"],
                started_at=started,
                timer=planned.method.timer,
                l2=planned.method.l2,
                isolation="worker",
                seconds=time.monotonic() - began,
            )
        marked = measurement.with_notes(*self._notes)
        self._notes = [] if status == "answered" and outcome["alive"] else ["RESTARTED"]
        return replace(marked, process=process)

    def pilot(self, planned: PlannedCase) -> CalibrationCall:
        """Call a case twice without timing it."""
        status, outcome = self._send(planned, {"pilot": True})
        if status != "answered":
            return CalibrationCall(status=status, reason=outcome["reason"], call_s=None)
        done = outcome["done"]
        call_s = done["call_s"] if done["status"] == "ok" else None
        return CalibrationCall(status=done["status"], reason=done["reason"], call_s=call_s)

    def check(self, planned: PlannedCase) -> dict[str, Any]:
        """Check a case without timing it; the worker's answer as plain values."""
        status, outcome = self._send(planned, {"check_only": True})
        if status != "answered":
            return {"status": status, "reason": outcome["reason"], "notes": ["RESTARTED"]}
        done: dict[str, Any] = outcome["done"]
        return done

    def conform(self, planned: PlannedCase, way: str) -> dict[str, Any]:
        """Put a case to a trial of the conformance kit; the worker's answer as plain values."""
        status, outcome = self._send(planned, {"way": way})
        if status != "answered":
            return {"status": status, "reason": outcome["reason"]}
        done: dict[str, Any] = outcome["done"]
        return done

    def _send(self, planned: PlannedCase, extra: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return ("answered", answer), or timeout or crashed with {"reason": …}."""
        message = {
            "op": "case",
            "case": planned.case.to_dict(),
            "method": planned.method.to_dict(),
            "measure": self.settings.to_dict(),
            "ceilings": self.ceilings.to_dict(),
            **extra,
        }
        try:
            answer = send_case(
                self.crew.worker(),
                message,
                Limits.of(self.settings),
                interrupt=self.interrupt,
                on_beat=self.on_beat,
            )
        except CaseTimeout as error:
            self.crew.lost()
            return "timeout", {"reason": str(error)}
        except WorkerDied as error:
            self.crew.lost()
            return "crashed", {"reason": str(error)}
        except Stopped:
            self.crew.lost()
            raise
        if not answer["alive"]:
            # The device's context is broken; whatever ran next would fail for this case's sake.
            self.crew.lost()
        return "answered", answer
