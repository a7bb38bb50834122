"""Which runs there are, which one was meant, and what one says: ceilings, published figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.analysis.cases import CaseResult, rows_of, status_counts
from attnbench.errors import AttnbenchError, ResultFileError
from attnbench.filter import parse
from attnbench.units import flops_text, rate_text, time_text

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.device.rates import Ceilings
    from attnbench.environment import Device

Line = tuple[str, str, str, str]

RESULTS = Path("results")
_JOURNAL = ".journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One result file at a glance; ``fault`` says why it could not be read."""

    path: Path
    suite: str | None = None
    device: str | None = None
    started_at: datetime | None = None
    cases: Counter[str] | None = None
    finished: bool = True
    fault: str | None = None


def find_run(text: str | None, folder: Path = RESULTS) -> Path:
    """Find a run: a path, a name in the results folder, or without a text the newest one there.

    Raises:
        ResultFileError: there is none.

    """
    if text is None:
        return _newest(folder)
    named = Path(text).expanduser()
    if named.is_dir():
        return _newest(named)
    there = folder / text
    for place in (named, there):
        for path in (place, place.with_name(f"{place.name}.parquet")):
            if path.is_file():
                return path
    return named if named.suffix or len(named.parts) > 1 else there


def list_runs(folder: Path = RESULTS) -> list[RunFacts]:
    """Describe every run of a folder, the newest first, unfinished ones too."""
    if not folder.is_dir():
        return []
    paths = [*folder.rglob("*.parquet")]
    journals = [
        path for path in folder.rglob(f"*{_JOURNAL}") if path.with_suffix(".parquet") not in paths
    ]
    files = sorted([*paths, *journals], key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [describe(path) for path in files]


def describe(path: Path) -> RunFacts:
    """Read one run at a glance; a file that cannot be read says so instead."""
    from attnbench.store import read

    try:
        run = read(path)
        frame = run.frame
    except AttnbenchError as error:
        return RunFacts(path=path, fault=error.message.partition("\n")[0])
    moments = frame["started_at"].dropna()
    return RunFacts(
        path=path,
        suite=_first(frame, "suite"),
        device=_first(frame, "device_name"),
        started_at=None if moments.empty else moments.min().to_pydatetime(),
        cases=status_counts(run.table),
        finished=run.finished,
    )


def ceilings_of(path: Path) -> tuple[Device, Ceilings]:
    """Return the device of a run and the best rates that were measured in it.

    Raises:
        ResultFileError: the run has no measured ceiling.

    """
    from attnbench.device.rates import Ceilings
    from attnbench.store import read

    run = read(path)
    frame = run.frame
    bandwidth, tflops = frame["peak_bandwidth_gbps"].max(), _best_by_dtype(frame)
    if not tflops or not bandwidth > 0:
        raise ResultFileError(
            f"{path} holds no measured ceilings to plan from", hint="name a device such as h200"
        )
    device = _device_of(run.metadata, rows_of(frame.head(1))[0])
    return device, Ceilings(read_gbps=float(bandwidth), tflops=tflops)


def published_lines(run: Mapping[str, Any], cases: Sequence[CaseResult]) -> Iterator[Line]:
    """Yield (problem, backend, figure, device) for what the run's suite quotes of these problems.

    ``run`` is the run's metadata, as its file's footer holds it. A figure is quoted once a problem,
    whatever of ours was measured on it.
    """
    problems: dict[str, Mapping[str, Any]] = {}
    for case in cases:
        problems.setdefault(case.problem, case.rows[0])
    for quoted in run.get("published", ()):
        where = parse(quoted["where"])
        for label, row in problems.items():
            if where.matches(row):
                yield label, quoted["backend"], _figures(quoted), quoted["device"]


def _newest(folder: Path) -> Path:
    files = [*folder.rglob("*.parquet")] if folder.is_dir() else []
    if not files:
        raise ResultFileError(
            f"there is no run in {folder}/", hint="attnbench run measures the quick suite"
        )
    return max(files, key=lambda path: path.stat().st_mtime_ns)


def _best_by_dtype(frame: pd.DataFrame) -> dict[str, float]:
    best = frame.groupby("dtype")["peak_tflops"].max().dropna()
    return {str(dtype): float(rate) for dtype, rate in best.items()}


def _device_of(metadata: dict[str, Any], row: dict[str, Any]) -> Device:
    """The footer's device, or what the columns say of it where a footer was dropped."""
    from attnbench.environment import Device, Environment

    if facts := metadata.get("environment"):
        return Environment.from_dict(facts).device
    memory = row["device_memory_bytes"] or 0
    return Device(
        kind="cuda" if str(row["device_arch"]).startswith("sm_") else "cpu",
        name=row["device_name"] or "unknown",
        arch=row["device_arch"] or "unknown",
        memory_bytes=memory,
        free_bytes=memory // 2,
    )


def _first(frame: pd.DataFrame, column: str) -> str | None:
    present = frame[column].dropna()
    return None if present.empty else str(present.iloc[0])


def _figures(quoted: Mapping[str, Any]) -> str:
    """Write whichever of latency, arithmetic rate and bandwidth was published."""
    latency_us, tflops, gbps = (quoted.get(name) for name in ("latency_us", "tflops", "gbps"))
    said = [
        None if latency_us is None else time_text(latency_us * 1e-6),
        None if tflops is None else flops_text(tflops * 1e12),
        None if gbps is None else rate_text(gbps * 1e9),
    ]
    return ", ".join(filter(None, said))
