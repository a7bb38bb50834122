"""One run as a screen: its heading, its table of latencies, its timing, kernels and machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from attnbench.measurement import STATUSES
from attnbench.render.screen import width_of
from attnbench.render.values import change_text, nearest_limit, reason_lines, shown_path
from attnbench.units import duration_text, spread_text, the_counted, time_text

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.analysis.cases import CaseResult
    from attnbench.analysis.machine import MachineState, ProcessState
    from attnbench.render.screen import Screen
    from attnbench.stats.latency import Latency, Rank

_TIMING = ("prepare_us", "first_call_us", "check_us")
_LEGEND = (
    "latency is the geometric mean over processes; ± is half of the 95 % interval between them, "
    "from 3 processes on; ~ is noisy"
)
_CANARY_LEGEND = (
    "canaries never change: the time of the first in a process, and the change of the last, come "
    "from the machine"
)


def show_run(
    path: Path, cases: Sequence[CaseResult], screen: Screen, *, timing: bool = False
) -> None:
    """Print a run: what it is, its table, and why cases are missing from it."""
    from attnbench.analysis.cases import rank_cases
    from attnbench.analysis.machine import machine_states
    from attnbench.analysis.runs import published_lines
    from attnbench.store import read

    metadata = read(path).metadata
    states = machine_states(metadata)
    for line in _heading(path, cases):
        screen.line(line)
    for line in distrust_lines([test for one in states for test in one.distrust]):
        screen.line(line, "red")
    screen.line()
    if timing:
        screen.table(list(_timing_rows(cases)), right="  rrrrr")
        for one in states:
            screen.line()
            if len(states) > 1:
                screen.line(f"run {one.run_name}")
            _show_machine(one, screen)
    else:
        _show_latencies(cases, screen)
    for line in (*fastest_lines(rank_cases(cases)), *_reasons(cases)):
        screen.line(line)
    if published := list(published_lines(metadata, cases)):
        screen.line()
        screen.line("published by others, on their hardware; shown beside ours, never compared")
        screen.table([("problem", "backend", "figure", "device"), *published], right="  r ")
        if metadata.get("source"):
            screen.line(f"source  {metadata['source']}", "dim")


def distrust_lines(distrust: Sequence[str]) -> Iterator[str]:
    """Say that the timing on this machine cannot be trusted, where self-tests failed."""
    for one in distrust:
        yield f"SELF-TEST FAILED   {one}"
    if distrust:
        yield "do not trust the figures of this run; run `attnbench doctor` for advice"


def fastest_lines(fastest: Sequence[Rank]) -> Iterator[str]:
    """Rank backends by the geometric mean over the problems that all of them completed."""
    from attnbench.render.screen import laid_out

    if not fastest:
        return
    problems = the_counted(fastest[0].n, "problem")
    who = {1: "the only backend", 2: "both backends"}.get(
        len(fastest), f"all {len(fastest)} backends"
    )
    yield ""
    yield f"fastest backend, geometric mean over {problems} {who} completed"
    rows = [
        (
            one.label,
            "1.00" if index == 0 else f"{one.ratio:.2f} x slower",
            f"fastest in {one.wins}",
        )
        for index, one in enumerate(fastest)
    ]
    yield from (f"  {line}" for line in laid_out(rows))


def kernel_rows(cases: Sequence[CaseResult]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each backend and set of kernels that it ran.

    A backend has several rows where its library chooses between kernels by itself.
    """
    seen: dict[str, Counter[tuple[str, ...]]] = {}
    for one in cases:
        names = {short_kernel(name) for row in one.rows for name in row["kernels"] or ()}
        if one.latency is not None:
            seen.setdefault(one.backend, Counter())[tuple(sorted(names))] += 1
    yield ("backend", "cases", "kernels")
    for backend, sets in seen.items():
        for number, (ran, count) in enumerate(sets.most_common()):
            yield ("" if number else backend, str(count), ", ".join(ran) or "none seen")


def short_kernel(name: str) -> str:
    """Return a kernel's name without template and arguments, which differ from shape to shape."""
    bare = name.removeprefix("void ")
    for mark in ("<", "("):
        head = bare.partition(mark)[0]
        bare = head or bare
    return bare.strip()


def _heading(path: Path, cases: Sequence[CaseResult]) -> Iterator[str]:
    """Name the file, suite, device and stack, and count the cases by status."""
    from attnbench.analysis.cases import counts

    rows = [row for case in cases for row in case.rows]
    first = rows[0]
    yield f"{shown_path(path)}   suite {first['suite']}"
    stack = ((name, first[f"{name}_version"]) for name in ("torch", "triton"))
    versions = ", ".join(f"{name} {version}" for name, version in stack if version)
    moments = [row["started_at"] for row in rows if row["started_at"] is not None]
    moment = f"{min(moments):%Y-%m-%d %H:%M} UTC" if moments else ""
    device = first["device_name"] or "device unknown"
    yield "   ".join(part for part in (device, versions, moment) if part)
    by_status = counts(cases)
    yield ", ".join(f"{by_status[one]} {one}" for one in STATUSES if by_status[one])


