"""The first and the last lines of a run: what will be measured on what, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from attnbench.cli.rows import RowLayout, layout
from attnbench.cli.screen import laid_out
from attnbench.cli.tally import Tally, about
from attnbench.environment import Environment
from attnbench.execute.events import RunFinished, RunStarted
from attnbench.measurement import STATUSES
from attnbench.planning.plan import Plan
from attnbench.stats.latency import Rank
from attnbench.units import bytes_text, duration_text

_INDENT = " " * 8
_REASONS_SHOWN = 3
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*(?: [kMGT]?B\b| m?s\b| min\b| h\b)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a view says of the suite; ``words`` is what must be typed to choose it again."""

    name: str
    about: str
    words: str
    version: str
    derived: tuple[str, ...] = ()


def title(shown: Shown) -> Iterator[str]:
    """The first lines, printed before anything is asked of the device."""
    suite = f"{shown.name}: {shown.about}" if shown.about else shown.name
    yield f"attnbench {shown.version}  suite {suite}"
    for line in shown.derived:
        yield f"model   {line}"


def opening(started: RunStarted) -> Iterator[str]:
    """Say what is measured on, for how long, and where the rows will be."""
    yield f"device  {device_text(started.environment)}"
    yield f"stack   {stack_text(started.environment)}"
    yield from plan_lines(started.plan, started.processes)
    if started.resumed_rows:
        yield f"resume  {counted(started.resumed_rows, 'row')} are there already and are kept"
    yield f"out     {shown_path(started.out)}"


def device_text(environment: Environment) -> str:
    """``NVIDIA H200, sm_90, 150 GB, driver 580.65`` or ``Xeon, x86_64, 2 cores, 8.3 GB``."""
    device = environment.device
    parts = [device.name, device.arch, bytes_text(device.memory_bytes)]
    if device.kind == "cpu" and device.cores:
        parts.append("1 core" if device.cores == 1 else f"{device.cores} cores")
    if device.driver:
        parts.append(f"driver {device.driver}")
    if device.mig:
        parts.append(f"MIG {device.mig}")
    return ", ".join(parts)


def stack_text(environment: Environment) -> str:
    """``torch 2.13.0, triton 3.7.1, cuda 13.0, python 3.12.4``."""
    named = {
        "torch": environment.torch_version,
        "triton": environment.triton_version,
        "cuda": environment.cuda,
        "python": environment.python,
    }
    return ", ".join(f"{name} {version}" for name, version in named.items() if version)


def plan_lines(plan: Plan, processes: int) -> Iterator[str]:
    """How many cases will run and for how long; what will not, with the commonest reasons."""
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
            yield f"{_INDENT}  and {counted(more, 'other reason')}: attnbench plan tells all"


def reason_lines(pairs: Iterable[tuple[str, str | None]]) -> Iterator[str]:
    """Count (backend, reason), the commonest first; those that differ in figures alone are one."""
    alike: dict[tuple[str, str], list[str]] = {}
    for backend, reason in pairs:
        first = (reason or "").partition("\n")[0]
        alike.setdefault((backend, _FIGURE.sub("0", first)), []).append(first)
    for (backend, _), reasons in sorted(alike.items(), key=lambda one: -len(one[1])):
        others = ", and the like" if len(set(reasons)) > 1 else ""
        yield f"  {len(reasons)} x {backend}: {reasons[0]}{others}"


def rows_layout(plan: Plan, width: int | None) -> RowLayout:
    """Columns for the cases that will run."""
    return layout([(one.case, one.method) for one in plan.of_status("run")], width)


def closing(finished: RunFinished, tally: Tally, suite: str) -> Iterator[str]:
    """Say what came of a run, who was fastest, where it is saved, and what to type next."""
    yield ""
    if finished.interrupted:
        yield f"stopped after {duration_text(finished.seconds)}: {counts_text(finished, tally)}"
    else:
        yield f"done in {duration_text(finished.seconds)}: {counts_text(finished, tally)}"
    yield from distrust_lines(finished.distrust)
    others = sorted(set(tally.notes) - {"NOISY"})
    if others:
        listed = ", ".join(f"{tally.cases_with(code)} {code}" for code in others)
        yield f"notes   {listed}"
    yield from fastest_lines(finished.fastest)
    yield from _saved(finished, suite)


def distrust_lines(distrust: Sequence[str]) -> Iterator[str]:
    """Say that this machine's timing does not hold, where it does not."""
    for one in distrust:
        yield f"SELF-TEST FAILED   {one}"
    if distrust:
        yield "do not believe the figures of this run; attnbench doctor says what to do"


def counts_text(finished: RunFinished, tally: Tally) -> str:
    """``308 ok (3 noisy, marked ~), 4 oom, 24 skipped``, best first."""
    parts = []
    for status in STATUSES:
        if not (count := finished.counts.get(status, 0)):
            continue
        noisy = tally.cases_with("NOISY") if status == "ok" else 0
        parts.append(f"{count} {status}" + (f" ({noisy} noisy, marked ~)" if noisy else ""))
    return ", ".join(parts) or "no case"


def fastest_lines(fastest: Sequence[Rank]) -> Iterator[str]:
    """Rank backends by the geometric mean over the problems that all of them finished."""
    if not fastest:
        return
    problems = counted(fastest[0].n, "problem")
    yield ""
    yield f"fastest backend, geometric mean over the {problems} that all {len(fastest)} finished"
    rows = [
        (
            one.label,
            "1.00" if index == 0 else f"{one.ratio:.2f} x slower",
            f"fastest in {one.wins}",
        )
        for index, one in enumerate(fastest)
    ]
    for line in laid_out(rows):
        yield f"  {line}"


def shown_path(path: Path) -> str:
    """A path as one would type it here: relative where it lies below the working directory."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def counted(count: int, noun: str) -> str:
    """``1 case``, ``2 cases``."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{'' if count == 1 else plural}"


def _saved(finished: RunFinished, suite: str) -> Iterator[str]:
    path = shown_path(finished.out)
    yield ""
    if finished.interrupted:
        journal = shown_path(finished.out.with_suffix(".journal"))
        yield f"saved   {counted(finished.rows, 'row')} in {journal}"
        yield f"next    attnbench run {suite} --resume --out {path}"
        return
    if not finished.out.exists():
        return
    size = bytes_text(finished.out.stat().st_size)
    yield f"saved   {path}   {counted(finished.rows, 'row')}, {size}"
    yield f"next    attnbench show {path}"
    yield f"{_INDENT}attnbench export {path} --as csv"
