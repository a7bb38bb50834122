"""Triton's profiler: the time and calls of each kernel, as a tree in a .hatchet file."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attnbench.device.local import version_of
from attnbench.errors import InputError
from attnbench.profile.profiled import Kernel, slowest_first

_TIME, _COUNT = "time (ns)", "count"
_NANO = 1e-9


class Proton:
    """Runs in the profiled process, through CUPTI; its file is JSON, a tree of frames."""

    name = "proton"
    about = "kernel table through Triton's profiler, CUDA only"
    suffix = ".hatchet"
    slowdown = 4.0

    def lacks(self) -> tuple[str, str] | None:
        """It comes with triton."""
        if version_of("triton") is None:
            return "triton is not installed", 'python -m pip install "attnbench[torch]"'
        return None

    def command(self, target: Sequence[str], out: Path, *, cold: bool) -> list[str]:
        """Nothing is wrapped; the cache is emptied by the process itself."""
        del out, cold
        return list(target)

    def refusal(self, out: Path, said: str) -> None:
        """What goes wrong is an exception in the profiled process, or no file at all."""

    def read(self, out: Path, answer: Mapping[str, Any]) -> tuple[Kernel, ...]:
        """Sum the leaves of the tree by name.

        Raises:
            InputError: the file is no such tree, or holds no kernel.

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
    """Yield the frames that have a time of their own: kernels, whatever scope they ran in."""
    children = node["children"]
    if not children and _TIME in node["metrics"]:
        yield node["frame"]["name"], node["metrics"]
    for child in children:
        yield from _leaves(child)
