"""Which tile a slot gets after its trials were measured: the fastest, if it is beyond doubt.

A tile's time is the geometric mean over its slot's problems, once a process. The fastest replaces
the shipped one only if its mean over processes is at least 1 % lower and none of its processes is
as slow as the shipped tile's fastest; anything less is a tie, and the shipped one stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from attnbench.analysis.cases import rows_of
from attnbench.case import Case
from attnbench.kernels.tile_table import Slot, Table, Tile, TileRow

if TYPE_CHECKING:
    import pandas as pd

MARGIN = 0.01
_OK = "ok"


class TriedTile(Protocol):
    """A tile of a slot and the cases that measured it; ``dropped`` says why none did."""

    @property
    def slot(self) -> Slot:
        """The kernel, kind, family and width that the tile is for."""

    @property
    def tile(self) -> Tile:
        """The tile."""

    @property
    def is_shipped(self) -> bool:
        """Whether the present table has this tile for the slot."""

    @property
    def trials(self) -> tuple[Case, ...]:
        """The cases to look up in the run, one for each problem."""

    @property
    def dropped(self) -> str | None:
        """Why the tile was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """One tile: µs of each process over all problems of its slot, or why there are none."""

    tile: Tile
    processes_us: tuple[float, ...] = ()
    reason: str | None = None

    @property
    def mean_us(self) -> float:
        """Geometric mean over the processes."""
        return geometric(self.processes_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a slot gets, and by which rule; times in µs, None where a tile was not measured whole.

    ``failed`` are tiles that were not ok everywhere, with the first reason.
    """

    slot: Slot
    problems: int
    shipped: Tile
    chosen: Tile
    before_us: float | None
    after_us: float | None
    rule: str
    failed: Mapping[str, str]

    @property
    def is_new(self) -> bool:
        """Whether the table changes."""
        return self.chosen != self.shipped


def choose(slot: Slot, problems: int, times: Sequence[Times], shipped: Tile) -> Choice:
    """Choose among the tiles of one slot; of equally fast ones the first.

    Args:
        slot: what the choice is for.
        problems: how many problems its tiles were measured on.
        times: each tile that was tried, the shipped one among them.
        shipped: the tile that stays in a tie.

    """
    whole = [one for one in times if one.reason is None]
    failed = {str(one.tile): one.reason for one in times if one.reason is not None}
    before = next((one for one in whole if one.tile == shipped), None)
    others = [one for one in whole if one.tile != shipped]
    best = min(others, key=lambda one: one.mean_us, default=None)
    chosen, rule = before, "no other tile was ok"
    if before is None:
        chosen, rule = best, "the shipped tile was not ok"
    elif best is not None:
        chosen, rule = (best, "faster") if _is_faster(best, before) else (before, "a tie stays")
        if best.mean_us >= before.mean_us:
            rule = "the fastest"
    return Choice(
        slot=slot,
        problems=problems,
        shipped=shipped,
        chosen=shipped if chosen is None else chosen.tile,
        before_us=None if before is None else before.mean_us,
        after_us=None if chosen is None else chosen.mean_us,
        rule=rule if chosen is not None else "no tile was ok",
        failed=failed,
    )


def _is_faster(new: Times, old: Times) -> bool:
    by_enough = new.mean_us <= old.mean_us * (1 - MARGIN)
    return by_enough and max(new.processes_us) < min(old.processes_us)


def choices_of(frame: pd.DataFrame, tried_tiles: Iterable[TriedTile]) -> list[Choice]:
    """Choose for every slot from the rows of the run that measured the trials."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows_of(frame):
        rows.setdefault(row["case_id"], []).append(row)
    slots: dict[Slot, list[TriedTile]] = {}
    for one in tried_tiles:
        if one.dropped is None:
            slots.setdefault(one.slot, []).append(one)
    found = []
    for slot, tried in slots.items():
        shipped = next(one for one in tried if one.is_shipped)
        times = [_times(one, rows) for one in tried]
        found.append(choose(slot, len(shipped.trials), times, shipped.tile))
    return found


def _times(tried: TriedTile, rows: Mapping[str, list[Mapping[str, Any]]]) -> Times:
    """Gather a tile's processes; one row that is not ok is enough to leave it out."""
    by_process: dict[int, list[float]] = {}
    for trial in tried.trials:
        own = rows.get(trial.id, [])
        bad = next((row for row in own if row["status"] != _OK), None)
        if bad is not None or not own:
            said = "was not measured" if bad is None else f"{bad['status']}: {bad['reason']}"
            return Times(tile=tried.tile, reason=f"{trial.problem.label} {said}")
        for row in own:
            by_process.setdefault(int(row["process"]), []).append(float(row["latency_us"]))
    whole = [one for one in by_process.values() if len(one) == len(tried.trials)]
    if not whole:
        return Times(tile=tried.tile, reason="no process measured all its problems")
    return Times(tile=tried.tile, processes_us=tuple(map(geometric, whole)))


def source_of(row: Mapping[str, Any], run_name: str) -> tuple[str, dict[str, Any]]:
    """Describe where and when tiles were measured, for the table that records them.

    Args:
        row: Any row of the measured run.
        run_name: The name of that run.

    Returns:
        The name of the source (device and day), and its facts.

    """
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    facts = {
        "how": "measured by attnbench tune",
        "device": row["device_name"],
        "arch": row["device_arch"],
        "driver": row["driver"],
        "torch": row["torch_version"],
        "triton": row["triton_version"],
        "attnbench": row["attnbench_version"],
        "day": day,
        "run": run_name,
    }
    return f"{row['device_name']} {day}", facts


def table_with(
    table: Table, choices: Iterable[Choice], name: str, source: Mapping[str, Any]
) -> Table:
    """Return the table with the choices; a slot whose tile stays is from the new source too."""
    rows = [
        TileRow(
            slot=one.slot,
            tile=one.chosen,
            source=name,
            before_us=_rounded(one.before_us),
            after_us=_rounded(one.after_us),
        )
        for one in choices
        if one.after_us is not None
    ]
    return table.with_rows(rows, {name: source})


def geometric(values: Sequence[float]) -> float:
    """Geometric mean."""
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
