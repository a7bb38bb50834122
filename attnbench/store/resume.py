"""Resuming a run: what is measured already, what to measure anew, what must not differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from attnbench.errors import ResultFileError
from attnbench.measurement import STATUSES
from attnbench.store.journal import SUFFIX, Header, parquet_path, read_header
from attnbench.store.rows import RowKey, row_key, standing

Redo = Literal["none", "failed", "all"]

# What ``--redo failed`` measures again.
REDONE = ("oom", "timeout", "implausible", "incorrect", "crashed", "failed")
_ANEW: dict[Redo, tuple[str, ...]] = {
    "none": ("not_run",),
    "failed": ("not_run", *REDONE),
    "all": STATUSES,
}
# Keys of a run's header in which the stored run and the one that would go on with it must agree.
MUST_MATCH = ("suite_sha256", "device_id", "method")


@dataclass(frozen=True, slots=True)
class Done:
    """What a run need not measure any more."""

    keys: frozenset[RowKey]
    ended: frozenset[tuple[str, str | None]]

    def covers(self, case_id: str, method_id: str, process: int) -> bool:
        """Tell whether this case needs no measuring in this process.

        It has a row; or the plan ruled it out; or it ended other than ok in some process, after
        which a run does not try it again.
        """
        return (
            RowKey(case_id, method_id, process) in self.keys
            or (case_id, method_id) in self.ended
            or (case_id, None) in self.ended
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """A key in which two runs differ, with the value that is stored and the one of now."""

    key: str
    stored: Any
    now: Any


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run that was cut off: the result file it would become, its journal and its header."""

    path: Path
    journal: Path
    header: Header


def done(rows: Iterable[Mapping[str, Any]], redo: Redo = "none") -> Done:
    """Tell what the rows of a run cover; ``redo`` leaves out what is to be measured anew.

    ``not_run`` is never done. Where a row was replaced by a later one, the later one counts.
    """
    held = [(row_key(row), row["status"]) for row in rows]
    stands = standing(key._asdict() for key, _ in held)
    counted = [held[place] for place in stands if held[place][1] not in _ANEW[redo]]
    return Done(
        frozenset(key for key, _ in counted),
        frozenset((key.case_id, key.method_id) for key, status in counted if status != "ok"),
    )


def differences(
    stored: Mapping[str, Any], now: Mapping[str, Any], keys: Iterable[str] = MUST_MATCH
) -> list[Difference]:
    """List where two headers differ under these keys; nested ones are written ``method.timer``."""
    found = []
    for key in keys:
        # Through JSON, as the stored one went: a tuple there is a list.
        before, after = stored.get(key), json.loads(json.dumps(now.get(key)))
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            inner = differences(before, after, dict.fromkeys((*before, *after)))
            found += [Difference(f"{key}.{one.key}", one.stored, one.now) for one in inner]
        elif before != after:
            found.append(Difference(key, before, after))
    return found


def unfinished_runs(folder: Path) -> list[Unfinished]:
    """List the unfinished runs of a folder, the newest first; a damaged journal is left out."""
    found = []
    for journal in sorted(folder.glob(f"*{SUFFIX}"), key=_modified, reverse=True):
        try:
            header = read_header(journal)
        except ResultFileError:
            continue
        found.append(Unfinished(parquet_path(journal), journal, header))
    return found


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns
