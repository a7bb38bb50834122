"""``attnbench report``: runs as one offline HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from attnbench.cli import exit_codes, options, price

_SLOTS = 10


@click.command("report")
@click.argument("runs", nargs=-1, metavar="[RUN…]")
@click.option(
    "-o", "--out", type=options.FILE, metavar="FILE", help="Default: reports/, named as the run."
)
@options.case_filter
@click.option("--title", metavar="TEXT", help="Instead of suite and device.")
@click.option("--baseline", metavar="LABEL", help="The backend that speed-ups are against.")
@click.option(
    "--colour",
    "colours",
    multiple=True,
    metavar="LABEL=1…10",
    help="Give a backend this place in the palette; may be given several times.",
)
@click.option("--figure", metavar="NAME", help="One figure alone, as SVG: crossover, latency, …")
@click.option("--dark", is_flag=True, help="With --figure: in the dark colours.")
@click.option("--by", metavar="gpu|backend|commit|COLUMN", help="Compare what the runs hold.")
@click.option("--against", metavar="VALUE", help="With --by: the value that is the base.")
@price.option
def command(
    *,
    runs: tuple[str, ...],
    out: Path | None,
    filter: str | None,
    title: str | None,
    baseline: str | None,
    colours: tuple[str, ...],
    by: str | None,
    against: str | None,
    prices: tuple[str, ...],
    figure: str | None,
    dark: bool,
) -> int:
    """Write a report about RUN (paths, names in results/, or the newest) as one HTML file.

    It opens offline: who wins where, how close to the hardware, whether to trust it, every case. Of
    several runs the first is compared with each other one.
    """
    from attnbench.analysis.runs import find_run
    from attnbench.render.values import shown_path
    from attnbench.report import picture, report
    from attnbench.units import bytes_text

    if dark and figure is None:
        raise click.UsageError("--dark goes with --figure; a whole report has both modes")
    paths = [find_run(name) for name in runs or (None,)]
    if figure is not None:
        place = picture(
            paths,
            out or Path("reports") / f"{paths[0].stem}-{figure}.svg",
            figure=figure,
            mode="dark" if dark else "light",
            filter=filter,
            baseline=baseline,
            colours=dict(map(_colour, colours)),
            prices=price.read(prices),
        )
        click.echo(f"wrote {shown_path(place)}", err=True)
        return exit_codes.DONE
    written = report(
        paths,
        out or Path("reports") / f"{paths[0].stem}.html",
        filter=filter,
        title=title,
        baseline=baseline,
        colours=dict(map(_colour, colours)),
        by=by,
        against=against,
        prices=price.read(prices),
    )
    for line in (written.verdict, *written.compared):
        click.echo(line)
    for line in written.refused:
        click.echo(f"note: {line}", err=True)
    size, cases = bytes_text(written.bytes), f"{written.cases:,} cases"
    click.echo(f"wrote {shown_path(written.path)}: {cases}, {size}, opens offline", err=True)
    if written.is_heavy:
        click.echo("it is heavy: -k FILTER reports on fewer cases", err=True)
    return exit_codes.DONE


def _colour(text: str) -> tuple[str, int]:
    # A label may hold an equals sign of its own: sdpa[kernel=flash]=3.
    label, _, slot = text.rpartition("=")
    if not label or not slot.isdigit() or not 1 <= int(slot) <= _SLOTS:
        raise click.BadParameter(f"--colour is LABEL=1 to LABEL={_SLOTS}; got {text!r}")
    return label, int(slot)
