"""From cases to cells: at one shape, batch and context, which backends are as good as the best."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
    """One problem: ``good`` are the backends that cannot be told from the fastest, it first.

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
