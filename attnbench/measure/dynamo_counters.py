"""Whether torch.compile compiled what it should, and only once.

torch recompiles a function for each new set of shapes. After eight of them (its recompile limit),
or if it cannot compile at all, it runs the function as plain Python and only logs a line. Such a
time is not a time of the backend. torch's own counters reveal it: a frame is one attempt to
compile.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Frames:
    """Attempts to compile so far, and how many succeeded."""

    total: int = 0
    compiled: int = 0

    @classmethod
    def now(cls) -> Frames:
        """Read torch's counters; zero if its compiler was never imported."""
        dynamo = sys.modules.get("torch._dynamo.utils")
        if dynamo is None:
            return cls()
        frames = dynamo.counters["frames"]
        return cls(frames["total"], frames["ok"])


class CompileWatcher:
    """Watches one case: create it before ``prepare``, and ``settle`` after the first calls."""

    def __init__(self) -> None:
        # Without a compilation there is nothing to reset, and on CUDA a reset would import the
        # whole compiler, which takes every worker seconds.
        if Frames.now().total:
            # The limit counts per process: without this, the ninth problem of a process would run
            # as plain Python, and its time would depend on the order of the cases.
            torch.compiler.reset()
        self._begun = self._settled = Frames.now()

    def settle(self) -> None:
        """Mark the moment after which nothing should be compiled any more."""
        self._settled = Frames.now()

    def notes(self) -> tuple[str, ...]:
        """Return RECOMPILED if anything compiled since, FALLBACK if anything ran as Python."""
        end = Frames.now()
        attempts = end.total - self._begun.total
        failed = attempts - (end.compiled - self._begun.compiled)
        found = {"RECOMPILED": end.total > self._settled.total, "FALLBACK": failed > 0}
        return tuple(code for code, is_so in found.items() if is_so)
