"""``attnbench show``: one run's table, or one case in full."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import click

from attnbench.cli import exit_codes, options

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.analysis.machine import MachineState
    from attnbench.analysis.table import CaseRows
    from attnbench.cli.screen import Screen
    from attnbench.stats.latency import Latency

_TIMING = ("prepare_us", "first_call_us", "check_us")
_LEGEND = (
    "latency is the geometric mean over processes; ± is half of the 95 % interval between them, "
    "from 3 processes on; ~ is noisy"
)


@click.command("show")
@click.argument("run", required=False)
@click.argument("words", nargs=-1, metavar="[FILTER]")
@options.case_filter
@click.option(
    "--timing",
    is_flag=True,
    help="What prepare, first call and check took; self-test and canaries.",
)
@click.option("--kernels", is_flag=True, help="What each backend really ran.")
@options.as_json
def command(
    run: str | None,
    words: tuple[str, ...],
    filter: str | None,
    timing: bool,
    kernels: bool,
    as_json: bool,
) -> int:
    """Show RUN (a path, a name in results/, or the newest) as a table of problems by backends.

    Where FILTER leaves one case, its samples, notes and environment are shown.
    """
    from attnbench.analysis.runs import find_run
    from attnbench.analysis.table import case_rows, selected
    from attnbench.cli.screen import data
    from attnbench.store import load

    path = find_run(run)
    text = " ".join(one for one in (*words, filter) if one)
    cases = case_rows(selected(load(path), text or None))
    if as_json:
        facts = [case_facts(one) for one in cases]
        said = {"machine": _machine_facts(path), "cases": facts} if timing else facts
        click.echo(json.dumps(said, indent=1, ensure_ascii=False))
    elif len(cases) == 1 and text:
        from attnbench.cli.show_case import show_case

        show_case(cases[0], data())
    elif kernels:
        from attnbench.cli.show_kernels import kernel_rows

        data().table(list(kernel_rows(cases)), right=" r")
    else:
        show_run(path, cases, data(), timing=timing)
    return exit_codes.DONE


def show_run(
    path: Path, cases: Sequence[CaseRows], screen: Screen, *, timing: bool = False
) -> None:
    """Print a run: what it is, its table, why cases are missing from it."""
    from attnbench.analysis.machine import machine_states
    from attnbench.analysis.table import ranked
    from attnbench.cli.fitting import wrapped
    from attnbench.cli.summary import distrust_lines, fastest_lines
    from attnbench.store import read

    states = machine_states(read(path).metadata)
    for line in heading(path, cases):
        screen.line(line)
    for line in distrust_lines([test for one in states for test in one.distrust]):
        screen.line(line, "red")
    screen.line()
    if timing:
        screen.table(list(timing_rows(cases)), right="  rrrrr")
        show_machines(states, screen)
    else:
        rows = pivot_rows(cases)
        if _table_width(rows) > screen.width:
            screen.table(list(long_rows(cases)), right="  rrr")
        else:
            screen.table(rows, right=" " + "r" * (len(rows[0]) - 1))
        screen.line()
        wrapped(screen, _LEGEND, indent=0, style="dim")
    for line in (*fastest_lines(ranked(cases)), *reasons(cases)):
        screen.line(line)
    show_published(path, cases, screen)


def show_machines(states: Sequence[MachineState], screen: Screen) -> None:
    """Print the self-test and the canaries of each run that the file holds."""
    from attnbench.cli.show_machine import show_machine

    for one in states:
        screen.line()
        if len(states) > 1:
            screen.line(f"run {one.run_name}")
        show_machine(one, screen)


def show_published(path: Path, cases: Sequence[CaseRows], screen: Screen) -> None:
    """Print what the suite quotes of these problems, with the hardware it was measured on."""
    from attnbench.analysis.published import published_lines
    from attnbench.store import read

    run = read(path).metadata
    lines = list(published_lines(run, cases))
    if lines:
        screen.line()
        screen.line("published by others, on their hardware; shown beside ours, never compared")
        screen.table([("problem", "backend", "figure", "device"), *lines], right="  r ")
        if run.get("source"):
            screen.line(f"source  {run['source']}", "dim")


def heading(path: Path, cases: Sequence[CaseRows]) -> Iterator[str]:
    """Name the file, suite, device and stack, and count the cases by status."""
    from attnbench.analysis.table import counts
    from attnbench.cli.summary import shown_path
    from attnbench.measurement import STATUSES

    rows = [row for case in cases for row in case.rows]
    first = rows[0]
    yield f"{shown_path(path)}   suite {first['suite']}"
    stack = ((name, first[f"{name}_version"]) for name in ("torch", "triton"))
    versions = ", ".join(f"{name} {version}" for name, version in stack if version)
    device = first["device_name"] or "device unknown"
    yield "   ".join(filter(None, (device, versions, _moment(rows))))
    by_status = counts(cases)
    yield ", ".join(f"{by_status[one]} {one}" for one in STATUSES if by_status[one])


def pivot_rows(cases: Sequence[CaseRows]) -> list[tuple[str, ...]]:
    """A line for each problem, a column for each backend."""
    from attnbench.analysis.table import pivot

    backends, table = pivot(cases)
    lines = [
        (problem, *(cell(line[backend]) if backend in line else "" for backend in backends))
        for problem, line in table.items()
    ]
    return [("problem", *backends), *lines]


def long_rows(cases: Sequence[CaseRows]) -> Iterator[tuple[str, ...]]:
    """A line for each case, for where the table is too wide."""
    yield ("problem", "backend", "latency", "±", "of peak")
    before = ""
    for one in cases:
        problem = one.problem if one.problem != before else ""
        before = one.problem
        if one.latency is None:
            yield (problem, one.backend, one.status, "", "")
        else:
            latency, reach = latency_texts(one.latency, noisy="NOISY" in one.notes)
            yield (problem, one.backend, latency, reach, share_text(one))


def timing_rows(cases: Sequence[CaseRows]) -> Iterator[tuple[str, ...]]:
    """What each case took beside its latency, medians over processes."""
    from attnbench.units import time_text

    yield ("problem", "backend", "latency", "prepare", "first call", "check", "whole case")
    for one in cases:
        whole = [row["seconds"] for row in one.rows if row["seconds"] is not None]
        yield (
            one.problem,
            one.backend,
            one.status if one.latency is None else time_text(one.latency.seconds),
            *(_median_us(one, column) for column in _TIMING),
            time_text(median(whole)) if whole else "",
        )


def reasons(cases: Sequence[CaseRows]) -> Iterator[str]:
    """Why cases are not ok: by status, the commonest reason first."""
    from attnbench.cli.summary import reason_lines
    from attnbench.measurement import STATUSES

    for status in STATUSES[1:]:
        members = [one for one in cases if one.status == status]
        if members:
            yield ""
            yield f"{len(members)} {status}"
            yield from reason_lines((one.backend, one.reason) for one in members)


def cell(one: CaseRows) -> str:
    """One case in the table: ``18.2 µs ±0.3%``, or its status."""
    if one.latency is None:
        return one.status
    latency, reach = latency_texts(one.latency, noisy="NOISY" in one.notes)
    return f"{latency} {reach}".rstrip()


def latency_texts(latency: Latency, *, noisy: bool) -> tuple[str, str]:
    """Write a latency and its interval between processes, with the mark of a noisy one."""
    from attnbench.units import spread_text, time_text

    reach = "" if latency.half_width is None else spread_text(latency.half_width)
    return time_text(latency.seconds), f"{reach}~" if noisy else reach


def share_text(one: CaseRows) -> str:
    """The nearer limit's share: the best over processes is not taken, their median is."""
    from attnbench.cli.rows import percent_text

    shares = []
    for column, word in (("pct_peak_bandwidth", "mem"), ("pct_peak_flops", "flop")):
        known = [row[column] for row in one.rows if row[column] is not None]
        if known and not (word == "mem" and "L2_RESIDENT" in one.notes):
            shares.append((median(known), word))
    return percent_text(*max(shares)) if shares else ""


