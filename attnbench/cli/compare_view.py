"""What the user asked to see of a comparison, or of several in a matrix."""

from __future__ import annotations

from dataclasses import dataclass

ROWS_SHOWN = 40  # unchanged rows are left out of a longer table


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the user asked to see."""

    threshold: float
    everything: bool = False
    explain: bool = False
    rows: tuple[str, ...] = ()
