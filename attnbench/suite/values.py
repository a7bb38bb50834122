"""A suite as a value: what was asked, and every case of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attnbench.case import Case
from attnbench.errors import NothingSelected
from attnbench.filter import Filter, case_fields, parse
from attnbench.method import Measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much slower the cases that ``where`` picks may become; 0.03 is 3 %."""

    where: Filter
    max_slowdown: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """When a change is too slow; ``given`` says whether the suite has a gate at all."""

    max_slowdown: float = 0.02
    limits: tuple[Limit, ...] = ()
    min_processes: int = 5
    inconclusive: str = "warn"
    given: bool = False

    def limit_for(self, fields: Mapping[str, Any]) -> float:
        """Return the limit of a case, given as ``case_fields`` or a table's row; the last match."""
        found = self.max_slowdown
        for limit in self.limits:
            if limit.where.matches(fields):
                found = limit.max_slowdown
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A figure of others for the cases that ``where`` picks, with the hardware it is from."""

    where: Filter
    device: str
    backend: str
    latency_us: float | None = None
    tflops: float | None = None
    gbps: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, for the result file."""
        return {
            "where": self.where.text,
            "device": self.device,
            "backend": self.backend,
            "latency_us": self.latency_us,
            "tflops": self.tflops,
            "gbps": self.gbps,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A suite file, read and expanded.

    ``labels`` are the backends with their options, in the file's order. ``excluded`` counts the
    cases that ``exclude`` removed, ``derived`` says what models were derived to, and ``options``
    names the options of the backends, so that filters may use them. ``path`` is None for a text.
    """

    name: str
    text: str
    sha256: str
    folder: Path
    cases: tuple[Case, ...]
    path: Path | None = None
    about: str = ""
    tags: tuple[str, ...] = ()
    source: str | None = None
    published: tuple[Published, ...] = ()
    labels: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    baseline: str | None = None
    measure: Measure = field(default_factory=Measure)
    gate: Gate = field(default_factory=Gate)
    excluded: int = 0
    derived: tuple[str, ...] = ()

    def select(self, text: str) -> Suite:
        """Return the suite with the cases alone that a filter picks.

        Raises:
            InputError: a filter that does not read.
            NothingSelected: it picks none.

        """
        chosen = parse(text, extra=self.options)
        cases = tuple(case for case in self.cases if chosen.matches(case_fields(case)))
        if not cases:
            raise NothingSelected(
                f"nothing to run: {text!r} picks none of {len(self.cases)} cases",
                hint=f"attnbench plan {self.path or self.name} lists them",
            )
        return replace(self, cases=cases)
