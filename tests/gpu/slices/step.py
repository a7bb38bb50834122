"""What a slice is made of: commands with a limit each, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

# What a step can come to. ``absent``: what it needs is not there, and nothing was run.
STATES = ("done", "failed", "timeout", "interrupted", "absent", "not_reached", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command of a slice.

    ``command`` may hold ``{python}``, ``{work}``, ``{device}`` and ``{budget}`` (seconds that the
    command may spend, less than its limit). ``answers`` is the question that it settles. ``needs``
    is a verb of attnbench (``verb:tune``), a module (``module:xdist``) or a path of the tree
    (``path:suites/peers.yaml``). A step that ``stretches`` takes its share of the time to spare.
    """

    name: str
    command: tuple[str, ...]
    answers: str
    limit_s: float
    needs: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    stretches: bool = False


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of a step; ``log`` is a path inside the tar."""

    name: str
    answers: str
    state: str = "not_reached"
    reason: str | None = None
    command: str | None = None
    exit_code: int | None = None
    seconds: float | None = None
    log: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def allotted_s(steps: Sequence[Step], left_s: float) -> float:
    """Return how long the first of these steps may take, so that the others are reached too.

    Time that no limit claims is shared out among the steps that stretch, in proportion to their
    limits; where there is too little, a step takes what is left.
    """
    first, surplus_s = steps[0], left_s - sum(one.limit_s for one in steps)
    if first.stretches and surplus_s > 0:
        stretching_s = sum(one.limit_s for one in steps if one.stretches)
        return first.limit_s + surplus_s * first.limit_s / stretching_s
    return min(first.limit_s, left_s)
