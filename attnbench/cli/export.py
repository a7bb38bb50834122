"""``attnbench export``: a run in the format of another tool."""

from __future__ import annotations

from pathlib import Path

import click

from attnbench.cli import exit_codes, options


@click.command("export")
@click.argument("run", required=False)
@click.option(
    "--as",
    "form",
    default="csv",
    show_default=True,
    metavar="FORMAT",
    help="csv, markdown, pytest-benchmark, github-action-benchmark or bencher.",
)
@options.case_filter
@click.option(
    "-o", "--out", type=options.FILE, metavar="FILE", help="Write here instead of to stdout."
)
def command(run: str | None, form: str, filter: str | None, out: Path | None) -> int:
    """Write the rows of RUN (a path, a name in results/, or the newest) in another format.

    csv keeps every row and markdown every case. The other formats know numbers alone: they take
    the ok cases, and stderr says what was left out.
    """
    from attnbench.analysis.cases import filtered
    from attnbench.analysis.export import export
    from attnbench.analysis.runs import find_run
    from attnbench.store import load

    frame = filtered(load(find_run(run)), filter)
    found = export(frame, form)
    if out is None:
        click.echo(found.text, nl=not found.text.endswith("\n"))
    else:
        from attnbench.store.atomic import write_text

        write_text(out, found.text)
        click.echo(f"wrote {out} from {len(frame):,} rows", err=True)
    if found.left_out:
        click.echo(f"left out, having no latency: {found.left_out}", err=True)
    return exit_codes.DONE
