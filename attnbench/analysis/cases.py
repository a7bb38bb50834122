"""Rows of result files as cases: the one model that every screen, file and verdict starts from.

Columns are Arrow's and codes are numpy's; what leaves this module is a frozen value. A case is ok
when all its rows are; otherwise it has the status of its worst row and no latency at all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnbench.errors import NothingSelected
from attnbench.measurement import STATUSES
from attnbench.stats.latency import Latency, Rank, over_processes, rank_backends

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SEPARATOR = " · "  # between problem and backend in a case's label
ABSENT = -1  # a code: the value is NULL, or a side has no row of the case
OK = STATUSES.index("ok")

Ints = NDArray[np.int64]
Row = dict[str, Any]
_RUN = ("run_id", "side")
_ORDER = (
    *("phase", "mode", "attention", "dtype", "kv_dtype", "mask", "window", "head_dim"),
    *("v_head_dim", "q_heads", "kv_heads", "batch", "q_len", "kv_len", "requests"),
    "backend_label",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """All rows of one case under one method; the latency is over its processes."""

    case_id: str
    label: str
    backend: str
    timing: str
    status: str
    reason: str | None
    latency: Latency | None
    notes: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def problem(self) -> str:
        """The problem's label."""
        return self.label.partition(SEPARATOR)[0]

    @property
    def telling(self) -> Row:
        """The first row that has the status of the case."""
        return next(row for row in self.rows if row["status"] == self.status)

    def known(self, column: str) -> list[Any]:
        """The values of a column over the processes, without the missing ones."""
        return [row[column] for row in self.rows if row[column] is not None]

    def median(self, column: str) -> float | None:
        """Return the median of a column over the processes; None where no row has it."""
        known = self.known(column)
        return float(median(known)) if known else None


@dataclass(frozen=True, slots=True)
class CaseKeys:
    """Which case under which method each row is of.

    ``codes`` numbers the keys from 0, one number a row. Key i is of case ``cases[i]`` under method
    ``methods[i]``, which are places in ``case_ids`` and ``method_ids``; a row without a method has
    the method id "".
    """

    codes: Ints
    cases: Ints
    methods: Ints
    case_ids: list[str]
    method_ids: list[str]


