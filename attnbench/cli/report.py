"""``attnbench report``: runs as one offline HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attnbench.cli import exit_codes, options
from attnbench.units import counted

_SLOTS = 10


@click.command("report")
@click.argument("runs", nargs=-1, metavar="[RUN…]")
@click.option(
    "-o",
    "--out",
    type=options.FILE,
    metavar="FILE",
    help="File to write; default: reports/, named after the run.",
)
@options.case_filter
@click.option("--title", metavar="TEXT", help="Title; default: suite and device.")
@click.option("--baseline", metavar="LABEL", help="Backend that speed-ups are relative to.")
@click.option(
    "--colour",
    "colours",
    multiple=True,
    metavar="LABEL=1…10",
    help="Give a backend this place in the palette; may be repeated.",
)
@click.option(
    "--figure", metavar="NAME", help="Write only this figure, as SVG: crossover, latency, …"
)
@click.option("--dark", is_flag=True, help="Use dark colours (requires --figure).")
@click.option(
    "--by",
    metavar="gpu|backend|commit|COLUMN",
    help="Compare the values of a column inside the runs.",
)
@click.option("--against", metavar="VALUE", help="Value that is the base (requires --by).")
@options.prices
def command(
    *,
    runs: tuple[str, ...],
    out: Path | None,
    title: str | None,
    by: str | None,
    against: str | None,
    colours: tuple[str, ...],
    prices: tuple[str, ...],
    figure: str | None,
    dark: bool,
    **settings: Any,
) -> int:
    """Write a report about RUN (paths, names in results/, or the newest) as one HTML file.

    It opens offline: which backend wins where, how close to the hardware limits, how trustworthy,
    every case. With several runs, the first is compared with each other one.
    """
    from attnbench import api
    from attnbench.render.values import shown_path
    from attnbench.units import bytes_text

    if dark and figure is None:
        raise click.UsageError("--dark requires --figure; a whole report has both modes")
    settings |= {
        "colours": dict(map(_colour, colours)),
        "prices": options.read_prices(prices),
    }
    if figure is not None:
        mode = "dark" if dark else "light"
        place = api.report_figure(figure, runs, out, mode=mode, **settings)
        click.echo(f"wrote {shown_path(place)}", err=True)
        return exit_codes.DONE
    written = api.report(runs, out, title=title, by=by, against=against, **settings)
    for line in (written.verdict, *written.compared):
        click.echo(line)
    for line in written.refused:
        click.echo(f"note: {line}", err=True)
    size, cases = bytes_text(written.bytes), counted(written.cases, "case")
    click.echo(f"wrote {shown_path(written.path)}: {cases}, {size}, opens offline", err=True)
    if written.is_heavy:
        click.echo("the file is large; use -k FILTER for fewer cases", err=True)
    return exit_codes.DONE


def _colour(text: str) -> tuple[str, int]:
    # A label may hold an equals sign of its own: sdpa[kernel=flash]=3.
    label, _, slot = text.rpartition("=")
    if not label or not slot.isdigit() or not 1 <= int(slot) <= _SLOTS:
        raise click.BadParameter(f"--colour must be LABEL=1 to LABEL={_SLOTS}; got {text!r}")
    return label, int(slot)
