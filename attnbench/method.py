"""How to measure: the settings of a suite's ``measure`` block, and what of them makes a method.

Two rows of one case may only be compared where their method ids agree; the id is over the rules
(timer, cache state, warm-up, flush, summary), never over bytes, counts or outcomes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from attnbench.problem import Problem, digest

SUMMARY_RULE = "middle-half-log-mean/1"
WARMUP_RULE = "flat-last-20-within-3x/1"
FLUSHES = ("read",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way to time one case: a timer and a cache state."""

    timer: str
    l2: str
    flush: str | None = None
    warmup_s: float = 0.1

    @property
    def id(self) -> str:
        """12 hex digits over the rules."""
        rules = {"summary": SUMMARY_RULE, "warmup": WARMUP_RULE}
        return digest({**rules, **self.facts()})

    def facts(self) -> dict[str, Any]:
        """Return plain JSON values, for a worker."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A suite's ``measure`` block (design section 5); all times in seconds.

    ``timers`` and ``l2_states`` are what the file lists, ``auto`` where it says nothing.
    """

    launches: int = 3
    warmup_s: float = 0.1
    sample_s: float = 0.3
    max_noise: float = 0.01
    case_limit_s: float = 5.0
    compile_s: float = 120.0
    deadline_s: float | None = None
    timers: tuple[str, ...] = ("auto",)
    l2_states: tuple[str, ...] = ("auto",)
    flush: str = "read"

    @property
    def deadline(self) -> float:
        """The limit of everything after the first call."""
        return 10 + 4 * self.case_limit_s if self.deadline_s is None else self.deadline_s

    def methods(self, problem: Problem, device_kind: str) -> tuple[Method, ...]:
        """Every (timer, cache state) that this problem is timed with on such a device."""
        found = []
        for timer in self.timers:
            for l2 in self.l2_states:
                chosen = timer_for(problem, device_kind) if timer == "auto" else timer
                state = ("cold" if device_kind == "cuda" else "warm") if l2 == "auto" else l2
                flush = self.flush if state == "cold" else None
                found.append(Method(timer=chosen, l2=state, flush=flush, warmup_s=self.warmup_s))
        return tuple(dict.fromkeys(found))

    def facts(self) -> dict[str, Any]:
        """Return plain JSON values, for the worker and the file's footer."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Measure:
        """Rebuild what ``facts`` wrote."""
        lists = {name: tuple(facts[name]) for name in ("timers", "l2_states")}
        return cls(**{**facts, **lists})


def timer_for(problem: Problem, device_kind: str) -> str:
    """Choose the timer from the problem alone, so that every backend and commit gets the same."""
    del problem  # the one CUDA timer so far serves every size
    return "event" if device_kind == "cuda" else "wall"