def _show_latencies(cases: Sequence[CaseResult], screen: Screen) -> None:
    """Print problems by backends, or where that is too wide a row for each case."""
    rows = _pivot_rows(cases)
    if width_of(rows) > screen.width:
        screen.table(list(_long_rows(cases)), right="  rrr")
    else:
        screen.table(rows, right=" " + "r" * (len(rows[0]) - 1))
    screen.line()
    screen.wrap(_LEGEND, indent=0, style="dim")


def _pivot_rows(cases: Sequence[CaseResult]) -> list[tuple[str, ...]]:
    from attnbench.analysis.cases import pivot

    backends, table = pivot(cases)
    lines = [
        (problem, *(_cell(line[backend]) if backend in line else "" for backend in backends))
        for problem, line in table.items()
    ]
    return [("problem", *backends), *lines]


def _long_rows(cases: Sequence[CaseResult]) -> Iterator[tuple[str, ...]]:
    yield ("problem", "backend", "latency", "±", "of peak")
    before = ""
    for one in cases:
        problem = one.problem if one.problem != before else ""
        before = one.problem
        if one.latency is None:
            yield (problem, one.backend, one.status, "", "")
        else:
            latency, spread = _latency_texts(one.latency, noisy="NOISY" in one.notes)
            yield (problem, one.backend, latency, spread, _share_text(one))


def _timing_rows(cases: Sequence[CaseResult]) -> Iterator[tuple[str, ...]]:
    """Yield what each case took besides its latency, as medians over processes."""
    yield ("problem", "backend", "latency", "prepare", "first call", "check", "whole case")
    for one in cases:
        whole = _known(one, "seconds")
        medians = [
            time_text(median(known) / 1e6) if (known := _known(one, column)) else ""
            for column in _TIMING
        ]
        yield (
            one.problem,
            one.backend,
            one.status if one.latency is None else time_text(one.latency.seconds),
            *medians,
            time_text(median(whole)) if whole else "",
        )


def _reasons(cases: Sequence[CaseResult]) -> Iterator[str]:
    """Say why cases are not ok: by status, the most frequent reason first."""
    for status in STATUSES[1:]:
        members = [one for one in cases if one.status == status]
        if members:
            yield ""
            yield f"{len(members)} {status}"
            yield from reason_lines((one.backend, one.reason) for one in members)


def _cell(one: CaseResult) -> str:
    """Write one case: ``18.2 µs ±0.3%``, or its status."""
    if one.latency is None:
        return one.status
    return " ".join(_latency_texts(one.latency, noisy="NOISY" in one.notes)).rstrip()


def _latency_texts(latency: Latency, *, noisy: bool) -> tuple[str, str]:
    """Write a latency and its interval between processes, with the mark of a noisy one."""
    spread = "" if latency.half_width is None else spread_text(latency.half_width)
    return time_text(latency.seconds), f"{spread}~" if noisy else spread


def _share_text(one: CaseResult) -> str:
    """Write the share of the nearer hardware limit, the median over processes."""
    memory, flops = (_known(one, f"pct_peak_{name}") for name in ("bandwidth", "flops"))
    # Data that never leaves the cache has no share of the memory's bandwidth.
    if "L2_RESIDENT" in one.notes:
        memory = []
    return nearest_limit(median(memory) if memory else None, median(flops) if flops else None)


def _known(one: CaseResult, column: str) -> list[Any]:
    return [row[column] for row in one.rows if row[column] is not None]


def _show_machine(state: MachineState, screen: Screen) -> None:
    """Print what the self-tests measured, and how steady the machine was."""
    for number, line in enumerate(_selftest_lines(state)):
        screen.line(f"{'' if number else 'self-test':<10} {line}")
    if state.processes:
        screen.line()
        screen.table(list(_process_rows(state.processes)), right="r" * 8)
        screen.wrap(_CANARY_LEGEND, indent=0, style="dim")


def _selftest_lines(state: MachineState) -> Iterator[str]:
    """Yield what each test measured and expected, and advice where it failed."""
    for one in state.tests:
        word = "ok" if one["passed"] else "FAILED" if one["grave"] else "not as expected"
        yield f"{one['name']}: {one['measured']} (expected {one['expected']}) {word}"
        if one["advice"]:
            yield f"  {one['advice']}"


def _process_rows(processes: tuple[ProcessState, ...]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each process: the first of each canary and its change, warm-up, notes."""
    names = list(dict.fromkeys(name for one in processes for name in one.first or {}))
    yield ("process", *(cell for name in names for cell in (name, "")), "warm-up", "notes")
    for one in processes:
        cells = []
        for name in names:
            first, change = (one.first or {}).get(name), one.changes.get(name)
            cells.append("" if first is None else time_text(first / 1e6))
            cells.append("" if change is None else change_text(change))
        warmup = "none"
        if one.warmup_s is not None:
            warmup = duration_text(one.warmup_s) + ("" if one.flat else ", never flat")
        cut = "cut off" if one.last is None and one.failed is None else ""
        notes = [note for note in (*one.notes, one.failed or cut) if note]
        yield (str(one.process), *cells, warmup, ", ".join(notes))
