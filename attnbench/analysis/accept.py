"""Accepting a change on purpose: which cases of a run start their baseline anew, and why.

What was accepted stands in the footer of the run itself, with its reason. A gate that is given that
run among its baselines judges those cases only by it and by later runs. No gate ever writes this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from attnbench.analysis.sides import Side, load_side
from attnbench.errors import InputError, ResultFileError

KEY = "accepted"


def accept(path: Path, only: str, reason: str) -> list[str]:
    """Write into a run's footer that the cases ``only`` picks are accepted; return their labels.

    Raises:
        InputError: a filter that cannot be read, or no reason.
        NothingSelected: the filter picks no case.
        OutputError: the file cannot be written; it stays as it was.
        ResultFileError: no finished result of attnbench with its footer.

    """
    from attnbench.store import read
    from attnbench.store.lock import RunLock
    from attnbench.store.parquet import write_parquet

    if not reason.strip():
        raise InputError("a change is accepted for a reason", hint='--reason "why it may be so"')
    picked = load_side(path).selected(only)
    lock = RunLock(path)
    try:
        run = read(path)
        if not run.finished or run.journal is not None:
            raise ResultFileError(
                f"{path} is not finished", hint=f"attnbench repair {run.journal or path}"
            )
        if not run.metadata:
            raise ResultFileError(f"{path} has lost the footer that says how it was measured")
        entry = {
            "only": only,
            "reason": reason.strip(),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "cases": picked.values("case_id"),
        }
        footer = {**run.metadata, KEY: [*run.metadata.get(KEY, ()), entry]}
        write_parquet(run.path, [run.table], footer)
    finally:
        lock.release()
    return [str(label) for label in picked.values("case_label")]


def restarted(baselines: Sequence[Side]) -> tuple[list[Side], tuple[Mapping[str, Any], ...]]:
    """Leave out of older baselines what a newer one accepted; return the entries that did so."""
    since: dict[str, int] = {}
    entries: list[Mapping[str, Any]] = []
    for side in baselines:
        moment = int(side.started.max())
        for entry in (one for footer in side.metadata for one in footer.get(KEY, ())):
            entries.append(entry)
            for case_id in entry["cases"]:
                since[case_id] = max(moment, since.get(case_id, moment))
    if not since:
        return list(baselines), ()
    kept = [_without_older(side, since) for side in baselines]
    return [side for side in kept if len(side)], tuple(entries)


def _without_older(side: Side, since: Mapping[str, int]) -> Side:
    moment = int(side.started.max())
    older = {case_id for case_id, accepted in since.items() if moment < accepted}
    if not older:
        return side
    rows = side.table["case_id"].to_pylist()
    return side.where(np.array([case_id not in older for case_id in rows]))
