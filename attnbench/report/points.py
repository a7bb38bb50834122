"""Cases as points of figures: one problem, one backend, one latency, in one run.

A point is drawn when its case is ok, that is when all of its rows are. Rates are those of the
case's latency over processes, not an average of the processes' rates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.analysis.cases import CaseResult, by_run, cases_of
from attnbench.stats.latency import Latency

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One case of one run; ``run`` is what the page calls that run."""

    run: str
    case: CaseResult
    row: Mapping[str, Any]

    @property
    def backend(self) -> str:
        """The label of its backend."""
        return self.case.backend or "unnamed"

    @property
    def latency(self) -> Latency | None:
        """Seconds; None where the case is not ok."""
        return self.case.latency

    @property
    def seconds(self) -> float:
        """The latency of a case that is drawn."""
        assert self.case.latency is not None
        return self.case.latency.seconds

    @property
    def phase(self) -> str:
        """decode, prefill, extend or mixed."""
        return str(self.row["phase"] or "unknown phase")

    @property
    def length(self) -> int | None:
        """Tokens along the axis of lengths; None where the requests have several."""
        if self.row["requests"] is not None:
            return None
        name = "q_len" if self.phase == "prefill" else "kv_len"
        value = self.row[name]
        return None if value is None or value < 1 else int(value)

    @property
    def heads(self) -> str:
        """``32/8``: query heads over KV heads."""
        return f"{self.row['q_heads'] or '?'}/{self.row['kv_heads'] or '?'}"

    @property
    def tflops(self) -> float | None:
        """TFLOP/s of the FLOPs that the mask lets through."""
        flops = self.row["flops"]
        return None if not flops or self.latency is None else float(flops) / self.seconds / 1e12

    @property
    def bandwidth_gbps(self) -> float | None:
        """GB/s of the least traffic."""
        moved = self.row["min_bytes"]
        return None if not moved or self.latency is None else float(moved) / self.seconds / 1e9

    @property
    def bandwidth_share(self) -> float | None:
        """Percent of the best bandwidth; None where the working set stays in the cache."""
        peak, rate = self.row["peak_bandwidth_gbps"], self.bandwidth_gbps
        if not peak or rate is None or "L2_RESIDENT" in self.case.notes:
            return None
        return 100 * rate / float(peak)

    def middle(self, column: str) -> float | None:
        """Return the median of a column over the processes; None where no row has it."""
        return self.case.median(column)


def gather(frame: pd.DataFrame) -> list[Point]:
    """Make the points of all runs of a frame, each run by itself, in the order of their problems.

    Two runs that measured one case are two points: they are never averaged.
    """
    found = cases_of(frame, each_run=True)
    runs: dict[tuple[Any, ...], tuple[str, str]] = {}
    for one in found:
        run = (one.rows[0]["run_id"], one.rows[0]["side"])
        runs.setdefault(run, (_said(one.rows[0]["run_name"]), _said(one.rows[0]["device_name"])))
    return [
        Point(run=name, case=one, row=one.telling)
        for name, members in zip(_names(list(runs.values())), by_run(found), strict=True)
        for one in members
    ]


def drawn(points: Sequence[Point]) -> list[Point]:
    """Return the points that figures may show."""
    return [one for one in points if one.latency is not None]


def _names(runs: Sequence[tuple[str, str]]) -> list[str]:
    """Name each run by its device where that tells them apart, else by its name."""
    devices, names = Counter(device for _, device in runs), Counter(name for name, _ in runs)
    if len(devices) == len(runs):
        return [device for _, device in runs]
    return [
        name if names[name] == 1 else f"{name} ({number})"
        for number, (name, _) in enumerate(runs, 1)
    ]


def _said(value: object) -> str:
    return value if isinstance(value, str) and value else "unknown"
