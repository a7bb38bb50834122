"""A paper's or a peer's figures beside ours: shown with their hardware, never compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attnbench.analysis.cases import CaseResult
from attnbench.filter import parse
from attnbench.units import flops_text, rate_text, time_text

Line = tuple[str, str, str, str]


def published_lines(run: Mapping[str, Any], cases: Sequence[CaseResult]) -> Iterator[Line]:
    """Yield (problem, backend, figure, device) for what the run's suite quotes of these problems.

    ``run`` is the run's metadata, as its file's footer holds it. A figure is quoted once a problem,
    whatever of ours was measured on it.
    """
    problems: dict[str, Mapping[str, Any]] = {}
    for case in cases:
        problems.setdefault(case.problem, case.rows[0])
    for quoted in run.get("published", ()):
        where = parse(quoted["where"])
        for label, row in problems.items():
            if where.matches(row):
                yield label, quoted["backend"], _figures(quoted), quoted["device"]


def _figures(quoted: Mapping[str, Any]) -> str:
    """Write whichever of latency, arithmetic rate and bandwidth was published."""
    latency_us, tflops, gbps = (quoted.get(name) for name in ("latency_us", "tflops", "gbps"))
    said = [
        None if latency_us is None else time_text(latency_us * 1e-6),
        None if tflops is None else flops_text(tflops * 1e12),
        None if gbps is None else rate_text(gbps * 1e9),
    ]
    return ", ".join(filter(None, said))
