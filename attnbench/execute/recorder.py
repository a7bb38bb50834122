"""The rows of a run: written through the journal, and counted for plans, resuming and ranking."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from attnbench.execute.rows import RunIdentity, make_row
from attnbench.measurement import Measurement, worst
from attnbench.method import ROTATE
from attnbench.planning.plan import RUN, Plan, PlannedCase
from attnbench.planning.prediction import Key, rate_key
from attnbench.stats.latency import Rank, rank_backends
from attnbench.stats.summary import Summary
from attnbench.store.resume import Redo, done
from attnbench.store.writer import RunWriter

_CaseKey = tuple[str, str | None]


class RunRecorder:
    """Appends rows and remembers the status of each case and method.

    Args:
        writer: the journal, which may hold rows already.
        identity: what every row says about the run.
        redo: which of the rows in the journal are measured again.
        stored_sources: what rows say instead of the source of a case.

    """

    def __init__(
        self,
        writer: RunWriter,
        identity: RunIdentity,
        redo: Redo = "none",
        stored_sources: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._writer = writer
        self._stored_sources = stored_sources
        self._identity = identity
        self._before = done(writer.rows(), redo)
        self._statuses: dict[_CaseKey, dict[int | None, str]] = defaultdict(dict)
        self._logs: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._oom: dict[Key, PlannedCase] = {}
        self._ended: set[_CaseKey] = set()
        self._tried: set[_CaseKey] = set()
        self._planned: frozenset[_CaseKey] = frozenset()
        for row in writer.rows():
            self._count(row)

    @property
    def rows(self) -> int:
        """Rows in the journal."""
        return self._writer.row_count

    def covers(self, planned: PlannedCase, process: int) -> bool:
        """Say whether this case needs nothing more in this process."""
        return any(
            key in self._ended or self._before.covers(*key, process) for key in self._keys(planned)
        )

    def has_ended(self, planned: PlannedCase) -> bool:
        """Return whether a row of this case ended other than ok."""
        return (planned.case.id, planned.method.id) in self._ended

    def larger_than_oom(self, planned: PlannedCase) -> PlannedCase | None:
        """Return the case of the same family that ran out of memory and was no larger, if any."""
        small = self._oom.get(rate_key(planned.case))
        if small is None or planned.predicted_bytes < small.predicted_bytes:
            return None
        return small

    def write_plan(self, plan: Plan) -> None:
        """Write what the plan decided: one row a case that will not run, process NULL."""
        self._planned = frozenset((one.case.id, one.method.id) for one in plan.planned)
        for planned in plan.planned:
            if planned.status != RUN and not self.covers(planned, 0):
                self.rule_out(planned, planned.status, planned.reason or planned.status)

    def rule_out(self, planned: PlannedCase, status: str, reason: str) -> None:
        """Write the one row, without a process, of a case that is not measured."""
        self.record(Measurement(case=planned.case, status=status, reason=reason), planned)

    def record(self, measurement: Measurement, planned: PlannedCase) -> Summary | None:
        """Write the row of a measurement; when this returns it survives a crash."""
        numbered = replace(measurement, seq=self._writer.row_count)
        if source := self._stored_sources.get(measurement.case.source):
            numbered = replace(numbered, case=replace(measurement.case, source=source))
        row, summary = make_row(self._identity, numbered, planned.method)
        self._writer.append(row)
        self._count(row)
        # A row may say warm where the plan said cold; either way the plan's case has been tried.
        self._tried.add((measurement.case.id, planned.method.id))
        if measurement.status != "ok":
            self._ended.add((measurement.case.id, planned.method.id))
        if measurement.status == "oom":
            small = self._oom.get(rate_key(planned.case))
            if small is None or planned.predicted_bytes < small.predicted_bytes:
                self._oom[rate_key(planned.case)] = planned
        return summary

    def is_known(self, planned: PlannedCase) -> bool:
        """Say whether any row of this case and method was written."""
        return any(key in self._statuses or key in self._tried for key in self._keys(planned))

    def _keys(self, planned: PlannedCase) -> tuple[tuple[str, str], ...]:
        """The keys under which its rows may stand: a rotation that finds no room is read warm.

        Where the plan has the case warm as well, a warm row is that one's.
        """
        own = (planned.case.id, planned.method.id)
        warm = (planned.case.id, planned.method.read_as("warm").id)
        may_fall = planned.method.flush == ROTATE and self._planned and warm not in self._planned
        return (own, warm) if may_fall else (own,)

    def counts(self) -> dict[str, int]:
        """Count cases by status, the worst of their rows; a case counts once for each method.

        What one timer cannot read another may have read well.
        """
        return dict(Counter(worst(statuses.values()) for statuses in self._statuses.values()))

    def fastest(self) -> list[Rank]:
        """Rank the backends over the problems that all of them finished."""
        ok = {
            problem: {label: math.exp(math.fsum(logs) / len(logs)) for label, logs in one.items()}
            for problem, one in self._logs.items()
        }
        return rank_backends(ok)

    def finish(self) -> int:
        """Write the result file from the journal; return its rows."""
        return self._writer.finish()

    def _count(self, row: Mapping[str, Any]) -> None:
        process = row.get("process")
        statuses = self._statuses[row["case_id"], row.get("method_id")]
        if process is not None:
            statuses.pop(None, None)  # measured after all, whatever an earlier plan said
        statuses[process] = row["status"]
        if row["status"] == "ok":
            place = f"{row['problem_id']} {row.get('method_id')}"
            self._logs[place][row["backend_label"]].append(math.log(row["latency_us"]))
