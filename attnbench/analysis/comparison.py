"""Two sides case by case: which rows are the same case, and one case on both sides as a value."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.analysis.cases import ABSENT, OK, Ints, case_keys, coded, worst_status
from attnbench.analysis.sides import Side
from attnbench.measurement import STATUSES
from attnbench.problem import FIELDS
from attnbench.stats.decision import UNCLEAR, minimum_effect, verdicts
from attnbench.stats.difference import (
    FEWEST_TRIMMED_PROCESSES,
    Array,
    Centre,
    Difference,
    centre,
)
from attnbench.stats.latency import Latency, latencies_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

BY_CASE = "case_id"
MISSING = "missing"
_UNTRIED = tuple(STATUSES.index(word) for word in ("skipped", "not_run"))
# What follows from other fields, and would keep apart cases that differ only in ``column``.
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
    keyed = [_keys(side, column) for side in sides]
    numbers: dict[str, int] = {}
    for _, texts in keyed:
        for one in texts:
            numbers.setdefault(one, len(numbers))
    found = []
    for side, (codes, texts) in zip(sides, keyed, strict=True):
        renumbered = np.array([numbers[one] for one in texts], dtype=np.int64)
        found.append(_matched(side, renumbered[codes], tuple(numbers)))
    return found


def common_cases(base: Side, new: Side) -> int:
    """How many cases both sides have, whatever their methods."""
    return len(set(base.values("case_id")) & set(new.values("case_id")))


def _keys(side: Side, column: str) -> tuple[Ints, list[str]]:
    """Return each row's key as a number, and the keys' texts."""
    keys = case_keys(side.table, lend_methods=True)
    names = keys.case_ids if column == BY_CASE else _identities(side, column)
    pairs = zip(keys.cases.tolist(), keys.methods.tolist(), strict=True)
    return keys.codes, [f"{names[case]} {keys.method_ids[method]}" for case, method in pairs]


def _identities(side: Side, column: str) -> list[str]:
    """Return a text for each case that says all of it but ``column`` and what follows from it."""
    cases, _ = coded(side.table["case_id"])
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
    each = worst_status(runs * count + keys, side.status, len(names) * count)
    each = each.reshape(len(names), count)
    newest = _newest_that_tried(side, each)
    status = each[newest, np.arange(count)]
    telling = np.flatnonzero((runs == newest[keys]) & (side.status == status[keys]))[::-1]
    first = np.full(count, ABSENT, dtype=np.int64)
    first[keys[telling]] = telling
    is_used = np.isfinite(side.log) & (each[runs, keys] == OK) & (status[keys] == OK)
    processes = np.maximum(side.processes, 0)
    matrices = []
    for run in range(len(names)):
        rows = np.flatnonzero(is_used & (runs == run))
        matrix = np.full((count, int(processes[rows].max(initial=0)) + 1), np.nan)
        matrix[keys[rows], processes[rows]] = side.log[rows]
        matrices.append(matrix)
    return Matched(side, texts, status, first, tuple(matrices))


def _newest_that_tried(side: Side, status: Ints) -> Ints:
    """For each case the last run, by its start, that tried it, or else that has it at all."""
    order = np.argsort(side.started, kind="stable")
    chosen = np.zeros(status.shape[1], dtype=np.int64)
    for wanted in (status[order] != ABSENT, ~np.isin(status[order], (ABSENT, *_UNTRIED))):
        places = len(order) - 1 - np.argmax(wanted[::-1], axis=0)
        chosen = np.where(wanted.any(axis=0), order[places], chosen)
    return chosen


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseComparison:
    """One case on both sides; ``key`` is the same in every comparison with one base.

    ``change``, ``low`` and ``high`` are shares (0.03 is 3 % slower) with the 95 % interval;
    ``verdict`` is None where a side is not ok, or where devices differ. ``effect`` is the smallest
    slowdown that would be found four times in five. A status is ``missing`` where a side has no
    row of the case.
    """

    key: str
    case_id: str
    label: str
    backend: str
    base_status: str
    new_status: str
    reason: str | None
    base: Latency | None
    new: Latency | None
    change: float | None
    low: float | None
    high: float | None
    verdict: str | None
    limit: float
    effect: float | None
    kernels_changed: bool
    facts: Mapping[str, Any]

    @property
    def ratio(self) -> float | None:
        """New latency over base."""
        if self.base is None or self.new is None:
            return None
        return self.new.seconds / self.base.seconds


def comparisons_of(
    one: Matched,
    other: Matched,
    texts: Sequence[Mapping[str, Any]],
    difference: Difference,
    limits: Array,
    *,
    ratios_only: bool,
) -> tuple[CaseComparison, ...]:
    """Put the arrays together as one value a case, in their order."""
    both = one.is_ok & other.is_ok
    words = verdicts(difference, limits)
    effects = minimum_effect(difference, limits, family=int(np.isfinite(difference.se).sum()))
    ends = [np.expm1(part).tolist() for part in _ends(difference)]
    ends.append(effects.tolist())
    latencies = [latencies_of(side.processes()) for side in (one, other)]
    changed = _kernels_changed(one, other) & both
    found = []
    for row, text in enumerate(texts):
        change, low, high, effect = (_plain(part[row]) for part in ends)
        old, now = latencies[0][row], latencies[1][row]
        is_judged = bool(both[row]) and not ratios_only
        found.append(
            CaseComparison(
                key=one.keys[row],
                case_id=text["case_id"],
                label=text["case_label"] or text["case_id"],
                backend=text["backend_label"] or "",
                base_status=_status(one, row),
                new_status=_status(other, row),
                reason=text["reason"],
                base=old,
                new=now,
                change=change if both[row] else None,
                low=low if is_judged else None,
                high=high if is_judged else None,
                verdict=(words[row] if low is not None else UNCLEAR) if is_judged else None,
                limit=float(limits[row]),
                effect=effect if is_judged else None,
                kernels_changed=bool(changed[row]),
                facts=text,
            )
        )
    return tuple(found)


def _ends(difference: Difference) -> tuple[Array, Array, Array]:
    return difference.estimate, difference.low, difference.high


def _kernels_changed(one: Matched, other: Matched) -> NDArray[np.bool_]:
    """Whether both sides name their kernels, and name others, though the backend is the same."""
    import pyarrow.compute as pc

    kernels, backends = [], []
    for side in (one, other):
        rows = np.where(side.first == ABSENT, 0, side.first)
        text = pc.fill_null(pc.binary_join(side.side.table["kernels"], " "), "")
        kernels.append(np.asarray(text.take(rows).to_pylist(), dtype=object))
        labels = side.side.table["backend_label"].take(rows).to_pylist()
        backends.append(np.asarray(labels, dtype=object))
    named = (kernels[0] != "") & (kernels[1] != "")
    flags: NDArray[np.bool_] = named & (kernels[0] != kernels[1]) & (backends[0] == backends[1])
    return flags


def _status(side: Matched, row: int) -> str:
    place = int(side.status[row])
    return MISSING if place == ABSENT else STATUSES[place]


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
