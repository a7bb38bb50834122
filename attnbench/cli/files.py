"""``attnbench export``, ``merge`` and ``repair``: result files in, files out."""

from __future__ import annotations

from pathlib import Path

import click

from attnbench.cli import exit_codes, options
from attnbench.units import counted


@click.command("export")
@click.argument("run", required=False)
@click.option(
    "--as",
    "form",
    default="csv",
    show_default=True,
    metavar="FORMAT",
    help="Format: csv, markdown, pytest-benchmark, github-action-benchmark or bencher.",
)
@options.case_filter
@click.option(
    "-o", "--out", type=options.FILE, metavar="FILE", help="Write to FILE instead of stdout."
)
def export_command(run: str | None, form: str, filter: str | None, out: Path | None) -> int:
    """Write the rows of RUN (a path, a name in results/, or the newest) in another format.

    csv has every row, markdown every case. The other formats hold only numbers: they take the ok
    cases, and stderr says what was left out.
    """
    from attnbench import api

    exported = api.export(run, form, filter=filter)
    if out is None:
        click.echo(exported.text, nl=not exported.text.endswith("\n"))
    else:
        options.write_out(out, exported.text)
    if exported.left_out:
        click.echo(f"left out, because they have no latency: {exported.left_out}", err=True)
    return exit_codes.DONE


@click.command("merge")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "-o", "--out", required=True, type=options.FILE, metavar="FILE", help="New result file."
)
def merge_command(runs: tuple[str, ...], out: Path) -> int:
    """Join result files, folders of them or patterns; a row in two of them is kept once."""
    from attnbench import api

    rows = api.merge(runs, out)
    click.echo(f"wrote {out}: {counted(rows, 'row')}", err=True)
    return exit_codes.DONE


@click.command("repair")
@click.argument("run")
def repair_command(run: str) -> int:
    """Rebuild the result file of RUN, given as the file, its journal, or a name in results/."""
    from attnbench import api

    repaired = api.repair(run)
    did = "rebuilt" if repaired.rebuilt else "nothing to repair"
    click.echo(f"{did}: {repaired.path}, {counted(repaired.rows, 'row')}", err=True)
    return exit_codes.DONE
