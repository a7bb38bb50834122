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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.analysis.cases import rows_of
from attnbench.errors import NameTakenError
from attnbench.execute.events import Listener, RunFinished
from attnbench.execute.request import RunRequest
from attnbench.execute.runner import run
from attnbench.execute.tune import Candidate, suite_of
from attnbench.kernels.tile_table import Slot, Table, Tile, TileRow, table_of
from attnbench.store import atomic
from attnbench.suite import Suite

if TYPE_CHECKING:
    import pandas as pd

MARGIN = 0.01
_OK = "ok"


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


def choices_of(frame: pd.DataFrame, candidates: Iterable[Candidate]) -> list[Choice]:
    """Choose for every slot from the rows of the run that measured the trials."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows_of(frame):
        rows.setdefault(row["case_id"], []).append(row)
    slots: dict[Slot, list[Candidate]] = {}
    for one in candidates:
        if one.dropped is None:
            slots.setdefault(one.slot, []).append(one)
    found = []
    for slot, tried in slots.items():
        shipped = next(one for one in tried if one.is_shipped)
        times = [_times(one, rows) for one in tried]
        found.append(choose(slot, len(shipped.cases), times, shipped.tile))
    return found


def _times(candidate: Candidate, rows: Mapping[str, list[Mapping[str, Any]]]) -> Times:
    """Gather a tile's processes; one row that is not ok is enough to leave it out."""
    by_process: dict[int, list[float]] = {}
    for trial in candidate.trials:
        own = rows.get(trial.id, [])
        bad = next((row for row in own if row["status"] != _OK), None)
        if bad is not None or not own:
            said = "was not measured" if bad is None else f"{bad['status']}: {bad['reason']}"
            return Times(tile=candidate.tile, reason=f"{trial.problem.label} {said}")
        for row in own:
            by_process.setdefault(int(row["process"]), []).append(float(row["latency_us"]))
    whole = [one for one in by_process.values() if len(one) == len(candidate.trials)]
    if not whole:
        return Times(tile=candidate.tile, reason="no process measured all its problems")
    return Times(tile=candidate.tile, processes_us=tuple(map(geometric, whole)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be tuned: a suite, its candidates, and the file of the table to write.

    The run that measures lies beside the table, with the suffix .parquet.
    """

    suite: Suite
    candidates: tuple[Candidate, ...]
    out: Path
    device: str = "auto"
    processes: int = 5
    resume: bool = False
    repro: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What came of it; no choices, and no table, where the run was interrupted."""

    run: RunFinished
    choices: tuple[Choice, ...]


def tune(order: Order, listener: Listener) -> Tuned:
    """Measure every trial, choose a tile for each slot, and write the table.

    Raises:
        AttnbenchError: as ``execute.runner.run``.
        NameTakenError: the table exists.

    """
    if order.out.exists():
        raise NameTakenError(f"{order.out} exists", hint="give the new table another name")
    request = RunRequest(
        suite=suite_of(order.suite, order.candidates),
        device=order.device,
        out=order.out.with_suffix(".parquet"),
        processes=order.processes,
        resume=order.resume,
        repro=order.repro,
    )
    finished = run(request, listener)
    if finished.interrupted:
        return Tuned(run=finished, choices=())
    from attnbench.store import read

    frame = read(finished.out).frame
    choices = choices_of(frame, order.candidates)
    name, source = source_of(rows_of(frame.head(1))[0], finished)
    atomic.write_text(order.out, table_with(table_of(), choices, name, source).text())
    return Tuned(run=finished, choices=tuple(choices))


def source_of(row: Mapping[str, Any], finished: RunFinished) -> tuple[str, dict[str, Any]]:
    """Name a source by device and day, and say on what it was measured."""
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
        "run": finished.run_name,
    }
    return f"{row['device_name']} {day}", facts


def table_with(
    table: Table, choices: Iterable[Choice], name: str, source: Mapping[str, Any]
) -> Table:
    """The table with what was measured: rows that stay are now from this source too."""
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
