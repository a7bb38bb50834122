"""What a run says of its machine: self-tests, and canaries first and last in each process.

Canaries are the same code on both sides of an ``ab``. What they differ by is the machine's doing,
and says how far the two sides had the same machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from attnbench.stats.decision import MARGIN, adjusted
from attnbench.stats.difference import Difference, paired

# Of a hundred ab on a machine that is the same for both sides, one may say that it was not.
_DOUBT = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """The machine at the two ends of one process; times in microseconds by canary.

    ``last`` is None where the process did not end in good order, ``flat`` where no clock was looked
    at. ``failed`` says why canaries could not be timed.
    """

    process: int
    first: Mapping[str, float] | None = None
    last: Mapping[str, float] | None = None
    warmup_s: float | None = None
    flat: bool | None = None
    notes: tuple[str, ...] = ()
    failed: str | None = None

    @property
    def changes(self) -> dict[str, float]:
        """What each canary took last over first, less 1."""
        if self.first is None or self.last is None:
            return {}
        return {name: self.last[name] / self.first[name] - 1 for name in self.first}

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "process": self.process,
            "first_us": self.first and dict(self.first),
            "last_us": self.last and dict(self.last),
            "changes": self.changes,
            "warmup_s": self.warmup_s,
            "flat": self.flat,
            "notes": list(self.notes),
            "failed": self.failed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """One run's machine: the tests of each time the run was started or resumed."""

    run_name: str | None
    tests: tuple[Mapping[str, Any], ...] = ()
    processes: tuple[ProcessState, ...] = field(default=())

    @property
    def distrust(self) -> tuple[str, ...]:
        """The tests that failed so that no figure may be believed, each in a line."""
        return tuple(
            f"{one['name']}: {one['measured']}, expected {one['expected']}"
            for one in self.tests
            if one["grave"] and not one["passed"]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "run_name": self.run_name,
            "selftest": [dict(one) for one in self.tests],
            "processes": [one.to_dict() for one in self.processes],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryShift:
    """How much longer a canary took beside the new side, a share, with its 95 % interval.

    One value a round, as for a case; ``low`` and ``high`` are None below two rounds. ``is_real``
    says that it is beyond doubt, among all canaries, and by more than is ever asked of a case.
    """

    name: str
    change: float
    low: float | None
    high: float | None
    rounds: int
    is_real: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


def canary_shifts(base: MachineState, new: MachineState) -> tuple[CanaryShift, ...]:
    """Compare the canaries of two sides process by process; process n of either is round n."""
    rounds = [_by_process(state) for state in (base, new)]
    numbers = sorted(rounds[0].keys() & rounds[1].keys())
    names = list(dict.fromkeys(name for number in numbers for name in rounds[0][number]))
    if not names:
        return ()
    gaps = np.array(
        [[rounds[1][n].get(one, np.nan) - rounds[0][n][one] for n in numbers] for one in names]
    )
    found = paired(gaps)
    ends = np.expm1(np.array([found.estimate, found.low, found.high]))
    counts = np.isfinite(gaps).sum(axis=1)
    return tuple(
        CanaryShift(
            name=name,
            change=float(change),
            low=float(low) if np.isfinite(low) else None,
            high=float(high) if np.isfinite(high) else None,
            rounds=int(count),
            is_real=bool(is_real),
        )
        for name, (change, low, high), count, is_real in zip(
            names, ends.T, counts, _beyond_doubt(found), strict=True
        )
        if count
    )


def _beyond_doubt(found: Difference) -> list[bool]:
    """Whether each differs by more than the margin of a verdict, in either direction."""
    margin = float(np.log1p(MARGIN))
    p = 2 * np.fmin(found.p_slower(margin), found.p_faster(margin))
    known = np.nan_to_num(np.minimum(p, 1.0), nan=1.0)
    return [bool(one <= _DOUBT) for one in adjusted(known)]


def _by_process(state: MachineState) -> dict[int, dict[str, float]]:
    """The log time of each canary in each process: the mean of first and last, if it had a last."""
    found = {}
    for one in state.processes:
        if one.first is not None:
            ends = [one.first] if one.last is None else [one.first, one.last]
            found[one.process] = {
                name: float(np.mean([np.log(end[name]) for end in ends])) for name in one.first
            }
    return found


def machine_states(metadata: Mapping[str, Any]) -> list[MachineState]:
    """Read a run's footer, or those that a merged one holds; a run without records is left out."""
    parts = metadata.get("merged") or [metadata]
    return [_state(one) for one in _flattened(parts) if one.get("records")]


def _flattened(parts: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """A merged run may have been merged again."""
    for one in parts:
        yield from _flattened(one["merged"]) if "merged" in one else [one]


def _state(metadata: Mapping[str, Any]) -> MachineState:
    records = metadata["records"]
    tests = [test for one in records if one["record"] == "selftest" for test in one["tests"]]
    return MachineState(
        run_name=metadata.get("run_name"),
        tests=tuple(tests),
        processes=tuple(_processes([one for one in records if one["record"] == "canaries"])),
    )


def _processes(records: list[Mapping[str, Any]]) -> Iterator[ProcessState]:
    """Join first and last; a process that was resumed has begun twice."""
    begun: Mapping[str, Any] | None = None
    for one in records:
        if one["when"] == "first":
            if begun is not None:
                yield _process(begun, None)
            begun = one
        elif begun is not None:
            yield _process(begun, one)
            begun = None
    if begun is not None:
        yield _process(begun, None)


def _process(first: Mapping[str, Any], last: Mapping[str, Any] | None) -> ProcessState:
    end = last or {}
    return ProcessState(
        process=first["process"],
        first=first.get("us"),
        last=end.get("us"),
        warmup_s=first.get("warmup_s"),
        flat=first.get("flat"),
        notes=tuple(end.get("notes", ())),
        failed=first.get("failed") or end.get("failed"),
    )
