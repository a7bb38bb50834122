"""One case at a time on a worker, the order of the cases, and what Ctrl-C does to them.

A process is a fresh worker that runs the suite once, in a seeded random order of problems. Backends
of one problem stay adjacent and share its inputs. A worker that dies or hangs costs only its own
case: the next one runs in the same process, and its first row is noted RESTARTED.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from types import FrameType, TracebackType
from typing import Any, Self

from attnbench.device.rates import Ceilings
from attnbench.measurement import Measurement
from attnbench.method import Measure
from attnbench.planning.calibration import CalibrationCall
from attnbench.planning.plan import PlannedCase
from attnbench.worker.client import CaseTimeout, Limits, WorkerDied, WorkerHandle
from attnbench.worker.protocol import (
    CALIBRATE,
    CHECK,
    MEASURE,
    CaseDone,
    ConformCase,
    Request,
    RunCase,
)


class Interrupt:
    """Counts SIGINT and SIGTERM while a run is under way; the old handlers come back afterwards.

    The first Ctrl-C finishes the running case and saves, the second stops at once.
    """

    def __init__(self) -> None:
        self._count = 0
        self._is_announced = False
        self.on_first: Callable[[], None] = lambda: None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def asked(self) -> bool:
        """True once the user wants to stop."""
        return self._count > 0

    def must_stop(self) -> bool:
        """Return whether to stop at once; acknowledge the first Ctrl-C while a case runs."""
        if self._count > 1:
            return True
        # From ordinary code, not from the signal's handler.
        if self.asked and not self._is_announced:
            self._is_announced = True
            self.on_first()
        return False

    def stop_requested(self) -> bool:
        """Return whether the user wants to stop, acknowledging it: between two cases."""
        self.must_stop()
        return self.asked

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for one in (signal.SIGINT, signal.SIGTERM):
                self._before[one] = signal.signal(one, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        # A supervisor's SIGTERM is not repeated: it means at once.
        self._count += 2 if number == signal.SIGTERM else 1


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


@dataclass(frozen=True, slots=True)
class _Lost:
    """A case whose worker died or was killed."""

    status: str
    reason: str


@dataclass(slots=True)
class CaseRunner:
    """Sends planned cases to a worker and brings measurements back."""

    worker: WorkerHandle
    settings: Measure
    ceilings: Ceilings
    interrupt: Interrupt
    on_beat: Callable[[str], None] = lambda _: None
    _notes: list[str] = field(default_factory=list)

    def measure(self, planned: PlannedCase, process: int, *notes: str) -> Measurement:
        """Measure one case in one process; ``notes`` mark the row.

        Raises:
            Stopped: Ctrl-C twice.

        """
        case = planned.case
        started, began = time.time(), time.monotonic()
        self._notes += notes
        result = self._run(planned, MEASURE)
        if isinstance(result, CaseDone):
            measurement = Measurement.from_dict(case, result.done)
        else:
            measurement = Measurement(
                case=case,
                status=result.status,
                reason=result.reason,
                started_at=started,
                timer=planned.method.timer,
                l2=planned.method.l2,
                isolation="worker",
                seconds=time.monotonic() - began,
            )
        marked = measurement.with_notes(*self._notes)
        is_alive = isinstance(result, CaseDone) and result.alive
        self._notes = [] if is_alive else ["RESTARTED"]
        return replace(marked, process=process)

    def calibrate(self, planned: PlannedCase) -> CalibrationCall:
        """Call a case a few times without measuring it."""
        result = self._run(planned, CALIBRATE)
        if isinstance(result, _Lost):
            return CalibrationCall(status=result.status, reason=result.reason, call_s=None)
        done = result.done
        call_s = done["call_s"] if done["status"] == "ok" else None
        return CalibrationCall(status=done["status"], reason=done["reason"], call_s=call_s)

    def check(self, planned: PlannedCase) -> dict[str, Any]:
        """Check a case without timing it; return the worker's answer as plain values."""
        result = self._run(planned, CHECK)
        if isinstance(result, _Lost):
            return {"status": result.status, "reason": result.reason, "notes": ["RESTARTED"]}
        return result.done

    def conform(self, request: ConformCase) -> dict[str, Any]:
        """Run one trial of the conformance kit; return the worker's answer as plain values."""
        result = self._send(request)
        if isinstance(result, _Lost):
            return {"status": result.status, "reason": result.reason}
        return result.done

    def _run(self, planned: PlannedCase, purpose: str) -> CaseDone | _Lost:
        return self._send(
            RunCase(
                case=planned.case,
                method=planned.method,
                measure=self.settings,
                ceilings=self.ceilings,
                purpose=purpose,
            )
        )

    def _send(self, request: Request[CaseDone]) -> CaseDone | _Lost:
        try:
            return self.worker.dispatch(
                request,
                Limits.of(self.settings),
                must_stop=self.interrupt.must_stop,
                on_beat=self.on_beat,
            )
        except CaseTimeout as error:
            return _Lost("timeout", str(error))
        except WorkerDied as error:
            return _Lost("crashed", str(error))
