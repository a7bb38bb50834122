"""Whether what torch.compile was to compile was compiled, and once.

torch compiles a function anew for each set of shapes that it meets, and past eight of them (its
recompile limit), or where it cannot compile at all, it runs the function as plain Python and says
so in one line of a log. A time of that is not a time of the backend. torch's own counters tell: a
frame is one attempt to compile.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Frames:
    """Attempts to compile so far, and how many came off."""

    total: int = 0
    compiled: int = 0

    @classmethod
    def now(cls) -> Frames:
        """Read torch's counters; nothing was attempted where its compiler was never imported."""
        dynamo = sys.modules.get("torch._dynamo.utils")
        if dynamo is None:
            return cls()
        frames = dynamo.counters["frames"]
        return cls(frames["total"], frames["ok"])


class CompileWatcher:
    """Watches one case: made before it is prepared, ``settle`` after its first calls."""

    def __init__(self) -> None:
        # Where nothing was compiled there is nothing to reset, and on CUDA a reset would import the
        # whole compiler: seconds of every worker.
        if Frames.now().total:
            # The limit is one of the process: without this the ninth problem of a process would run
            # as plain Python, and its time would hang on the order of the cases.
            torch.compiler.reset()
        self._begun = self._settled = Frames.now()

    def settle(self) -> None:
        """From here on nothing should be compiled any more."""
        self._settled = Frames.now()

    def notes(self) -> tuple[str, ...]:
        """RECOMPILED if something was compiled since, FALLBACK if anything ran as plain Python."""
        end = Frames.now()
        attempts = end.total - self._begun.total
        failed = attempts - (end.compiled - self._begun.compiled)
        found = {"RECOMPILED": end.total > self._settled.total, "FALLBACK": failed > 0}
        return tuple(code for code, is_so in found.items() if is_so)
