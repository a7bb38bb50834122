"""One case under way: what it is, how it is to be treated, and what was found so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from attnbench.case import Case
from attnbench.measure.calls import Prepared
from attnbench.measure.compiled import Compiling
from attnbench.method import Measure, Method

if TYPE_CHECKING:
    from attnbench.measure.bench import DeviceContext


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSettings:
    """How to treat a case: its method, the suite's settings; a calibration stops after a few calls."""

    method: Method
    settings: Measure
    calibrate: bool = False


@dataclass(slots=True)
class CaseContext:
    """One case under way: what it is, where it runs, and what was found so far."""

    case: Case
    orders: CaseSettings
    bench: DeviceContext
    found: dict[str, Any] = field(default_factory=dict)
    call_s: float | None = None
    prepared: Prepared | None = None
    others: tuple[Prepared, ...] = ()  # bound to the further copies of the inputs
    compiling: Compiling = field(default_factory=Compiling)

    def now_s(self) -> float:
        """The device's host clock, which a scripted device scripts."""
        return self.bench.driver.clock_ns() * 1e-9

    def note(self, *codes: str) -> None:
        """Add note codes, each once."""
        self.found["notes"] = tuple(dict.fromkeys((*self.found.get("notes", ()), *codes)))
