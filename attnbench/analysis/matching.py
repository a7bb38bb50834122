"""Which rows of two sides are the same case: one key a case, and processes as matrices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.analysis.sides import ABSENT, OK, Side, coded, moments_of, processes_of
from attnbench.measurement import STATUSES
from attnbench.problem import FIELDS
from attnbench.stats.difference import FEWEST_TRIMMED_PROCESSES, Array, Centre, centre

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

BY_CASE = "case_id"
_UNTRIED = tuple(STATUSES.index(word) for word in ("skipped", "not_run"))
# What follows from other fields, and would keep cases apart that differ in ``column`` alone.
_BACKEND = ("backend", "backend_label", "backend_options")
_FOLLOWERS = {
    "backend": _BACKEND,
    "backend_label": _BACKEND,
    "kv_heads": ("kv_heads", "group_size"),
    "group_size": ("kv_heads", "group_size"),
    "q_heads": ("q_heads", "group_size"),
    "dtype": ("dtype", "kv_dtype"),
    "head_dim": ("head_dim", "v_head_dim"),
}


@dataclass(frozen=True, slots=True)
class Matched:
    """One side under ``keys`` that several sides share; every array has a key a row.

    ``status`` is the worst of a case's rows in the newest run that tried it, ``ABSENT`` without a
    row; ``first`` is a row of that run with that status. ``log`` has a matrix [key, process] for
    each run, NaN where the case is not ok in that run or in the newest.
    """

    side: Side
    keys: tuple[str, ...]
    status: Ints
    first: Ints
    log: tuple[Array, ...]

    @property
    def is_ok(self) -> NDArray[np.bool_]:
        """Which cases every row calls ok."""
        flags: NDArray[np.bool_] = self.status == OK
        return flags

    def processes(self) -> Array:
        """All processes [key, process] of all runs."""
        return np.concatenate(self.log, axis=1)

    def centres(self) -> list[Centre]:
        """A centre for each run, as a comparison across sessions takes it."""
        return [centre(one, fewest=FEWEST_TRIMMED_PROCESSES) for one in self.log]

    def centre(self) -> Centre:
        """One centre over all processes of all runs."""
        return centre(self.processes(), fewest=FEWEST_TRIMMED_PROCESSES)


def matched(sides: Sequence[Side], column: str = BY_CASE) -> list[Matched]:
    """Bring sides under common keys: case and method, or all but what ``column`` sets apart."""
    texts = [_keys(side, column) for side in sides]
    numbers: dict[str, int] = {}
    for text in texts:
        for one in text.names:
            numbers.setdefault(one, len(numbers))
    found = []
    for side, text in zip(sides, texts, strict=True):
        renumbered = np.array([numbers[one] for one in text.names], dtype=np.int64)
        found.append(_matched(side, renumbered[text.codes], tuple(numbers)))
    return found


def common_cases(base: Side, new: Side) -> int:
    """How many cases both sides have, whatever their methods."""
    return len(set(base.values("case_id")) & set(new.values("case_id")))


@dataclass(frozen=True, slots=True)
class _Keys:
    codes: Ints
    names: list[str]


def _keys(side: Side, column: str) -> _Keys:
    """Each row's key as a number, and the keys' texts."""
    import pyarrow.compute as pc

    cases, case_ids = coded(side.table["case_id"])
    methods, method_ids = coded(pc.fill_null(side.table["method_id"], ""))
    if "" in method_ids:
        methods = _lent(cases, methods, method_ids.index(""))
    wide = cases * len(method_ids) + methods
    pairs, codes = np.unique(wide, return_inverse=True)
    names = case_ids if column == BY_CASE else _identities(side, cases, column)
    texts = [
        f"{names[one // len(method_ids)]} {method_ids[one % len(method_ids)]}" for one in pairs
    ]
    return _Keys(codes, texts)


def _lent(cases: Ints, methods: Ints, none: int) -> Ints:
    """What the plan decided may name no method: it takes that of the case's other rows."""
    known = methods != none
    of_case = np.full(int(cases.max()) + 1, none)
    of_case[cases[known]] = methods[known]
    return np.where(known, methods, of_case[cases])


def _identities(side: Side, cases: Ints, column: str) -> list[str]:
    """A text for each case that says all of it but ``column`` and what follows from it."""
    _, first = np.unique(cases, return_index=True)
    left_out = {column, *_FOLLOWERS.get(column, ())}
    present = set(side.table.column_names)
    kept = [
        name
        for name in (*FIELDS, "latent", "backend", "backend_options")
        if name not in left_out and name in present
    ]
    rows = side.table.select(list(dict.fromkeys(kept))).take(first).to_pylist()
    return [json.dumps(row, sort_keys=True) for row in rows]


def _matched(side: Side, keys: Ints, texts: tuple[str, ...]) -> Matched:
    runs, names = side.runs
    count = len(texts)
    each = np.full((len(names), count), ABSENT, dtype=np.int64)
    np.maximum.at(each, (runs, keys), side.status)
    newest = _newest_that_tried(side, each)
    status = each[newest, np.arange(count)]
    telling = np.flatnonzero((runs == newest[keys]) & (side.status == status[keys]))[::-1]
    first = np.full(count, ABSENT, dtype=np.int64)
    first[keys[telling]] = telling
    is_used = np.isfinite(side.log) & (each[runs, keys] == OK) & (status[keys] == OK)
    processes = np.maximum(processes_of(side), 0)
    matrices = []
    for run in range(len(names)):
        rows = np.flatnonzero(is_used & (runs == run))
        matrix = np.full((count, int(processes[rows].max(initial=0)) + 1), np.nan)
        matrix[keys[rows], processes[rows]] = side.log[rows]
        matrices.append(matrix)
    return Matched(side, texts, status, first, tuple(matrices))


def _newest_that_tried(side: Side, status: Ints) -> Ints:
    """For each case the last run, by its start, that tried it, or else that has it at all."""
    order = np.argsort(started(side), kind="stable")
    chosen = np.zeros(status.shape[1], dtype=np.int64)
    for wanted in (status[order] != ABSENT, ~np.isin(status[order], (ABSENT, *_UNTRIED))):
        places = len(order) - 1 - np.argmax(wanted[::-1], axis=0)
        chosen = np.where(wanted.any(axis=0), order[places], chosen)
    return chosen


def started(side: Side) -> Ints:
    """When each run of a side began, in µs since the epoch; 0 where it does not say."""
    runs, names = side.runs
    moments = moments_of(side)
    found = np.zeros(len(names), dtype=np.int64)
    np.maximum.at(found, runs, moments)
    return found


def facts(one: Matched, other: Matched, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Columns of each case's telling row: of the other side, else of the one."""
    found: list[dict[str, Any]] = [{}] * len(one.first)
    lacking = other.first == ABSENT
    for side, wanted in ((other, ~lacking), (one, lacking)):
        places = np.flatnonzero(wanted)
        rows = side.side.table.select(list(columns)).take(side.first[places]).to_pylist()
        for place, row in zip(places.tolist(), rows, strict=True):
            found[place] = row
    return found
