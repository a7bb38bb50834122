"""The profilers of ``attnbench profile``: one protocol, one table.

``TorchProfiler`` leaves a Chrome trace and a table of kernels (on a CPU, of operators). ``Proton``,
Triton's profiler, leaves the time and calls of each kernel as a tree in a .hatchet file. ``ncu`` is
a module of its own.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from attnbench.device.local import version_of
from attnbench.errors import InputError
from attnbench.profile.ncu import Ncu
from attnbench.profile.profiled import Kernel, slowest_first


class Tool(Protocol):
    """One profiler. What runs inside the profiled process is in ``target.CAPTURES``.

    ``suffix`` ends the name of its output file. ``slowdown`` is how many times longer than an
    unprofiled case it may take before it counts as hung.
    """

    name: str
    about: str
    suffix: str
    slowdown: float

    def lacks(self) -> tuple[str, str] | None:
        """Return what is missing here and how to install it, or None."""
        ...

    def command(self, target: Sequence[str], out: Path, *, cold: bool) -> list[str]:
        """Return the command that profiles ``target``; ``cold`` asks for a flushed cache."""
        ...

    def refusal(self, out: Path, said: str) -> tuple[str, str | None] | None:
        """Return why the profiler refused, from its file and output: message and hint, or None."""
        ...

    def read(self, out: Path, answer: Mapping[str, Any]) -> tuple[Kernel, ...]:
        """Return the kernels, slowest first.

        Args:
            out: the file that the profiler wrote.
            answer: what the profiled process reported.

        Raises:
            InputError: the file is not what this version of the profiler writes.

        """
        ...


class TorchProfiler:
    """Runs in the profiled process, which sums the kernels, because the trace has no totals."""

    name = "torch"
    about = "Chrome trace and kernel table, on any device"
    suffix = ".trace.json"
    slowdown = 4.0

    def lacks(self) -> tuple[str, str] | None:
        """Check for torch, which contains it."""
        if version_of("torch") is None:
            return "torch is not installed", 'python -m pip install "attnbench[torch]"'
        return None

    def command(self, target: Sequence[str], out: Path, *, cold: bool) -> list[str]:
        """Wrap nothing: the process flushes the cache itself."""
        del out, cold
        return list(target)

    def refusal(self, out: Path, said: str) -> None:
        """Return None: every failure is an exception in the profiled process."""

    def read(self, out: Path, answer: Mapping[str, Any]) -> tuple[Kernel, ...]:
        """Return the totals of the answer; the trace is for people to look at."""
        del out
        return slowest_first([Kernel(**one) for one in answer["kernels"]])


_TIME, _COUNT = "time (ns)", "count"
_NANO = 1e-9


class Proton:
    """Runs in the profiled process, through CUPTI; its file is JSON, a tree of frames."""

    name = "proton"
    about = "kernel table through Triton's profiler, CUDA only"
    suffix = ".hatchet"
    slowdown = 4.0

    def lacks(self) -> tuple[str, str] | None:
        """Check for triton, which contains it."""
        if version_of("triton") is None:
            return "triton is not installed", 'python -m pip install "attnbench[torch]"'
        return None

    def command(self, target: Sequence[str], out: Path, *, cold: bool) -> list[str]:
        """Wrap nothing: the process flushes the cache itself."""
        del out, cold
        return list(target)

    def refusal(self, out: Path, said: str) -> None:
        """Return None: a failure is an exception in the profiled process, or a missing file."""

    def read(self, out: Path, answer: Mapping[str, Any]) -> tuple[Kernel, ...]:
        """Sum the leaves of the tree by name.

        Raises:
            InputError: the file is not such a tree, or contains no kernel.

        """
        del answer
        try:
            document = json.loads(out.read_text(encoding="utf-8"))
            times: dict[str, float] = defaultdict(float)
            calls: dict[str, int] = defaultdict(int)
            for name, metrics in _leaves(document[0]):
                times[name] += float(metrics[_TIME]) * _NANO
                calls[name] += int(metrics[_COUNT])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise InputError(
                f"{out} is not what proton of triton 3 writes: {error!r}",
                hint="look at it with proton-viewer, or take --tool torch",
            ) from error
        if not times:
            raise InputError(f"{out} holds no kernel", hint="take --tool torch")
        return slowest_first(
            [Kernel(name=name, calls=calls[name], total_s=times[name]) for name in times]
        )


def _leaves(node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the leaves that have a time: kernels, in whatever scope they ran."""
    children = node["children"]
    if not children and _TIME in node["metrics"]:
        yield node["frame"]["name"], node["metrics"]
    for child in children:
        yield from _leaves(child)


TOOLS: dict[str, Tool] = {one.name: one for one in (TorchProfiler(), Ncu(), Proton())}
