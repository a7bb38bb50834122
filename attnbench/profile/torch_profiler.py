"""torch's own profiler: a Chrome trace and a table of kernels, on a CPU of operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attnbench.device.local import version_of
from attnbench.profile.profiled import Kernel, slowest_first


class TorchProfiler:
    """Runs in the profiled process, which sums the kernels itself: the trace has no totals."""

    name = "torch"
    about = "Chrome trace and kernel table, on any device"
    suffix = ".trace.json"
    slowdown = 4.0

    def lacks(self) -> tuple[str, str] | None:
        """It comes with torch."""
        if version_of("torch") is None:
            return "torch is not installed", 'python -m pip install "attnbench[torch]"'
        return None

    def command(self, target: Sequence[str], out: Path, *, cold: bool) -> list[str]:
        """Nothing is wrapped; the cache is emptied by the process itself."""
        del out, cold
        return list(target)

    def refusal(self, out: Path, said: str) -> None:
        """What goes wrong is an exception in the profiled process."""

    def read(self, out: Path, answer: Mapping[str, Any]) -> tuple[Kernel, ...]:
        """Take the totals from the answer; the trace is for a person's eyes."""
        del out
        return slowest_first([Kernel(**one) for one in answer["kernels"]])
