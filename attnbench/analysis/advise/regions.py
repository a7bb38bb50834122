"""From cases to cells, and from cells to regions where the same advice holds.

A cell is one shape, batch and context: which backends are as good as the fastest.

Along the context a switch happens only where no backend is good on both sides. Where it may happen
is an interval: as late as possible, reading from the short end, and as early as possible, reading
from the long one. Between the two lies a zone of indifference, in which both are as good as the
best. A backend that wins at one length by less than its interval makes no switch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from attnbench.analysis.cases import CaseResult, by_run, cases_of
from attnbench.problem import FIELDS
from attnbench.stats.latency import Latency, is_tie

if TYPE_CHECKING:
    import pandas as pd

# A win counts from here on where a case has no interval: one process is luck.
UNSURE_WIN = 0.10
# Said of every shape, whatever their value; the rest where it is not the default.
_ALWAYS = (
    *("phase", "mode", "dtype", "kv_dtype", "q_heads", "kv_heads", "head_dim", "v_head_dim"),
    "mask",
)
# What a cell has an axis for, and what changes no time that is worth a region of its own.
_NOT_SHAPE = ("batch", "q_len", "kv_len", "seed")

Label = str


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend as an engine would call it."""

    label: Label
    name: str
    options: str


@dataclass(frozen=True, slots=True)
class Shape:
    """What all cells of a grid share: the fields of their problems, and how they were timed."""

    fields: tuple[tuple[str, Any], ...]
    timer: str | None
    l2: str | None

    @property
    def problem(self) -> dict[str, Any]:
        """The fields as a mapping."""
        return dict(self.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One problem: ``good`` are the backends that tie with the fastest, which comes first.

    ``latencies`` has every backend that finished, in seconds. ``batch`` and ``context`` are None
    where the requests differ. ``disputed`` says that two runs have different winners.
    """

    batch: int | None
    context: int | None
    good: tuple[Label, ...]
    latencies: Mapping[Label, Latency]
    disputed: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether some backend finished."""
        return bool(self.good)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """All cells of one shape on one device."""

    shape: Shape
    cells: tuple[Cell, ...]


def grids_of(frame: pd.DataFrame) -> tuple[list[Grid], dict[Label, Backend], list[CaseResult]]:
    """Return the grids of one device's rows, the backends by label, and the cases.

    Each run is judged by itself; where several have one problem, what they agree on is kept.
    """
    found: dict[Shape, dict[tuple[int | None, int | None], list[Cell]]] = {}
    backends: dict[Label, Backend] = {}
    everything: list[CaseResult] = []
    for cases in by_run(cases_of(frame, each_run=True)):
        everything += cases
        for members in _by_problem(cases):
            for one in members:
                row = one.rows[0]
                name, options = row["backend"] or one.backend, row["backend_options"] or "{}"
                backends.setdefault(one.backend, Backend(one.backend, name, options))
            cell = _cell(members)
            shape = _shape(members[0])
            found.setdefault(shape, {}).setdefault((cell.batch, cell.context), []).append(cell)
    grids = [
        Grid(shape=shape, cells=tuple(_agreed(cells) for cells in places.values()))
        for shape, places in found.items()
    ]
    return grids, backends, everything


def _by_problem(cases: Sequence[CaseResult]) -> Iterable[list[CaseResult]]:
    groups: dict[tuple[Any, ...], list[CaseResult]] = {}
    for one in cases:
        key = (one.rows[0]["problem_id"] or one.problem, one.rows[0]["mode"], one.timing)
        groups.setdefault(key, []).append(one)
    # What the plan decided names no timing: it belongs to the problem as it was timed.
    timed = {key[:2]: key for key in groups if key[2]}
    for key in [key for key in groups if not key[2] and key[:2] in timed]:
        groups[timed[key[:2]]] += groups.pop(key)
    return groups.values()


def _shape(one: CaseResult) -> Shape:
    row = next((row for row in one.rows if row["timer"]), one.rows[0])
    fields = [(name, row[name]) for name in _ALWAYS]
    fields += [
        (name, row[name])
        for name in FIELDS
        if name not in (*_ALWAYS, *_NOT_SHAPE) and _tells(name, row[name])
    ]
    if row["scale"] is not None and math.isclose(row["scale"], row["head_dim"] ** -0.5):
        fields.remove(("scale", row["scale"]))
    if row["requests"] is None and row["phase"] != "decode" and row["q_len"] != row["kv_len"]:
        fields.append(("q_len", row["q_len"]))
    return Shape(tuple(fields), row["timer"], row["l2"])


def _tells(name: str, value: Any) -> bool:
    return value is not None and value is not False and value != _QUIET.get(name, object())


# Values that say nothing: the defaults of a problem's fields.
_QUIET = {
    "mask_align": "bottom_right",
    "sinks": 0,
    "bias": "none",
    "rope": "none",
    "append": 0,
    "attention": "softmax",
    "kv_layout": "contiguous",
    "input_dist": "normal",
}


def _cell(members: Sequence[CaseResult]) -> Cell:
    row = members[0].rows[0]
    ok = {one.backend: one.latency for one in members if one.latency is not None}
    ranked = sorted(ok, key=lambda label: ok[label].seconds)
    good = tuple(
        label
        for label in ranked
        if label == ranked[0] or is_tie(ok[ranked[0]], ok[label], without_interval=UNSURE_WIN)
    )
    ragged = row["requests"] is not None
    return Cell(
        batch=None if ragged else row["batch"],
        context=None if ragged else row["kv_len"],
        good=good,
        latencies={label: ok[label] for label in ranked},
    )


def _agreed(cells: Sequence[Cell]) -> Cell:
    """What several runs say of one problem: what they agree on, or else all that any says."""
    settled = [one for one in cells if one.is_settled]
    if len(settled) < 2:  # noqa: PLR2004  nobody to agree with
        return settled[0] if settled else cells[0]
    order = dict.fromkeys(label for one in settled for label in one.good)
    shared = [label for label in order if all(label in one.good for one in settled)]
    newest = settled[-1]
    return Cell(
        batch=newest.batch,
        context=newest.context,
        good=tuple(shared or order),
        latencies={label: one for cell in settled for label, one in cell.latencies.items()},
        disputed=not shared,
    )


def options_of(backend: Backend) -> dict[str, Any]:
    """Return the options that differ from the backend's defaults."""
    return dict(json.loads(backend.options))


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Both ends included; ``measured`` are the values inside it that were measured.

    Between two measured values of adjacent spans the border is their geometric mean.
    """

    low: int
    high: int
    measured: tuple[int, ...]

    def __contains__(self, value: int) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Where the same advice holds: use any of ``use``; more than one is a tie.

    ``batch`` and ``context`` are None for ragged batches. ``rival`` is the best of the others, and
    takes ``least`` to ``most`` longer than the best of ``use`` (shares); None where no other
    finished. In ``even`` of the ``cells`` it is as good as the best. ``regret`` is the most that
    the first of ``use`` takes longer than the fastest.
    """

    shape: Shape
    batch: Span | None
    context: Span | None
    use: tuple[Label, ...]
    cells: int
    disputed: int
    rival: Label | None
    even: int
    least: float | None
    most: float | None
    regret: float
    processes: int

    @property
    def is_tie(self) -> bool:
        """Whether several backends will do."""
        return len(self.use) > 1

    def holds(self, batch: int | None, context: int | None) -> bool:
        """Whether it speaks of this batch and context."""
        for span, value in ((self.batch, batch), (self.context, context)):
            if (span is None) != (value is None) or (
                span is not None and value is not None and value not in span
            ):
                return False
        return True


Row = tuple[Cell, ...]  # the cells of one batch by context, or of several batches laid together


def regions_of(grid: Grid) -> Iterator[Region]:
    """Yield the regions of one shape, by batch and context."""
    ragged = [one for one in grid.cells if one.context is None and one.is_settled]
    for one in ragged:
        yield _region(grid.shape, [one], one.good, None, None)
    batches: dict[int, list[Cell]] = {}
    for one in grid.cells:
        if one.context is not None:
            batches.setdefault(one.batch or 0, []).append(one)
    rows = {
        batch: tuple(sorted(cells, key=lambda cell: cell.context or 0))
        for batch, cells in sorted(batches.items())
    }
    groups = list(_groups(rows))
    spans = _spans([[batch for batch, _ in group] for group in groups])
    for group, batch in zip(groups, spans, strict=True):
        yield from _of_rows(grid.shape, batch, [row for _, row in group])


def _groups(rows: dict[int, Row]) -> Iterator[list[tuple[int, Row]]]:
    """Group adjacent batches where the group needs no more switches than each batch does."""
    group: list[tuple[int, Row]] = []
    for batch, row in rows.items():
        if group and not _fit([one for _, one in group], row):
            yield group
            group = []
        group.append((batch, row))
    if group:
        yield group


def _fit(rows: Sequence[Row], row: Row) -> bool:
    known = [[(cell.context, cell.is_settled) for cell in one] for one in (*rows, row)]
    if any(one != known[0] for one in known):
        return False
    single = max(_switches([one]) for one in (*rows, row))
    together = [*rows, row]
    return all(_good([column]) for column in _settled(together)) and _switches(together) <= single


def _switches(rows: Sequence[Row]) -> int:
    return sum(len(_latest(stretch)) for stretch in _stretches(rows))


def _settled(rows: Sequence[Row]) -> list[list[Cell]]:
    """The cells of each context that somebody finished, of all rows together."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return [column for column in columns if column[0].is_settled]


def _stretches(rows: Sequence[Row]) -> Iterator[list[list[Cell]]]:
    """Split where nothing finished: no advice reaches over such a length."""
    stretch: list[list[Cell]] = []
    for column in zip(*rows, strict=True):
        if column[0].is_settled:
            stretch.append(list(column))
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def _of_rows(shape: Shape, batch: Span, rows: Sequence[Row]) -> Iterator[Region]:
    for stretch in _stretches(rows):
        zones = list(_zones(stretch))
        contexts = [[column[0].context or 0 for column in columns] for columns, _ in zones]
        for (columns, use), context in zip(zones, _spans(contexts), strict=True):
            cells = [cell for column in columns for cell in column]
            yield _region(shape, cells, use, batch, context)


def _zones(
    stretch: Sequence[list[Cell]],
) -> Iterator[tuple[Sequence[list[Cell]], tuple[Label, ...]]]:
    """Cut a stretch into regions and, where a switch may be early or late, zones between them."""
    latest = _latest(stretch)
    last = len(stretch)
    mirrored = _latest(stretch[::-1])
    earliest = [0, *sorted(last - at for at in mirrored[1:])]
    for number, (begin, begin_early) in enumerate(zip(latest, earliest, strict=True)):
        end = earliest[number + 1] if number + 1 < len(earliest) else last
        if begin_early < begin:
            zone = stretch[begin_early:begin]
            sides = (*_good(stretch[latest[number - 1] : begin]), *_good(stretch[begin_early:end]))
            yield zone, tuple(one for one in _good(zone) if one in sides)
        yield stretch[begin:end], _good(stretch[begin:end])


def _latest(stretch: Sequence[list[Cell]]) -> list[int]:
    """Where each region begins when every switch is put off until it cannot be."""
    begins = [0]
    good = set(_good(stretch[:1]))
    for place in range(1, len(stretch)):
        here = set(_good(stretch[place : place + 1]))
        if good & here:
            good &= here
        else:
            begins.append(place)
            good = here
    return begins


def _good(columns: Sequence[Sequence[Cell]]) -> tuple[Label, ...]:
    """What is good in every cell, the one that takes least time over all of them first."""
    cells = [cell for column in columns for cell in column]
    labels = [label for label in cells[0].good if all(label in one.good for one in cells)]
    return tuple(sorted(labels, key=lambda label: _cost(label, cells)))


def _cost(label: Label, cells: Sequence[Cell]) -> float:
    """Mean log of what it takes over what the fastest takes."""
    ratios = [
        math.log(one.latencies[label].seconds / _fastest(one))
        for one in cells
        if label in one.latencies
    ]
    return sum(ratios) / len(ratios) if ratios else 0.0


def _fastest(one: Cell) -> float:
    return min(latency.seconds for latency in one.latencies.values())


def _spans(groups: Sequence[Sequence[int]]) -> list[Span]:
    """Tile what was measured: adjacent spans meet at the geometric mean of their nearest values."""
    borders = [math.isqrt(one[-1] * other[0]) for one, other in pairwise(groups)]
    lows = [groups[0][0], *(border + 1 for border in borders)] if groups else []
    highs = [*borders, groups[-1][-1]] if groups else []
    return [
        Span(low=min(low, group[0]), high=max(high, group[-1]), measured=tuple(group))
        for low, high, group in zip(lows, highs, groups, strict=True)
    ]


def _region(
    shape: Shape,
    cells: Sequence[Cell],
    use: tuple[Label, ...],
    batch: Span | None,
    context: Span | None,
) -> Region:
    gaps = list(_gaps(cells, use))
    rival = min(gaps, key=lambda one: one[1])[0] if gaps else None
    own = [gap for label, gap in gaps if label == rival]
    first = [
        one.latencies[use[0]].seconds / _fastest(one) - 1
        for one in cells
        if use[0] in one.latencies
    ]
    return Region(
        shape=shape,
        batch=batch,
        context=context,
        use=use,
        cells=len(cells),
        disputed=sum(one.disputed for one in cells),
        rival=rival,
        even=sum(rival in one.good for one in cells),
        least=min(own) if own else None,
        most=max(own) if own else None,
        regret=max(first, default=0.0),
        processes=min(latency.processes for one in cells for latency in one.latencies.values()),
    )


def _gaps(cells: Sequence[Cell], use: tuple[Label, ...]) -> Iterator[tuple[Label, float]]:
    """How much longer each other backend takes than the best of those to be used, cell by cell."""
    for one in cells:
        ours = [one.latencies[label].seconds for label in use if label in one.latencies]
        for label, latency in one.latencies.items():
            if label not in use and ours:
                yield label, latency.seconds / min(ours) - 1
