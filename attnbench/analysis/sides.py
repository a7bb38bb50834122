"""The sides of a comparison: rows of result files as columns, and their processes as matrices.

Only Arrow and numpy, no data frame: two runs of a hundred thousand rows are compared in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.analysis.cases import (
    ABSENT,
    OK,
    Ints,
    as_ints,
    coded,
    row_fields,
    run_codes,
    status_codes,
)
from attnbench.errors import InputError, NothingSelected, ResultFileError
from attnbench.stats.summary import log_centres

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from attnbench.store import Run

_US_A_SECOND = 1e6
LEAN_ROWS = 20_000  # of more, columns that nobody needs cost more than the comparison
# What matching, statistics, comparability and every screen read.
NEEDED = (
    *("attnbench_version", "run_id", "side", "suite", "problem_id", "case_id", "method_id"),
    *("device_id", "case_label", "process", "started_at", "dtype", "backend", "backend_label"),
    *("backend_options", "kernels", "timer", "l2", "warmup_s", "isolation", "status", "reason"),
    *("bound", "peak_bandwidth_gbps", "peak_tflops", "sm_clock_mhz", "mem_clock_mhz"),
    *("device_name", "device_uuid", "device_arch", "device_memory_bytes", "power_limit_w"),
    *("driver", "cuda", "torch_version", "triton_version", "python", "threads", "host"),
    "git_commit",
)


@dataclass(frozen=True)
class Side:
    """Rows that stand for one thing: a run, several runs of one baseline, a GPU, a backend.

    ``log`` holds the log latency (seconds) of each row, NaN where it is not ok. ``metadata`` are
    the footers of the files, ``remarks`` what must be said about reading them.
    """

    name: str
    table: pa.Table
    log: NDArray[np.float64]
    paths: tuple[Path, ...] = ()
    metadata: tuple[dict[str, Any], ...] = ()
    remarks: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.log)

    @cached_property
    def status(self) -> Ints:
        """Each row's status as its place in ``STATUSES``."""
        return status_codes(self.table)

    @cached_property
    def runs(self) -> tuple[Ints, list[str]]:
        """Each row's run as a number from 0, and the runs' ids."""
        return run_codes(self.table)

    @property
    def processes(self) -> Ints:
        """Each row's process; ``ABSENT`` for what the plan decided."""
        return as_ints(self.table["process"], ABSENT)

    @property
    def moments(self) -> Ints:
        """Each row's start in µs since the epoch; 0 where it does not say."""
        return as_ints(self.table["started_at"], 0)

    @property
    def started(self) -> Ints:
        """When each run began, in µs since the epoch; 0 where it does not say."""
        runs, names = self.runs
        found = np.zeros(len(names), dtype=np.int64)
        np.maximum.at(found, runs, self.moments)
        return found

    def values(self, column: str) -> list[Any]:
        """What a column holds, each value once and sorted, NULL left out."""
        found = self.table[column].unique().to_pylist()
        return sorted(value for value in found if value is not None)

    def where(self, mask: NDArray[np.bool_], name: str | None = None) -> Side:
        """Return the rows of a mask."""
        import pyarrow as pa

        return Side(
            name=self.name if name is None else name,
            table=self.table.filter(pa.array(mask)),
            log=self.log[mask],
            paths=self.paths,
            metadata=self.metadata,
            remarks=self.remarks,
        )

    def selected(self, text: str | None) -> Side:
        """Return the cases that a filter picks; it may name columns and options, too.

        Raises:
            InputError: the filter cannot be read.
            NothingSelected: it picks no row.

        """
        if text is None:
            return self
        from attnbench.filter import parse

        codes, _ = coded(self.table["case_id"])
        _, first = np.unique(codes, return_index=True)
        facts = [row_fields(row) for row in self.table.take(first).to_pylist()]
        names = {name for one in facts for name in one}
        chosen = parse(text, extra=names)
        picked = np.array([chosen.matches(one) for one in facts])
        if not picked.any():
            raise NothingSelected(f"no case of {self.name} matches {text!r}")
        return self.where(picked[codes])

    def slowed(self, slowdown: NDArray[np.float64]) -> Side:
        """Return the same rows, each slower by a share: as if its samples were that much longer."""
        return replace(self, log=self.log + np.log1p(slowdown))


def load_sides(
    sources: Sequence[str | Path],
    *,
    filter: str | None = None,
    columns: Sequence[str] | None = None,
) -> list[Side]:
    """Read files one by one; see ``load_side``.

    Where they hold very many rows, only the columns that a comparison needs are read: those of
    ``NEEDED``, ``columns``, and what ``filter`` names. None for ``columns`` reads all.

    Raises:
        ResultFileError: a file cannot be read.

    """
    opened = [_opened(source) for source in sources]
    rows = sum(one.rows or 0 for one in opened if not isinstance(one, Path))
    wanted = None
    if columns is not None and rows > LEAN_ROWS:
        wanted = frozenset((*NEEDED, *columns, *re.findall(r"\w+", filter or "")))
    return [_side_of(one, wanted) for one in opened]


