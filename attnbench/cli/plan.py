"""``attnbench plan``: what a run would do."""

from __future__ import annotations

from typing import Any

import click

from attnbench.cli import exit_codes, options


@click.command("plan")
@click.argument("suite", default="quick")
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda:N|h200|…|RUN",
    help="Device to plan for: this machine's, one of `attnbench list devices`, or a run's.",
)
@options.backends
@options.overrides
@options.case_filter
@click.option("--all", "every", is_flag=True, help="Print a line for every case.")
@options.as_json
def command(suite: str, every: bool, as_json: bool, **settings: Any) -> int:
    """Say for every case of SUITE whether it will run, why not, and its memory and time.

    Needs neither torch nor a GPU.
    """
    from attnbench import api

    device = settings.pop("device")
    loaded = api.load_suite(suite, **settings)
    plan = api.plan(loaded, device=device)
    if as_json:
        from attnbench.render.documents import json_text, plan_document

        click.echo(json_text(plan_document(plan), allow_nan=True))
    else:
        from attnbench.render.plan import show_plan
        from attnbench.render.screen import stdout_console

        show_plan(plan, loaded, stdout_console(), every=every)
    return exit_codes.DONE if plan.planned else exit_codes.NOTHING
