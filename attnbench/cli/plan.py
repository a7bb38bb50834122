"""``attnbench plan``: what a run would do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from attnbench.cli import exit_codes, options

if TYPE_CHECKING:
    from attnbench.planning.plan import MemoryLimit, Plan, PlannedCase
    from attnbench.suite import Suite


@click.command("plan")
@click.argument("suite", default="quick")
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda:N|h200|…|RUN",
    help="This machine's, a datasheet's (attnbench list devices), or a run's.",
)
@options.backends
@options.overrides
@options.case_filter
@click.option("--all", "every", is_flag=True, help="A line for every case.")
@options.as_json
def command(suite: str, every: bool, as_json: bool, **settings: Any) -> int:
    """Say of every case of SUITE whether it will run, why not, in what memory and time.

    Needs neither torch nor a GPU.
    """
    from attnbench import api

    device = settings.pop("device")
    loaded = api.load_suite(suite, **settings)
    plan = api.plan(loaded, device=device)
    if as_json:
        from attnbench.render.documents import json_text, plan_document

        click.echo(json_text(plan_document(plan)))
    else:
        _show(plan, loaded, every=every)
    return exit_codes.DONE if plan.planned else exit_codes.NOTHING


def _show(plan: Plan, suite: Suite, *, every: bool) -> None:
    from attnbench.render.screen import stdout_console
    from attnbench.render.values import about, counted
    from attnbench.units import bytes_text

    screen = stdout_console()
    if every:
        header = ("status", "case", "memory", "seconds", "reason")
        screen.table([header, *map(_line, plan.planned)], right="  rr")
        screen.line()
        if plan.memory_limits:
            screen.table(list(memory_limit_rows(plan.memory_limits)), right="  rr")
            screen.line()
    else:
        screen.table(
            [("problems", "cases", "backend", "time", "largest"), *_groups(plan)], right=" r rr"
        )
        screen.line()
        for line in (*_reasons(plan), *tightest_lines(plan.memory_limits)):
            screen.line(line)
    for line in suite.derived:
        screen.line(f"model   {line}")
    if suite.excluded:
        screen.line(f"suite   {counted(suite.excluded, 'case')} excluded by {suite.name} itself")
    will_run = plan.of_status("run")
    device = f"{plan.device.name}, {bytes_text(plan.device.free_bytes)} free"
    screen.line(f"device  {device}")
    largest = max((one.predicted_bytes for one in will_run), default=0)
    processes = counted(plan.processes, "process")
    screen.line(
        f"plan    {counted(len(will_run), 'case')} to run in {processes}, {about(plan.seconds)}; "
        f"the largest needs {bytes_text(largest)}"
    )


def _line(one: PlannedCase) -> tuple[str, ...]:
    from attnbench.units import bytes_text, significant

    return (
        one.status,
        one.case.label,
        bytes_text(one.predicted_bytes) if one.predicted_bytes else "",
        significant(one.predicted_s) if one.predicted_s else "",
        one.reason or "",
    )


def memory_limit_rows(memory_limits: Sequence[MemoryLimit]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each backend and shape: the largest kv_len that fits, and its memory."""
    from attnbench.render.values import length_text
    from attnbench.units import bytes_text

    yield ("backend", "shape", "kv_len up to", "memory")
    for one in memory_limits:
        memory = bytes_text(one.predicted_bytes) if one.largest_kv_len else ""
        yield (one.backend, one.problem, length_text(one.largest_kv_len), memory)


def tightest_lines(memory_limits: Sequence[MemoryLimit]) -> Iterator[str]:
    """A line for each backend: on which of its shapes memory ends first."""
    from attnbench.render.screen import laid_out
    from attnbench.render.values import length_text

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


def _groups(plan: Plan) -> Iterator[tuple[str, ...]]:
    """A line for each (phase and mode, backend): how many of its cases will run, and the cost."""
    from attnbench.units import bytes_text, duration_text

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
    """Every status that will not run, with its reasons, the commonest first."""
    from attnbench.render.values import reason_lines

    for status in ("unsupported", "skipped"):
        members = plan.of_status(status)
        if members:
            yield f"{len(members)} {status}"
            yield from reason_lines((one.case.backend_label, one.reason) for one in members)
            yield ""
