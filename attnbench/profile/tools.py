"""The profilers that ``attnbench profile`` knows: one protocol, one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from attnbench.profile.ncu import Ncu
from attnbench.profile.profiled import Kernel
from attnbench.profile.proton import Proton
from attnbench.profile.torch_profiler import TorchProfiler


class Tool(Protocol):
    """One profiler. What runs inside the profiled process stands in ``target.CAPTURES``.

    ``suffix`` ends the name of the file that it leaves, ``slowdown`` says how many times longer
    than plain a profiled case may take before it counts as hung.
    """

    name: str
    about: str
    suffix: str
    slowdown: float

    def lacks(self) -> tuple[str, str] | None:
        """Say what is missing here and how to install it, or None."""
        ...

    def command(self, target: Sequence[str], out: Path, *, cold: bool) -> list[str]:
        """Wrap the command that makes the call; ``cold`` asks for an empty cache before it."""
        ...

    def refusal(self, out: Path, said: str) -> tuple[str, str | None] | None:
        """Find in what the profiler wrote and said why it did not look: message and hint."""
        ...

    def read(self, out: Path, answer: Mapping[str, Any]) -> tuple[Kernel, ...]:
        """Read what it left; ``answer`` is what the profiled process said of itself.

        Raises:
            InputError: the file is not what this version of the profiler writes.

        """
        ...


TOOLS: dict[str, Tool] = {one.name: one for one in (TorchProfiler(), Ncu(), Proton())}
