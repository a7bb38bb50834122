"""The self-test and the canaries of a run, as lines of ``show --timing``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attnbench.cli.fitting import wrapped
from attnbench.units import duration_text, time_text

if TYPE_CHECKING:
    from attnbench.analysis.machine import MachineState, ProcessState
    from attnbench.cli.screen import Screen

_LEGEND = (
    "canaries never change: what they take, first in a process and by how much more last, is the "
    "machine's doing"
)


def show_machine(state: MachineState, screen: Screen) -> None:
    """Print what the machine's timers read, and how steady the machine was."""
    for number, line in enumerate(selftest_lines(state)):
        screen.line(f"{'' if number else 'self-test':<10} {line}")
    if state.processes:
        screen.line()
        screen.table(list(process_rows(state.processes)), right="r" * 8)
        wrapped(screen, _LEGEND, indent=0, style="dim")


def selftest_lines(state: MachineState) -> Iterator[str]:
    """A line a test: what was read, what was expected, and what to do where it failed."""
    for one in state.tests:
        word = "ok" if one["passed"] else "FAILED" if one["grave"] else "not as expected"
        yield f"{one['name']}: {one['measured']} (expected {one['expected']}) {word}"
        if one["advice"]:
            yield f"  {one['advice']}"


def process_rows(processes: tuple[ProcessState, ...]) -> Iterator[tuple[str, ...]]:
    """A line a process: each canary first and its change, the warm-up, notes."""
    names = list(dict.fromkeys(name for one in processes for name in one.first or {}))
    yield ("process", *(cell for name in names for cell in (name, "")), "warm-up", "notes")
    for one in processes:
        cells = []
        for name in names:
            first, change = (one.first or {}).get(name), one.changes.get(name)
            cells.append("" if first is None else time_text(first / 1e6))
            cells.append("" if change is None else f"{change:+.1%}")
        yield (str(one.process), *cells, _warmup(one), _remarks(one))


def _warmup(one: ProcessState) -> str:
    if one.warmup_s is None:
        return "none"
    return duration_text(one.warmup_s) + ("" if one.flat else ", never flat")


def _remarks(one: ProcessState) -> str:
    cut = "cut off" if one.last is None and one.failed is None else ""
    return ", ".join(filter(None, (*one.notes, one.failed or cut)))
