"""``attnbench repair``: the result file again, from its journal."""

from __future__ import annotations

import click

from attnbench.cli import exit_codes


@click.command("repair")
@click.argument("run")
def command(run: str) -> int:
    """Rebuild the result file of RUN, given as the file, its journal, or a name in results/."""
    from attnbench.analysis.runs import find_run
    from attnbench.store import repair_run

    repaired = repair_run(find_run(run))
    did = "rebuilt" if repaired.rebuilt else "nothing to repair"
    click.echo(f"{did}: {repaired.path}, {repaired.rows:,} rows", err=True)
    return exit_codes.DONE
