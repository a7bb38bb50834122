"""``attnbench merge``: several result files as one."""

from __future__ import annotations

from pathlib import Path

import click

from attnbench.cli import exit_codes, options


@click.command("merge")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "-o", "--out", required=True, type=options.FILE, metavar="FILE", help="The new result file."
)
def command(runs: tuple[str, ...], out: Path) -> int:
    """Join result files, folders of them or patterns into one; a row that two hold is kept once."""
    from attnbench.store import merge_runs

    rows = merge_runs(runs, out)
    click.echo(f"wrote {out}: {rows:,} rows", err=True)
    return exit_codes.DONE
