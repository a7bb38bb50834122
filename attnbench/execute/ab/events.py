"""What ``ab`` tells whoever listens, beside the events that a run has too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attnbench.environment import Environment
from attnbench.execute.ab.pairs import Pair
from attnbench.execute.events import Beat, CaseFinished, CaseStarted, Remark, SelfTested
from attnbench.suite import Gate

SCREEN, CONFIRM = "screen", "confirm"
INTERRUPTED = "interrupted"


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