def case_facts(one: CaseRows) -> dict[str, Any]:
    """One case as plain JSON values."""
    latency = one.latency
    return {
        "case_id": one.case_id,
        "case_label": one.label,
        "backend": one.backend,
        "timing": one.timing,
        "status": one.status,
        "reason": one.reason,
        "notes": list(one.notes),
        "kernels": list(dict.fromkeys(name for row in one.rows for name in row["kernels"] or ())),
        "latency_us": None if latency is None else latency.seconds * 1e6,
        "low_us": None if latency is None or latency.low is None else latency.low * 1e6,
        "high_us": None if latency is None or latency.high is None else latency.high * 1e6,
        "processes": 0 if latency is None else latency.processes,
    }


def _machine_facts(path: Path) -> list[dict[str, Any]]:
    from attnbench.analysis.machine import machine_states
    from attnbench.store import read

    return [one.to_dict() for one in machine_states(read(path).metadata)]


def _median_us(one: CaseRows, column: str) -> str:
    from attnbench.units import time_text

    known = [row[column] for row in one.rows if row[column] is not None]
    return time_text(median(known) / 1e6) if known else ""


def _moment(rows: Sequence[dict[str, Any]]) -> str:
    known = [row["started_at"] for row in rows if row["started_at"] is not None]
    return f"{min(known):%Y-%m-%d %H:%M} UTC" if known else ""


def _table_width(rows: Sequence[Sequence[str]]) -> int:
    from attnbench.cli.screen import laid_out

    return max(map(len, laid_out(rows)))
