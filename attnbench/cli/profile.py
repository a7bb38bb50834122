"""``attnbench profile``: one case under a profiler."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from attnbench.cli import exit_codes, options

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.profile.profiled import Kernel, Profiled
    from attnbench.render.screen import Screen

_SHOWN = 20
_NARROWEST = 20
_COUNTERS = ("memory_pct", "dram_pct", "l2_pct", "sm_pct")


@click.command("profile")
@click.argument("suite", default="quick")
@options.suite_choice
@click.option(
    "--tool",
    type=options.OneOf("torch", "ncu", "proton"),
    default="torch",
    show_default=True,
    metavar="torch|ncu|proton",
    help="Profiler to use.",
)
@click.option(
    "--out",
    type=options.FILE,
    metavar="FILE",
    help="File that the profiler writes; must not exist.",
)
@click.option(
    "--show-command", is_flag=True, help="Print the profiler's command without running it."
)
@options.as_json
def command(
    suite: str,
    show_command: bool,
    as_json: bool,
    out: Path | None,
    **settings: Any,
) -> int:
    """Call one case of SUITE once under a profiler; -k must leave exactly one case.

    Nothing else surrounds the call: no check, no timer, no memory trace. A profiler's times are
    never a latency.
    """
    from attnbench import api
    from attnbench.profile.one_case import profile_case
    from attnbench.render.screen import stdout_console

    request = api.profile_request(suite, out=out, **settings)
    if show_command:
        click.echo(shlex.join(request.command()))
        return exit_codes.DONE
    profiled = profile_case(request)
    if as_json:
        from attnbench.render.documents import json_text

        click.echo(json_text(profiled.to_dict(), allow_nan=True))
    else:
        show(profiled, stdout_console())
    return exit_codes.of_counts({profiled.status: 1})


def show(profiled: Profiled, screen: Screen) -> None:
    """Print what ran, its kernels from the slowest on, and where the profiler's files are."""
    from attnbench.render.values import shown_path

    screen.line(f"case    {profiled.case.label}")
    screen.line(f"device  {profiled.device}")
    screen.line(f"ran     {short_command(profiled.command)}")
    if profiled.status != "ok":
        screen.line(f"{profiled.status}: {profiled.reason}")
        return
    screen.line()
    screen.table(
        list(kernel_rows(profiled, screen.width)), right=f" {'r' * (3 + len(_COUNTERS) + 1)}"
    )
    if (more := len(profiled.kernels) - _SHOWN) > 0:
        screen.line(f"and {more} more, see --json")
    screen.line()
    for line in moved_lines(profiled):
        screen.line(line)
    for path in profiled.files:
        screen.line(f"saved   {shown_path(path)}")
    if profiled.tool == "torch":
        screen.line("next    open it in https://ui.perfetto.dev or chrome://tracing")


def kernel_rows(profiled: Profiled, width: int) -> Iterator[tuple[str, ...]]:
    """Yield a header and a row for each kernel; names are cropped, figures are not."""
    from attnbench.render.screen import GAP, cropped, laid_out

    kernels = profiled.kernels[:_SHOWN]
    counted = profiled.dram_bytes is not None
    header: tuple[str, ...] = ("calls", "total", "share")
    if counted:
        header += ("DRAM", "mem %", "dram %", "L2 %", "SM %")
    figures = [header, *(_figures(profiled, one, counted=counted) for one in kernels)]
    taken = max(map(len, laid_out(figures))) + len(GAP)
    room = max(_NARROWEST, width - taken)
    for name, cells in zip(("kernel", *(one.name for one in kernels)), figures, strict=True):
        yield (cropped(name, room), *cells)


def moved_lines(profiled: Profiled) -> Iterator[str]:
    """Compare the counted bytes through device memory with the least that the problem needs."""
    from attnbench.cost import compute_cost
    from attnbench.units import bytes_text, significant

    moved, ratio = profiled.dram_bytes, profiled.moved_over_minimum
    if moved is None or ratio is None:
        return
    least = bytes_text(compute_cost(profiled.case.problem).min_bytes)
    yield f"DRAM    {bytes_text(moved)} moved, {significant(ratio)} x the minimum of {least}"


def short_command(command: Sequence[str]) -> str:
    """Write the command without the case, which is most of it; --show-command prints all."""
    *words, job = command
    del job
    return f"{shlex.join(words)} '{{…}}'"


def _figures(profiled: Profiled, kernel: Kernel, *, counted: bool) -> tuple[str, ...]:
    from attnbench.profile.profiled import READ_BYTES, WRITTEN_BYTES
    from attnbench.units import bytes_text, time_text

    cells = (str(kernel.calls), time_text(kernel.total_s), f"{100 * profiled.share(kernel):.1f}%")
    if not counted:
        return cells
    moved = kernel.counters[READ_BYTES] + kernel.counters[WRITTEN_BYTES]
    return (*cells, bytes_text(moved), *(f"{kernel.counters[one]:.1f}" for one in _COUNTERS))
