"""``attnbench baseline``: accept a change on purpose, with a reason."""

from __future__ import annotations

import click

from attnbench.cli import exit_codes

_SHOWN = 10


@click.group("baseline", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Keep the stored baselines of a gate."""


@command.command("accept")
@click.argument("run")
@click.option(
    "-k",
    "--filter",
    "only",
    required=True,
    metavar="FILTER",
    help="Cases to accept, e.g. 'decode backend=sdpa'.",
)
@click.option("--reason", required=True, metavar="TEXT", help="Why they may be as they are.")
def accept_command(run: str, only: str, reason: str) -> int:
    """Accept cases of RUN as they are: their baseline starts anew with it.

    It is written into the file of RUN itself; give it to the gate among its baselines.
    """
    from attnbench.analysis.accept import accept
    from attnbench.analysis.runs import find_run
    from attnbench.render.values import counted, shown_path

    path = find_run(run)
    labels = accept(path, only, reason)
    click.echo(f"accepted {counted(len(labels), 'case')} in {shown_path(path)}: {reason}")
    for label in labels[:_SHOWN]:
        click.echo(f"  {label}")
    if len(labels) > _SHOWN:
        click.echo(f"  and {len(labels) - _SHOWN:,} more")
    click.echo(f"give it to the gate: attnbench gate RUN --baseline {shown_path(path)}", err=True)
    return exit_codes.DONE
