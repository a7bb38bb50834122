"""``attnbench inspect``: what a backend's Triton kernels compile to, without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnbench.cli import exit_codes, options

if TYPE_CHECKING:
    from attnbench.profile.inspect import Inspected

_HEAD = (
    *("arch", "problem", "kernel", "tile", "warps", "regs", "spills", "shared", "fits"),
    *("tensor", "16 B", "other"),
)
_RIGHT = "    rrrrrrrr"


@click.command("inspect")
@click.argument("backend")
@click.option(
    "--arch",
    default="sm_80,sm_90,sm_100",
    show_default=True,
    metavar="SM,…",
    help="Architectures to compile for; needs no GPU.",
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Exit 1 if a kernel is worse than in FILE, an earlier --json output.",
)
@options.as_json
def command(backend: str, arch: str, baseline: Path | None, as_json: bool) -> int:
    """Compile a backend's Triton kernels without a GPU: registers, spills, memory, occupancy.

    A kernel that spills, or fits fewer programs on an SM, is likely slower; only a run on a
    GPU measures how fast it is.
    """
    from attnbench import api
    from attnbench.profile import inspect as inspecting
    from attnbench.render.screen import stderr_console, stdout_console
    from attnbench.units import counted

    known = None if baseline is None else inspecting.read_baseline(baseline)
    archs = tuple(one.strip() for one in arch.split(",") if one.strip())
    rows = api.inspect(backend, archs)
    if as_json:
        click.echo(inspecting.to_json(rows), nl=False)
    else:
        stdout_console().table([_HEAD, *map(_cells, rows)], right=_RIGHT)
    if known is None:
        bad = [one for one in rows if one.fault is not None]
        return exit_codes.BAD_CASE if bad else exit_codes.DONE
    faults = inspecting.faults_against(known, rows)
    for fault in faults:
        stderr_console().line(f"worse: {fault}")
    for key in inspecting.missing_from(rows, known):
        stderr_console().line(f"gone: {key}")
    total = f"{counted(len(rows), 'kernel')}, {counted(len(faults), 'fault')}"
    stderr_console().line(f"{total} against {baseline}")
    return exit_codes.BAD_CASE if faults else exit_codes.DONE


def _cells(row: Inspected) -> tuple[str, ...]:
    """One row of the table; a kernel that does not compile says so under its tile."""
    tile = "x".join(str(row.tile[one]) for one in ("BLOCK_M", "BLOCK_N") if one in row.tile)
    name = (row.arch, row.problem, row.kernel)
    if row.resources is None:
        return (*name, f"does not compile: {row.fault}", *[""] * 8)
    found = row.resources
    shared = found.static_shared_bytes + found.dynamic_shared_bytes
    numbers = (
        *(found.warps, found.registers, found.spill_instructions, shared, found.resident),
        *(found.tensor_core_instructions, found.wide_loads, found.narrow_loads),
    )
    return (*name, tile, *map(str, numbers))
