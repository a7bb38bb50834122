"""``attnbench compare``: two runs, or what one run holds several of, case by case."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attnbench.cli import exit_codes, options, price
from attnbench.cli.share import Share

if TYPE_CHECKING:
    from attnbench.analysis.compare import RunComparison
    from attnbench.render.comparison import View


@click.command("compare")
@click.argument("base")
@click.argument("new", nargs=-1)
@click.option(
    "--by", "--cols", "by", metavar="gpu|backend|commit|COLUMN", help="Compare what runs hold."
)
@click.option("--against", metavar="VALUE", help="With --by: the value that is the base.")
@click.option("--rows", metavar="FIELD,…", help="A row for each value of these fields.")
@options.case_filter
@click.option(
    "--threshold",
    type=Share(),
    default="2%",
    show_default=True,
    metavar="SHARE",
    help="A change within it is none.",
)
@price.option
@click.option("--all", "everything", is_flag=True, help="Every row, unchanged ones too.")
@click.option("--explain", is_flag=True, help="How sure each verdict is, and what would settle it.")
@click.option("--html", type=options.FILE, metavar="FILE", help="Write a report of all runs, too.")
@options.as_json
def command(
    *,
    base: str,
    new: tuple[str, ...],
    by: str | None,
    against: str | None,
    rows: str | None,
    filter: str | None,
    threshold: float,
    prices: tuple[str, ...],
    everything: bool,
    explain: bool,
    html: Path | None,
    as_json: bool,
) -> int:
    """Compare NEW with BASE: latencies, the change with its 95 % interval, and a verdict.

    Each is a path or a name in results/, or a JSON file of pytest-benchmark. Several NEW have a
    column each. With --by, what the runs hold several of is compared: GPUs, backends, commits, or
    the values of any column.
    """
    from attnbench.analysis.compare import compare
    from attnbench.analysis.runs import find_run
    from attnbench.render.comparison import View

    paths = [find_run(name) for name in (base, *new)]
    fields = tuple(one.strip() for one in rows.split(",")) if rows else ()
    found = compare(
        paths[0],
        *paths[1:],
        by=by,
        against=against,
        filter=filter,
        threshold=threshold,
        fields=fields,
        prices=price.read(prices),
    )
    if as_json:
        from attnbench.render.documents import comparison_document

        facts = [comparison_document(one) for one in found]
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        view = View(threshold=threshold, everything=everything, explain=explain, rows=fields)
        _show(found, view)
    if html is not None:
        _write_report(
            paths,
            html,
            filter=filter,
            baseline=against if by == "backend" else None,
            by=by,
            against=against,
            threshold=threshold,
            prices=price.read(prices),
        )
    return exit_codes.DONE


def _show(found: Sequence[RunComparison], view: View) -> None:
    """Print one comparison, or several with one base as a matrix."""
    from attnbench.render.screen import stdout_console

    if len(found) > 1:
        from attnbench.render.comparison_matrix import show_matrix

        show_matrix(found, stdout_console(), view)
    else:
        from attnbench.render.comparison import show_comparison

        show_comparison(found[0], stdout_console(), view)


def _write_report(paths: Sequence[Path], out: Path, **settings: Any) -> None:
    from attnbench.render.values import shown_path
    from attnbench.report import report
    from attnbench.units import bytes_text

    written = report(paths, out, **settings)
    click.echo(f"wrote {shown_path(written.path)}: {bytes_text(written.bytes)}", err=True)