def case_keys(table: pa.Table, *, lend_methods: bool = False) -> CaseKeys:
    """Number the cases of a table's rows.

    Args:
        table: rows of results.
        lend_methods: give what the plan decided, which may name no method, the method of the
            case's other rows. Two sides are compared so; a screen shows what a file says.

    """
    import pyarrow.compute as pc

    cases, case_ids = coded(table["case_id"])
    methods, method_ids = coded(pc.fill_null(table["method_id"], ""))
    if lend_methods and "" in method_ids:
        known = methods != method_ids.index("")
        of_case = np.full(len(case_ids), method_ids.index(""))
        of_case[cases[known]] = methods[known]
        methods = np.where(known, methods, of_case[cases])
    # One number for both, so that one pass finds the pairs.
    pairs, codes = np.unique(cases * len(method_ids) + methods, return_inverse=True)
    return CaseKeys(codes, pairs // len(method_ids), pairs % len(method_ids), case_ids, method_ids)


def status_codes(table: pa.Table) -> Ints:
    """Return each row's status as its place in ``STATUSES``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return as_ints(pc.index_in(table["status"], pa.array(STATUSES)), ABSENT)


def worst_status(codes: Ints, status: Ints, count: int) -> Ints:
    """Return the worst status of each of ``count`` cases: statuses are ordered, ok is the best.

    Args:
        codes: which case each row is of.
        status: each row's place in ``STATUSES``.
        count: how many cases there are; one without a row has ``ABSENT``.

    """
    worst = np.full(count, ABSENT, dtype=np.int64)
    np.maximum.at(worst, codes, status)
    return worst


def run_codes(table: pa.Table) -> tuple[Ints, list[str]]:
    """Return each row's run as a number from 0, and what names each run: its id and side."""
    import pyarrow.compute as pc

    texts = [pc.fill_null(table[name], "") for name in _RUN]
    return coded(pc.binary_join_element_wise(*texts, " "))


def coded(column: pa.ChunkedArray) -> tuple[Ints, list[str]]:
    """Return each value as a number, and the values in the order of their first appearance."""
    one = column.combine_chunks()
    encoded = one.dictionary_encode() if hasattr(one, "dictionary_encode") else one
    if hasattr(encoded, "combine_chunks"):
        encoded = encoded.combine_chunks()
    return as_ints(encoded.indices, ABSENT), encoded.dictionary.to_pylist()


def as_ints(values: Any, missing: int) -> Ints:
    """Return an Arrow column of whole numbers as numpy's, with a number for NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers: Ints = pc.fill_null(values.cast(pa.int64()), missing).to_numpy()
    return numbers


def table_of(frame: pd.DataFrame) -> pa.Table:
    """Return the rows of ``attnbench.load`` as an Arrow table of the columns' own types."""
    import pyarrow as pa

    from attnbench.store.columns import arrow_schema

    types = {field.name: field.type for field in arrow_schema()}
    columns = {
        str(name): pa.array(frame[name], type=types.get(str(name)), from_pandas=True)
        for name in frame.columns
    }
    return pa.table(columns)


def rows_of(rows: pa.Table | pd.DataFrame) -> list[Row]:
    """Return rows as plain dictionaries, None where a value is missing."""
    table = rows if hasattr(rows, "column_names") else table_of(rows)
    columns = [_plain(table[name]) for name in table.column_names]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def cases_of(frame: pd.DataFrame, *, each_run: bool = False) -> list[CaseResult]:
    """Gather the rows of each case, in the order of their first rows.

    Args:
        frame: rows of ``attnbench.load``.
        each_run: whether a case of two runs is two cases; else its rows are put together.

    """
    table = table_of(frame)
    codes, worst = _coded_cases(table, each_run=each_run)
    groups: dict[int, list[Row]] = {}
    for code, row in zip(codes.tolist(), rows_of(table), strict=True):
        groups.setdefault(code, []).append(row)
    return [_gathered(rows, STATUSES[worst[code]]) for code, rows in groups.items()]


def status_counts(table: pa.Table, *, each_run: bool = False) -> Counter[str]:
    """Count a table's cases by status, without making a value of each; see ``cases_of``."""
    _, worst = _coded_cases(table, each_run=each_run)
    return Counter(STATUSES[one] for one in worst.tolist())


def in_order(cases: Sequence[CaseResult]) -> list[CaseResult]:
    """Sort cases by their problems: numbers as numbers, missing values last."""

    def key(one: CaseResult) -> tuple[tuple[bool, Any], ...]:
        values = [one.rows[0][name] for name in _ORDER]
        return tuple((value is None, 0 if value is None else value) for value in values)

    return sorted(cases, key=key)


def by_run(cases: Sequence[CaseResult]) -> list[list[CaseResult]]:
    """Part the cases of several runs, each run's cases in the order of their problems."""
    groups: dict[tuple[Any, ...], list[CaseResult]] = {}
    for one in cases:
        groups.setdefault(tuple(one.rows[0][name] for name in _RUN), []).append(one)
    return [in_order(members) for members in groups.values()]


def filtered(frame: pd.DataFrame, text: str | None) -> pd.DataFrame:
    """Return the rows that a filter picks; it may name columns and options, too.

    Raises:
        InputError: the filter cannot be read.
        NothingSelected: it picks no row.

    """
    if text is None:
        return frame
    from attnbench.filter import parse

    chosen = parse(text, extra={*frame.columns, *option_names(frame)})
    picked = [chosen.matches(row_fields(row)) for row in rows_of(frame)]
    if not any(picked):
        labels = frame["case_label"].dropna().unique()
        raise NothingSelected(
            f"no row matches {text!r}",
            hint=f"cases in this run look like {labels[0]!r}"
            if len(labels)
            else "the run has no row",
        )
    return frame[picked]


def row_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a filter may ask of a row: its columns, its backend's options, its label."""
    options = json.loads(row.get("backend_options") or "{}")
    return {**row, **options, "label": row.get("case_label")}


def option_names(frame: pd.DataFrame) -> set[str]:
    """Every option that a backend of these rows has set."""
    texts = frame["backend_options"].dropna().unique()
    return {name for text in texts for name in json.loads(text)}


def pivot(cases: Sequence[CaseResult]) -> tuple[list[str], dict[str, dict[str, CaseResult]]]:
    """Return the backends, and for each problem the case of each backend."""
    backends = sorted({one.backend for one in cases})
    several = len({one.timing for one in cases if one.timing}) > 1
    table: dict[str, dict[str, CaseResult]] = {}
    for one in cases:
        problem = f"{one.problem} {one.timing}".rstrip() if several else one.problem
        table.setdefault(problem, {})[one.backend] = one
    return backends, table


def counts(cases: Sequence[CaseResult]) -> Counter[str]:
    """How many cases have each status."""
    return Counter(one.status for one in cases)


def rank_cases(cases: Sequence[CaseResult]) -> list[Rank]:
    """Rank the backends over the problems that all of them finished."""
    latencies: dict[str, dict[str, float]] = {}
    for one in cases:
        if one.latency is not None:
            problem = f"{one.problem} {one.timing}"
            latencies.setdefault(problem, {})[one.backend] = one.latency.seconds
    return rank_backends(latencies)


def _coded_cases(table: pa.Table, *, each_run: bool) -> tuple[Ints, Ints]:
    """Return which case each row is of, and the worst status of each case."""
    codes = case_keys(table).codes
    if each_run:
        runs, names = run_codes(table)
        _, codes = np.unique(codes * len(names) + runs, return_inverse=True)
    return codes, worst_status(codes, status_codes(table), int(codes.max(initial=-1)) + 1)


def _gathered(rows: list[Row], status: str) -> CaseResult:
    telling = next(row for row in rows if row["status"] == status)
    measured = [row["latency_us"] / 1e6 for row in rows if row["latency_us"] is not None]
    timings = (" ".join(filter(None, (row["timer"], row["l2"]))) for row in rows)
    return CaseResult(
        case_id=telling["case_id"],
        label=telling["case_label"] or telling["case_id"],
        backend=telling["backend_label"] or telling["backend"] or "",
        timing=next(filter(None, timings), ""),
        status=status,
        reason=telling["reason"],
        latency=over_processes(measured) if status == "ok" and measured else None,
        notes=tuple(dict.fromkeys(code for row in rows for code in row["notes"] or ())),
        rows=tuple(rows),
    )


def _plain(column: pa.ChunkedArray) -> list[Any]:
    import pyarrow as pa

    if column.type != pa.list_(pa.float32()):
        values: list[Any] = column.to_pylist()
        return values
    # Samples: one conversion for all of them instead of one for each.
    found: list[Any] = []
    for chunk in column.chunks:
        flat = chunk.values.to_numpy(zero_copy_only=False).tolist()  # noqa: PD011  Arrow's
        ends, valid = chunk.offsets.to_pylist(), chunk.is_valid().to_pylist()
        found += [
            flat[begin:end] if there else None
            for begin, end, there in zip(ends[:-1], ends[1:], valid, strict=True)
        ]
    return found
