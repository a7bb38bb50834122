"""A plan as a screen: what will run, what will not and why, and the largest lengths that fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attnbench.render.screen import laid_out
from attnbench.render.values import about, length_text, reason_lines
from attnbench.units import bytes_text, counted, duration_text, significant

if TYPE_CHECKING:
    from attnbench.planning.plan import MemoryLimit, Plan, PlannedCase
    from attnbench.render.screen import Screen
    from attnbench.suite import Suite


def show_plan(plan: Plan, suite: Suite, screen: Screen, *, every: bool = False) -> None:
    """Print a plan, summed up by kind of problem and backend, or with ``every`` case by case."""
    if every:
        header = ("status", "case", "memory", "seconds", "reason")
        screen.table([header, *map(_case_row, plan.planned)], right="  rr")
        screen.line()
        if plan.memory_limits:
            screen.table(list(memory_limit_rows(plan.memory_limits)), right="  rr")
            screen.line()
    else:
        header = ("problems", "cases", "backend", "time", "largest")
        screen.table([header, *_group_rows(plan)], right=" r rr")
        screen.line()
        for line in (*_reasons(plan), *tightest_lines(plan.memory_limits)):
            screen.line(line)
    for line in suite.derived:
        screen.line(f"model   {line}")
    if suite.excluded:
        screen.line(f"suite   {counted(suite.excluded, 'case')} excluded by {suite.name} itself")
    screen.line(f"device  {plan.device.name}, {bytes_text(plan.device.free_bytes)} free")
    will_run = plan.of_status("run")
    largest = max((one.predicted_bytes for one in will_run), default=0)
    processes = counted(plan.processes, "process")
    screen.line(
        f"plan    {counted(len(will_run), 'case')} to run in {processes}, {about(plan.seconds)}; "
        f"the largest needs {bytes_text(largest)}"
    )


def memory_limit_rows(memory_limits: Sequence[MemoryLimit]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each backend and shape: the largest kv_len that fits, and its memory."""
    yield ("backend", "shape", "kv_len up to", "memory")
    for one in memory_limits:
        memory = bytes_text(one.predicted_bytes) if one.largest_kv_len else ""
        yield (one.backend, one.problem, length_text(one.largest_kv_len), memory)


def tightest_lines(memory_limits: Sequence[MemoryLimit]) -> Iterator[str]:
    """Say for each backend which of its shapes runs out of memory first."""
    by_backend: dict[str, list[MemoryLimit]] = {}
    for one in memory_limits:
        by_backend.setdefault(one.backend, []).append(one)
    rows = []
    for backend, members in by_backend.items():
        least = min(members, key=lambda one: one.largest_kv_len)
        most = max(one.largest_kv_len for one in members)
        others = f"elsewhere to {length_text(most)}" if most > least.largest_kv_len else ""
        rows.append((backend, length_text(least.largest_kv_len), least.problem, others))
    if rows:
        yield "largest kv_len that is predicted to fit, by the tightest shape of each backend"
        yield from (f"  {line}" for line in laid_out(rows, right=" r"))
        yield ""


def _case_row(one: PlannedCase) -> tuple[str, ...]:
    return (
        one.status,
        one.case.label,
        bytes_text(one.predicted_bytes) if one.predicted_bytes else "",
        significant(one.predicted_s) if one.predicted_s else "",
        one.reason or "",
    )


def _group_rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    """Yield a row for each (phase and mode, backend): how many cases will run, and their cost."""
    groups: dict[tuple[str, str], list[PlannedCase]] = {}
    for one in plan.planned:
        problem = one.case.problem
        kind = problem.phase if problem.mode == "fwd" else f"{problem.phase} {problem.mode}"
        groups.setdefault((kind, one.case.backend_label), []).append(one)
    for (kind, backend), members in groups.items():
        able = [one for one in members if one.status == "run"]
        seconds = plan.processes * sum(one.predicted_s for one in able)
        largest = max((one.predicted_bytes for one in able), default=0)
        cost = (duration_text(seconds), bytes_text(largest)) if able else ("", "")
        yield (kind, f"{len(able)} of {len(members)}", backend, *cost)


def _reasons(plan: Plan) -> Iterator[str]:
    """Say why cases will not run: by status, the most frequent reason first."""
    for status in ("unsupported", "skipped"):
        members = plan.of_status(status)
        if members:
            yield f"{len(members)} {status}"
            yield from reason_lines((one.case.backend_label, one.reason) for one in members)
            yield ""