def load_side(source: str | Path) -> Side:
    """Read one result file, the journal of an unfinished run, or pytest-benchmark's JSON.

    Raises:
        ResultFileError: it cannot be read, or an ok row has no sample or one that cannot be true.

    """
    return _side_of(_opened(source), None)


def _opened(source: str | Path) -> Run | Path:
    """A result file with its footer read; the path itself of a file of pytest-benchmark."""
    from attnbench.analysis.benchmark_json import SUFFIX
    from attnbench.store import read

    path = Path(source)
    return path if path.suffix == SUFFIX else read(path)


def _side_of(one: Run | Path, columns: Collection[str] | None) -> Side:
    """Read the rows; ``columns`` are all that the side will have, None for every one."""
    if isinstance(one, Path):
        from attnbench.analysis.benchmark_json import read_benchmark_json

        table, said = read_benchmark_json(one)
        return Side(
            name=one.stem,
            table=table.drop_columns(["samples_us"]),
            log=_log_latency(table, one),
            paths=(one,),
            remarks=said,
        )
    table = one.table if columns is None else one.columns({*columns, "samples_us"})
    remarks = list(_distrusted(one))
    if one.journal is not None or not one.finished:
        remarks.append(f"{one.path} may not be whole: its run goes on, or was cut off")
    if len(table) == 0:
        raise ResultFileError(f"{one.path} holds no row")
    return Side(
        name=one.path.name.removesuffix(".parquet"),
        table=table.drop_columns(["samples_us"]),
        log=_log_latency(table, one.path),
        paths=(one.path,),
        metadata=tuple(one.metadata.get("merged") or [one.metadata]),
        remarks=tuple(remarks),
    )


def _distrusted(run: Run) -> Iterator[str]:
    """What the machine's own tests say against its figures."""
    from attnbench.analysis.machine import machine_states

    for state in machine_states(run.metadata):
        for text in state.distrust:
            yield f"{run.path}: do not believe its figures, a self-test failed: {text}"


def joined(sides: Sequence[Side], name: str | None = None) -> Side:
    """Put the rows of several sides together.

    Raises:
        ResultFileError: one run is there twice, and would count for two.

    """
    import pyarrow as pa

    if len(sides) == 1:
        return sides[0] if name is None else replace(sides[0], name=name)
    seen: dict[str, Side] = {}
    for side in sides:
        for run_id in side.runs[1]:
            if run_id in seen:
                raise ResultFileError(
                    f"{_paths(seen[run_id])} and {_paths(side)} hold the same run {run_id.strip()}",
                    hint="leave one of them out: a run counts once",
                )
            seen[run_id] = side
    return Side(
        name=name or ", ".join(side.name for side in sides),
        table=pa.concat_tables([side.table for side in sides]),
        log=np.concatenate([side.log for side in sides]),
        paths=tuple(path for side in sides for path in side.paths),
        metadata=tuple(one for side in sides for one in side.metadata),
        remarks=tuple(text for side in sides for text in side.remarks),
    )


def split(side: Side, column: str) -> list[Side]:
    """Return a side for each value of a column, in the order of their first rows.

    Raises:
        InputError: there is no such column.

    """
    if column not in side.table.column_names:
        from attnbench.filter import did_you_mean

        advice = did_you_mean(column, side.table.column_names)
        raise InputError(f"results have no column {column!r}", hint=advice or None)
    import pyarrow as pa
    import pyarrow.compute as pc

    codes, names = coded(pc.fill_null(side.table[column].cast(pa.string()), "none"))
    return [side.where(codes == number, name) for number, name in enumerate(names)]


def _log_latency(table: pa.Table, path: Path) -> NDArray[np.float64]:
    """Derive each ok row's log latency in seconds from its samples."""
    parts, problems = [], []
    for chunk in table["samples_us"].chunks:
        found = log_centres(
            chunk.values.to_numpy(zero_copy_only=False), chunk.offsets.to_numpy().astype(np.int64)
        )
        parts.append(found.log)
        problems.append(found.problem)
    log: NDArray[np.float64] = np.concatenate([*parts, np.empty(0)]) - np.log(_US_A_SECOND)
    problem = np.concatenate([*problems, np.empty(0, dtype=np.int8)])
    is_ok = status_codes(table) == OK
    if (wrong := np.flatnonzero(is_ok & (problem != 0))).size:
        raise ResultFileError(
            f"{path}: {wrong.size:,} ok row{'s have' if wrong.size > 1 else ' has'} no sample, or "
            f"one that is not finite and above zero\n  {_row_text(table, int(wrong[0]))}",
            hint="the file was changed or its timer was broken; measure again",
        )
    log[~is_ok] = np.nan
    return log


def _row_text(table: pa.Table, row: int) -> str:
    label, process = table["case_label"][row].as_py(), table["process"][row].as_py()
    return f"{label or table['case_id'][row].as_py()}, process {process}"


def _paths(side: Side) -> str:
    return ", ".join(map(str, side.paths))
