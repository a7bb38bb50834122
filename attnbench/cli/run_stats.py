"""What a view counts during a run, and the first and last lines that it prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from attnbench.cli.rows import RowLayout, layout
from attnbench.environment import device_text, stack_text
from attnbench.execute.events import CaseFinished, RunFinished, RunStarted
from attnbench.measurement import STATUSES, Measurement
from attnbench.planning.plan import Plan
from attnbench.render.run_table import distrust_lines, fastest_lines
from attnbench.render.values import about, reason_lines, shown_path
from attnbench.units import bytes_text, counted, duration_text

_INDENT = " " * 8
_REASONS_SHOWN = 3
_ALMOST = 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTitle:
    """What a view says about the suite.

    Attributes:
        name: The suite's name.
        about: Its description, or nothing.
        repro: The words that choose the same cases again on the command line.
        version: attnbench's version.
        derived: A line for each model whose fields the suite uses.
        budget: The budget as a duration in text, or nothing.

    """

    name: str
    about: str
    repro: str
    version: str
    derived: tuple[str, ...] = ()
    budget: str = ""


@dataclass(slots=True)
class RunStats:
    """Counts over the rows of a run so far."""

    rows: Counter[str] = field(default_factory=Counter)
    notes: dict[str, set[str]] = field(default_factory=dict)
    not_ok: list[Measurement] = field(default_factory=list)
    _share: float = 0.0

    def add(self, finished: CaseFinished) -> None:
        """Count one row."""
        measured = finished.measurement
        self.rows[measured.status] += 1
        for code in measured.notes:
            self.notes.setdefault(code, set()).add(measured.case.id)
        if measured.status != "ok":
            self.not_ok.append(measured)

    def cases_with(self, code: str) -> int:
        """Return how many cases carry this note in some process."""
        return len(self.notes.get(code, ()))

    def share(self, elapsed_s: float, left_s: float | None) -> float:
        """Return how much of the time has passed, from 0 to below 1.

        It counts time and not cases, because the last tenth of the cases takes most of it, and it
        never goes back, although predictions do.
        """
        if left_s is not None and elapsed_s + left_s > 0:
            self._share = max(self._share, min(_ALMOST, elapsed_s / (elapsed_s + left_s)))
        return self._share


def title_lines(title: SuiteTitle) -> Iterator[str]:
    """Yield the first lines, printed before the device is asked anything."""
    suite = f"{title.name}: {title.about}" if title.about else title.name
    yield f"attnbench {title.version}  suite {suite}"
    for line in title.derived:
        yield f"model   {line}"


def opening_lines(started: RunStarted) -> Iterator[str]:
    """Say what is measured, on which device, for how long, and where the rows will be."""
    yield f"device  {device_text(started.environment)}"
    yield f"stack   {stack_text(started.environment)}"
    yield from plan_lines(started.plan, started.processes)
    if started.resumed_rows:
        rows = counted(started.resumed_rows, "row")
        yield f"resume  {rows} {'is' if started.resumed_rows == 1 else 'are'} already there"
    yield f"out     {shown_path(started.out)}"


def plan_lines(plan: Plan, processes: int) -> Iterator[str]:
    """Say how many cases will run and for how long, and the main reasons why others will not."""
    cases = len(plan.of_status("run"))
    each = "1 process" if processes == 1 else f"{processes} processes of each"
    yield f"plan    {counted(cases, 'case')} to run, {each}, {about(plan.seconds)}"
    for status in ("unsupported", "skipped"):
        members = plan.of_status(status)
        if not members:
            continue
        yield f"{_INDENT}{len(members)} {status}"
        lines = list(reason_lines((one.case.backend_label, one.reason) for one in members))
        yield from (f"{_INDENT}{line}" for line in lines[:_REASONS_SHOWN])
        if (more := len(lines) - _REASONS_SHOWN) > 0:
            yield f"{_INDENT}  and {counted(more, 'other reason')}: attnbench plan lists all"


def rows_layout(plan: Plan, width: int | None) -> RowLayout:
    """Return the columns for the cases that will run."""
    return layout([(one.case, one.method) for one in plan.of_status("run")], width)


def closing_lines(finished: RunFinished, stats: RunStats, title: SuiteTitle) -> Iterator[str]:
    """Say how the run ended, who was fastest, where it is saved, and what to type next."""
    yield ""
    took, counts = duration_text(finished.seconds), _counts_text(finished, stats)
    cut = finished.counts.get("not_run", 0)
    if finished.interrupted:
        yield f"stopped after {took}: {counts}"
    elif title.budget and cut:
        total = sum(finished.counts.values())
        done = f"{total - cut} of {counted(total, 'case')} measured"
        yield f"stopped by --budget {title.budget}: {done}: {counts}"
    else:
        yield f"done in {took}: {counts}"
    yield from distrust_lines(finished.distrust)
    others = sorted(set(stats.notes) - {"NOISY"})
    if others:
        listed = ", ".join(f"{stats.cases_with(code)} {code}" for code in others)
        yield f"notes   {listed}"
    yield from fastest_lines(finished.fastest)
    yield from _saved_lines(finished, title.repro)


def _counts_text(finished: RunFinished, stats: RunStats) -> str:
    """Write ``308 ok (3 noisy, marked ~), 4 oom, 24 skipped``, best first."""
    parts = []
    for status in STATUSES:
        if not (count := finished.counts.get(status, 0)):
            continue
        noisy = stats.cases_with("NOISY") if status == "ok" else 0
        parts.append(f"{count} {status}" + (f" ({noisy} noisy, marked ~)" if noisy else ""))
    return ", ".join(parts) or "no case"


def _saved_lines(finished: RunFinished, repro: str) -> Iterator[str]:
    path = shown_path(finished.out)
    yield ""
    if finished.interrupted:
        journal = shown_path(finished.out.with_suffix(".journal"))
        yield f"saved   {counted(finished.rows, 'row')} in {journal}"
        yield f"next    attnbench run {repro} --resume --out {path}"
        return
    if not finished.out.exists():
        return
    size = bytes_text(finished.out.stat().st_size)
    yield f"saved   {path}   {counted(finished.rows, 'row')}, {size}"
    yield f"next    attnbench show {path}"
    yield f"{_INDENT}attnbench export {path} --as csv"
