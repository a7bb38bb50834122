"""Where a variant's times come from: a run that measured the problem, or a roofline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attnbench.analysis.cases import cases_of
from attnbench.cost import compute_cost
from attnbench.device.rates import Ceilings
from attnbench.problem import Problem

MEASURED, PREDICTED, PARTLY = "measured", "predicted", "partly measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The fastest ok case of one problem in the runs; seconds."""

    seconds: float
    backend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A time over all layers, where it comes from, and what limits it by the cost model.

    ``backends`` are those that were measured. A predicted time is the least that the traffic and
    the FLOPs need: no kernel is faster.
    """

    seconds: float
    source: str
    bound: str
    backends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What times are made of; ``device`` and ``ceilings_of`` are for people."""

    device: str
    ceilings: Ceilings
    ceilings_of: str
    measured: Mapping[str, Measured]
    kind: str = "cuda"

    def figure(self, parts: Sequence[tuple[int, Problem]]) -> Figure | None:
        """Add up (layers, problem); None where a dtype has no ceiling."""
        seconds, backends, bounds, sources = 0.0, [], [], []
        for layers, problem in parts:
            found = self._bound(problem)
            if found is None:
                return None
            least, bound = found
            known = self.measured.get(problem.id)
            seconds += layers * (known.seconds if known else least)
            sources.append(MEASURED if known else PREDICTED)
            backends += [known.backend] if known else []
            bounds.append((layers * least, bound))
        source = sources[0] if len(set(sources)) == 1 else PARTLY
        return Figure(
            seconds=seconds,
            source=source,
            bound=max(bounds)[1],
            backends=tuple(dict.fromkeys(backends)),
        )

    def _bound(self, problem: Problem) -> tuple[float, str] | None:
        """Seconds at the roofs, and which of them is the nearer."""
        bandwidth = self.ceilings.peak_bandwidth_gbps
        tflops = self.ceilings.peak_tflops(problem.dtype, self.kind)
        if not bandwidth or not tflops:
            return None
        cost = compute_cost(problem)
        memory, compute = cost.min_bytes / (bandwidth * 1e9), cost.flops / (tflops * 1e12)
        return max((memory, "memory"), (compute, "compute"))


def measured_in(paths: Sequence[Path]) -> dict[str, Measured]:
    """Return the fastest ok case of every problem of these runs.

    Raises:
        ResultFileError: a file cannot be read.

    """
    from attnbench.store import load

    found: dict[str, Measured] = {}
    for path in paths:
        for one in cases_of(load(path)):
            problem_id = one.rows[0]["problem_id"]
            if one.latency is None or problem_id is None:
                continue
            before = found.get(problem_id)
            if before is None or one.latency.seconds < before.seconds:
                found[problem_id] = Measured(seconds=one.latency.seconds, backend=one.backend)
    return found
