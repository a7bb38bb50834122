"""How to measure: the settings of a suite's ``measure`` block, and what of them makes a method.

Two rows of one case may only be compared where their method ids agree; the id is over the rules
(timer, cache state, warm-up, flush, summary), never over bytes, counts or outcomes.

A timer that makes calls back to back cannot flush between them. Its cold cache is a rotation: each
call has its own copy of the inputs, and so many copies that five times the last-level cache was
read before one comes round again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from attnbench.cost import compute_cost
from attnbench.environment import Device
from attnbench.problem import Problem, digest

SUMMARY_RULE = "middle-half-log-mean/1"
WARMUP_RULE = "flat-last-20-within-3x/1"
FLUSHES = ("read",)
ROTATE = "rotate"
ROTATING_TIMERS = ("event_batched", "graph")

# Below both, a call is too short for the resolution of one pair of events, and rotation is cheap.
BATCHED_BYTES, BATCHED_FLOPS = 400e6, 100e9

# Boards renew the energy counter every 20 to 100 ms: 2 s bound that error by 5 %.
ENERGY_WINDOW_S = 2.0

COLD_CACHES = 5
UNKNOWN_CACHE_BYTES = 64 * 2**20
# More would take longer to prepare than to measure; a problem that small is cold in no real use.
MOST_COPIES = 2048
_ROTATION_SHARE = 0.25  # of the device's memory; the rest is for what backends make of each copy


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
        return digest({**rules, **self.to_dict()})

    def read_as(self, l2: str | None) -> Method:
        """Return what this method was in the end: warm where its rotation found no room."""
        return self if l2 in (None, self.l2) else replace(self, l2=l2, flush=None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, for a worker."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A suite's ``measure`` block (design section 5); all times in seconds.

    ``timers`` and ``l2_states`` are what the file lists, ``auto`` where it says nothing.
    """

    processes: int = 3
    warmup_s: float = 0.1
    sample_s: float = 0.3
    max_noise: float = 0.01
    energy_s: float = 0.0
    case_limit_s: float = 5.0
    compile_s: float = 120.0
    deadline_s: float | None = None
    timers: tuple[str, ...] = ("auto",)
    l2_states: tuple[str, ...] = ("auto",)
    flush: str = "read"

    @property
    def deadline(self) -> float:
        """The limit of everything after the first call; energy has its seconds on top."""
        asked = 10 + 4 * self.case_limit_s if self.deadline_s is None else self.deadline_s
        return asked + 2 * self.energy_s

    def methods(self, problem: Problem, device: Device) -> tuple[Method, ...]:
        """Every (timer, cache state) that this problem is timed with on this device."""
        found = []
        for timer in self.timers:
            for l2 in self.l2_states:
                chosen = timer_for(problem, device.kind) if timer == "auto" else timer
                state = ("cold" if device.kind == "cuda" else "warm") if l2 == "auto" else l2
                rotates = chosen in ROTATING_TIMERS
                flush = (ROTATE if rotates else self.flush) if state == "cold" else None
                method = Method(timer=chosen, l2=state, flush=flush, warmup_s=self.warmup_s)
                fits = flush != ROTATE or rotation_fits(problem, device)
                found.append(method if fits else method.read_as("warm"))
        return tuple(dict.fromkeys(found))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, for the worker and the file's footer."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Measure:
        """Rebuild what ``facts`` wrote."""
        lists = {name: tuple(facts[name]) for name in ("timers", "l2_states")}
        return cls(**{**facts, **lists})


def timer_for(problem: Problem, device_kind: str) -> str:
    """Choose the timer from the problem alone, so that every backend and commit gets the same."""
    if device_kind != "cuda":
        return "wall"
    cost = compute_cost(problem)
    small = cost.min_bytes < BATCHED_BYTES and cost.flops < BATCHED_FLOPS
    return "event_batched" if small else "event"


def copies_for(problem: Problem, llc_bytes: int | None) -> int:
    """Count the copies of the inputs whose reading displaces a last-level cache five times over."""
    return math.ceil(COLD_CACHES * (llc_bytes or UNKNOWN_CACHE_BYTES) / read_bytes(problem))


def read_bytes(problem: Problem) -> int:
    """Bytes of its own inputs that one call reads: those that the mask lets it see, no outputs."""
    cost = compute_cost(replace(problem, mode="fwd"))
    return cost.bytes_q + cost.bytes_k + cost.bytes_v + cost.bytes_scales + cost.bytes_table


def rotation_fits(problem: Problem, device: Device) -> bool:
    """Say whether so many copies fit; problem and device decide, for every backend alike.

    A window reads little of a large cache, so that its copies may need far more memory than five
    last-level caches.
    """
    copies = copies_for(problem, device.llc_bytes)
    cost = compute_cost(problem)
    held = cost.kv_cache_bytes + cost.bytes_q + cost.bytes_o
    return copies <= MOST_COPIES and copies * held <= _ROTATION_SHARE * device.memory_bytes
