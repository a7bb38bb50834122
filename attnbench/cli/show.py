"""``attnbench show``: one run's table, or one case in full."""

from __future__ import annotations

import click

from attnbench.cli import exit_codes, options


@click.command("show")
@click.argument("run", required=False)
@click.argument("words", nargs=-1, metavar="[FILTER]")
@options.case_filter
@click.option(
    "--timing",
    is_flag=True,
    help="Print the times of prepare, first call and check; self-test and canaries.",
)
@click.option("--kernels", is_flag=True, help="Print the kernels that each backend ran.")
@options.as_json
def command(
    run: str | None,
    words: tuple[str, ...],
    filter: str | None,
    timing: bool,
    kernels: bool,
    as_json: bool,
) -> int:
    """Show RUN (a path, a name in results/, or the newest) as a table of problems by backends.

    If FILTER leaves one case, its samples, notes and environment are shown.
    """
    from attnbench.analysis.cases import cases_of, filtered, in_order
    from attnbench.analysis.machine import machine_states
    from attnbench.api.analysing import found
    from attnbench.render.screen import stdout_console
    from attnbench.store import load, read

    path = found(run)
    text = " ".join(one for one in (*words, filter) if one)
    cases = in_order(cases_of(filtered(load(path), text or None)))
    if as_json:
        from attnbench.render.documents import json_text, measured_case

        documents = [measured_case(one) for one in cases]
        if not timing:
            click.echo(json_text(documents, allow_nan=True))
            return exit_codes.DONE
        machine = [one.to_dict() for one in machine_states(read(path).metadata)]
        click.echo(json_text({"machine": machine, "cases": documents}, allow_nan=True))
    elif len(cases) == 1 and text:
        from attnbench.render.case_detail import show_case

        show_case(cases[0], stdout_console())
    elif kernels:
        from attnbench.render.run_table import kernel_rows

        stdout_console().table(list(kernel_rows(cases)), right=" r")
    else:
        from attnbench.render.run_table import show_run

        show_run(path, cases, stdout_console(), timing=timing)
    return exit_codes.DONE
