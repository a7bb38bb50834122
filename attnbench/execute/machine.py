"""What a file says of its machine: the self-test once, canaries first and last in each process.

All of it is stored as records beside the rows. None of it can end a run: what fails is a record.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from attnbench.device.rates import Ceilings
from attnbench.errors import EnvironmentProblem
from attnbench.execute.crew import WorkerHandle
from attnbench.execute.events import SelfTested
from attnbench.store.writer import RunWriter

# The first of a process; the rest is compared with them. A copy hangs on the memory's clock, which
# NVIDIA holds fixed; product and softmax hang on the SM's.
_ON_THE_CLOCK = ("gemm", "softmax")
_DRIFT = 0.02  # as between the two readings of a case


@dataclass(slots=True)
class Machine:
    """Writes the records of one run, or of one side of ``ab``."""

    crew: WorkerHandle
    writer: RunWriter
    tell: Callable[[SelfTested], None]
    _first: dict[str, float] | None = None

    def self_test(self, ceilings: Ceilings) -> tuple[str, ...]:
        """Test the timers in the first worker; return what makes the machine unbelievable."""
        record: dict[str, Any] = {"record": "selftest", "at": time.time()}
        try:
            tests = self.crew.selftest(ceilings.to_dict(), brief=True)["selftest"]
        except EnvironmentProblem as error:
            tests = [_unanswered(error)]
        self.writer.record({**record, "tests": tests})
        event = SelfTested(tests=tuple(tests))
        self.tell(event)
        return event.grave

    def process_begins(self, process: int) -> None:
        """Warm the device, then time the canaries."""
        self._first = self._canaries(process, "first", warm=True)

    def process_ends(self, process: int) -> None:
        """Time them again, unless the worker died with the last case: a new one costs seconds."""
        if self.crew.is_open:
            self._canaries(process, "last", warm=False)

    def _canaries(self, process: int, when: str, *, warm: bool) -> dict[str, float] | None:
        record: dict[str, Any] = {"record": "canaries", "process": process, "when": when}
        try:
            answer = self.crew.canaries(warm=warm)
        except EnvironmentProblem as error:
            self.writer.record({**record, "at": time.time(), "failed": error.message})
            return None
        read: dict[str, float] = answer["us"]
        notes = self._notes(read) if when == "last" else []
        self.writer.record({**record, **answer, "notes": notes})
        return read

    def _notes(self, last: dict[str, float]) -> list[str]:
        """CLOCK_DRIFT on a GPU whose clock moved; a CPU's neighbours move its times as well."""
        first = self._first
        if first is None or self.crew.environment.device.kind != "cuda":
            return []
        moved = any(abs(last[one] / first[one] - 1) > _DRIFT for one in _ON_THE_CLOCK)
        return ["CLOCK_DRIFT"] if moved else []


def _unanswered(error: EnvironmentProblem) -> dict[str, Any]:
    return {
        "name": "worker",
        "passed": False,
        "measured": error.message,
        "expected": "an answer",
        "advice": "look at this machine with attnbench doctor",
        "grave": True,
    }
