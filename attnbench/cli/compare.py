"""``attnbench compare``: runs against a base, or what runs hold several of, case by case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attnbench.cli import exit_codes, options


@click.command("compare")
@click.argument("base")
@click.argument("new", nargs=-1)
@click.option(
    "--by",
    "--cols",
    "by",
    metavar="gpu|backend|commit|COLUMN",
    help="Compare the values of a column inside the runs.",
)
@click.option("--against", metavar="VALUE", help="Value that is the base (requires --by).")
@click.option("--rows", metavar="FIELD,…", help="Print a row for each value of these fields.")
@options.case_filter
@click.option(
    "--threshold",
    type=options.Share(),
    default="2%",
    show_default=True,
    metavar="SHARE",
    help="Share within which a change counts as none.",
)
@options.prices
@click.option("--all", "everything", is_flag=True, help="Print every row, unchanged ones too.")
@click.option("--explain", is_flag=True, help="Print how certain each verdict is.")
@click.option("--html", type=options.FILE, metavar="FILE", help="Write a report of all runs, too.")
@options.as_json
def command(
    *,
    base: str,
    new: tuple[str, ...],
    by: str | None,
    against: str | None,
    rows: str | None,
    prices: tuple[str, ...],
    everything: bool,
    explain: bool,
    html: Path | None,
    as_json: bool,
    **settings: Any,
) -> int:
    """Compare NEW with BASE: latencies, the change with its 95 % interval, and a verdict.

    Each is a path, a name in results/, or a JSON file of pytest-benchmark. Several NEW get a column
    each. With --by, the runs' GPUs, backends, commits or values of any column are compared.
    """
    from attnbench import api

    fields = tuple(one.strip() for one in rows.split(",")) if rows else ()
    settings |= {"by": by, "against": against, "prices": options.read_prices(prices)}
    found = api.compare(base, *new, fields=fields, **settings)
    if as_json:
        from attnbench.render.documents import comparison_document, json_text

        click.echo(json_text([comparison_document(one) for one in found]))
    else:
        from attnbench.render.comparison import View, show_comparison
        from attnbench.render.comparison_matrix import show_matrix
        from attnbench.render.screen import stdout_console

        view = View(
            threshold=settings["threshold"], everything=everything, explain=explain, rows=fields
        )
        if len(found) > 1:
            show_matrix(found, stdout_console(), view)
        else:
            show_comparison(found[0], stdout_console(), view)
    if html is not None:
        from attnbench.render.values import shown_path
        from attnbench.units import bytes_text

        baseline = against if by == "backend" else None
        written = api.report((base, *new), html, baseline=baseline, **settings)
        click.echo(f"wrote {shown_path(written.path)}: {bytes_text(written.bytes)}", err=True)
    return exit_codes.DONE
