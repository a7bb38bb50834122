"""Joules of a call on either side of a comparison, where the device told them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnbench.analysis.sides import Side

_US_A_SECOND = 1e6


@dataclass(frozen=True, slots=True)
class Energy:
    """Joules of one call; ``counted`` by the board's counter, or else power times latency."""

    joules: float
    counted: bool


def energies(side: Side) -> Mapping[str, Energy]:
    """Return each ok case's energy by its id, medians over its rows; unknown ones are left out.

    The counter is read over many calls. Where it was not, the power that the telemetry read after
    the samples stands for the whole of them.
    """
    columns = ["case_id", "status", "energy_j_per_call", "power_w", "latency_us"]
    counted: dict[str, list[float]] = {}
    estimated: dict[str, list[float]] = {}
    for row in side.table.select(columns).to_pylist():
        if row["status"] != "ok":
            continue
        if row["energy_j_per_call"]:
            counted.setdefault(row["case_id"], []).append(row["energy_j_per_call"])
        elif row["power_w"] and row["latency_us"]:
            joules = row["power_w"] * row["latency_us"] / _US_A_SECOND
            estimated.setdefault(row["case_id"], []).append(joules)
    found = {case: Energy(median(known), counted=False) for case, known in estimated.items()}
    found |= {case: Energy(median(known), counted=True) for case, known in counted.items()}
    return found
