"""The events of ``run``, ``check`` and ``ab``, for a terminal, a log or a JSON stream.

A session calls ``listener(event)`` in the parent process, in order, and never prints itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.case import Case
from attnbench.environment import Environment
from attnbench.measurement import Measurement
from attnbench.method import Method
from attnbench.planning.plan import Plan
from attnbench.stats.latency import Rank
from attnbench.stats.summary import Summary

if TYPE_CHECKING:
    from attnbench.execute.ab.pairs import Pair
    from attnbench.suite import Gate

SCREEN, CONFIRM = "screen", "confirm"
INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The device answered and the plan stands; nothing has been measured yet."""

    run_name: str
    out: Path
    environment: Environment
    plan: Plan
    processes: int
    resumed_rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTested:
    """Known things were timed; each test is a map with name, passed, grave, measured, expected."""

    tests: tuple[dict[str, Any], ...]

    @property
    def grave(self) -> tuple[str, ...]:
        """What failed so that no figure of this machine may be believed, each in a line."""
        return tuple(
            f"{one['name']}: {one['measured']}, expected {one['expected']}"
            for one in self.tests
            if one["grave"] and not one["passed"]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStarted:
    """A fresh worker begins to walk the suite; processes count from 0."""

    process: int
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseStarted:
    """A case goes to the worker. ``position`` counts from 1 over all processes of the run."""

    case: Case
    method: Method
    process: int
    position: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFinished:
    """A row was written and fsync'd. ``summary`` is None unless the status is ok."""

    measurement: Measurement
    method: Method | None
    summary: Summary | None
    position: int
    total: int
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseChecked:
    """A case was checked and not timed; status ok means that its output passed."""

    case: Case
    status: str
    reason: str | None
    notes: tuple[str, ...]
    error_rel: float | None
    error_ratio: float | None
    position: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """Now and then while a case runs, never while it samples; ``doing`` is the worker's word."""

    doing: str
    position: int
    total: int
    elapsed_s: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something a person should know; ``hint`` says what to type."""

    text: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The run ended; the parquet is on disk and was read back.

    ``counts`` maps each status to the number of cases (not rows) that carry it. ``interrupted``
    means the journal stays and ``--resume`` goes on. ``distrust`` says which self-tests failed so
    that no figure of this run may be believed.
    """

    run_name: str
    out: Path
    counts: dict[str, int]
    seconds: float
    rows: int
    interrupted: bool = False
    fastest: list[Rank] = field(default_factory=list)
    distrust: tuple[str, ...] = ()


Event = (
    RunStarted
    | SelfTested
    | ProcessStarted
    | CaseStarted
    | CaseFinished
    | CaseChecked
    | Beat
    | Remark
    | RunFinished
)
Listener = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AbStarted:
    """Both sides answered; nothing has been measured yet. Tuples are base, then new."""

    stem: Path
    words: tuple[str, str]
    commits: tuple[str | None, str | None]
    environments: tuple[Environment, Environment]
    pairs: int
    ruled_out: int
    rounds: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SideStarted:
    """A fresh worker of one side begins a round; rounds of a stage count from 1."""

    stage: str
    round: int
    rounds: int
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFinished:
    """Both sides of a round are measured; ``seconds`` is what it took."""

    stage: str
    round: int
    rounds: int
    seconds: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """All pairs had their first rounds; ``suspects`` get so many fresh ones."""

    suspects: tuple[Pair, ...]
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AbMeasured:
    """Both result files are on disk; ``rule`` and its source are what they are to be judged by.

    ``cut`` says what ended it before its time (the user, the budget), None where nothing did.
    """

    stem: Path
    results: tuple[Path, Path]
    seconds: float
    rule: Gate
    rule_source: str
    cut: str | None

    @property
    def interrupted(self) -> bool:
        """Whether the user ended it."""
        return self.cut == INTERRUPTED


AbEvent = (
    AbStarted
    | SelfTested
    | SideStarted
    | RoundFinished
    | Screened
    | AbMeasured
    | CaseStarted
    | CaseFinished
    | Beat
    | Remark
)
AbListener = Callable[[AbEvent], None]
