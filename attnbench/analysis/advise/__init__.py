"""Which backend for which shapes: regions of phase, batch and context, for people and for engines.

A tie stays a tie, and a region ends only where the intervals between processes say so: see
``regions`` for how switches are placed and docs/advise.md for the whole of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.analysis.advise.regions import (
    UNSURE_WIN,
    Backend,
    Grid,
    Region,
    Span,
    grids_of,
    regions_of,
)
from attnbench.analysis.warnings import input_warnings, note_warnings, process_warnings
from attnbench.errors import NothingSelected
from attnbench.store.run import Source
from attnbench.units import counted

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "UNSURE_WIN",
    "Advice",
    "Backend",
    "DeviceAdvice",
    "Region",
    "Span",
    "advise",
    "advise_rows",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAdvice:
    """The advice for one device; ``backends`` by label, ``runs`` by id with their names."""

    device_id: str
    name: str
    arch: str | None
    memory_bytes: int | None
    runs: Mapping[str, str]
    measured: tuple[str, str] | None
    regions: tuple[Region, ...]
    backends: Mapping[str, Backend]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The advice of one run or several, a device at a time."""

    devices: tuple[DeviceAdvice, ...]

    def region(
        self,
        *,
        batch: int | None,
        context: int | None,
        device: str | None = None,
        **fields: Any,
    ) -> Region | None:
        """Return the region that speaks of a problem, as an engine would look it up.

        ``fields`` are the shape's: phase, dtype, q_heads, kv_heads, head_dim and what else differs
        from the defaults; what a region fixes and they do not name is not asked. ``device`` is a
        device id. None where nothing was measured: advice is never stretched over it.
        """
        for one in self.devices:
            if device is not None and one.device_id != device:
                continue
            for region in one.regions:
                shape = region.shape.problem
                if region.holds(batch, context) and all(
                    shape.get(name) == value for name, value in fields.items()
                ):
                    return region
        return None


def advise(runs: Source | Iterable[Source], *, filter: str | None = None) -> Advice:
    """Say which backend to use where, from one run or several.

    ``filter`` is a filter. Runs of one device are judged one by one and then joined; devices never.

    Raises:
        InputError: a run that cannot be read, or a filter that is wrong.
        NothingSelected: no case is left, or none came out ok.

    """
    from attnbench.analysis.cases import filtered
    from attnbench.store import load

    return advise_rows(filtered(load(runs), filter))


def advise_rows(frame: pd.DataFrame) -> Advice:
    """Say which backend to use where, from rows as ``attnbench.load`` gives them.

    Raises:
        NothingSelected: there is no row, or no case came out ok.

    """
    if frame.empty:
        raise NothingSelected("there is no row to advise from", hint="attnbench list runs")
    found = [_of_device(rows) for _, rows in frame.groupby("device_id", sort=False, dropna=False)]
    if not any(one.regions for one in found):
        statuses = ", ".join(
            f"{count} {word}" for word, count in frame["status"].value_counts().items()
        )
        raise NothingSelected(
            f"no case came out ok, so there is nothing to choose from ({statuses})",
            hint="attnbench show tells why",
        )
    return Advice(devices=tuple(found))


def _of_device(rows: pd.DataFrame) -> DeviceAdvice:
    from attnbench.analysis.cases import rows_of

    grids, backends, cases = grids_of(rows)
    regions = tuple(region for grid in grids for region in regions_of(grid))
    first = rows_of(rows.head(1))[0]
    moments = rows["started_at"].dropna()
    warnings = [
        *input_warnings(cases),
        *process_warnings(cases),
        *note_warnings(cases),
        *_about_choice(regions, grids),
    ]
    return DeviceAdvice(
        device_id=str(first["device_id"] or ""),
        name=str(first["device_name"] or "unknown device"),
        arch=first["device_arch"],
        memory_bytes=first["device_memory_bytes"],
        runs={
            str(run_id): str(names.iloc[0] or "")
            for run_id, names in rows.groupby("run_id", sort=False)["run_name"]
        },
        measured=None if moments.empty else (moments.min().isoformat(), moments.max().isoformat()),
        regions=regions,
        backends={label: backends[label] for label in sorted(backends)},
        warnings=tuple(warnings),
    )


def _about_choice(regions: Sequence[Region], grids: Sequence[Grid]) -> Iterable[str]:
    """Say where there was no choice, where runs disagree, and where nothing finished."""
    cells = [cell for grid in grids for cell in grid.cells]
    single = sum(len(cell.latencies) == 1 for cell in cells)
    problems = counted(len(cells), "problem", "were")
    if single:
        yield f"{single} of {problems} finished by only one backend: nothing was chosen there"
    if disputed := sum(one.disputed for one in regions):
        yield (
            f"on {disputed} of {counted(len(cells), 'problem')} the runs have different winners:"
            " both are named"
        )
    if failed := sum(not cell.is_settled for cell in cells):
        yield f"{failed} of {problems} finished by no backend: no advice there"
