"""``attnbench ab``: interleave two versions and decide whether the new one is slower."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attnbench.cli import exit_codes, options
from attnbench.cli.gate import ruling_outputs, summary_path, write_outputs

if TYPE_CHECKING:
    from attnbench.analysis.gate import Ruling

_SIDE = "SIDE"


@click.command("ab")
@click.argument("suite")
@click.option("--base", metavar=_SIDE, help="Side to compare against; default: the suite as it is.")
@click.option("--new", metavar=_SIDE, help="Side to decide about; default: the suite as it is.")
@options.case_filter
@options.overrides
@options.device
@click.option(
    "--rounds",
    type=click.IntRange(2),
    metavar="N",
    help="Number of rounds for all cases (default 8).",
)
@click.option(
    "--confirm",
    type=click.IntRange(2),
    metavar="N",
    help="Number of fresh rounds for cases that may be slower.",
)
@click.option(
    "--budget", type=options.Duration(), metavar="10m", help="Time after which no round begins."
)
@click.option(
    "--max-slowdown",
    type=options.Share(),
    metavar="SHARE",
    help="Largest allowed slowdown, e.g. 3%; overrides the suite's.",
)
@click.option(
    "--inconclusive",
    type=options.OneOf("fail", "warn", "pass"),
    metavar="fail|warn|pass",
    help="Result when nothing can be decided; overrides the suite's (warn).",
)
@click.option("--name", metavar="NAME", help="Name of the files: results/NAME.base.parquet, ….")
@click.option(
    "--out", type=options.FILE, metavar="PATH", help="Path of the files, up to .base.parquet."
)
@options.seed
@click.option("--explain", is_flag=True, help="Print rounds, and a second interval by resampling.")
@ruling_outputs
@options.as_json
def command(
    *,
    suite: str,
    base: str | None,
    new: str | None,
    overrides: tuple[str, ...],
    name: str | None,
    out: Path | None,
    explain: bool,
    junit: Path | None,
    comment_file: Path | None,
    github_summary: bool,
    as_json: bool,
    **settings: Any,
) -> int:
    """Interleave two versions of SUITE in fresh processes; say whether the new one is slower.

    SIDE is a backend or its label (sdpa[kernel=math]), a path ending in .py, git:REF (the suite's
    file backends at a commit) or python:PATH (another environment).

    Exit codes: 0 pass, 1 fail, 3 inconclusive under --inconclusive fail, 130 interrupted.
    """
    from attnbench import __version__, api
    from attnbench.cli.ab_view import AbView
    from attnbench.render.screen import stderr_console

    if base is None and new is None:
        raise click.UsageError("name a side: --base git:main, or --base sdpa --new ./mine.py")
    if name is not None and out is not None:
        raise click.UsageError("--name and --out both set the path of the files; give only one")
    summary = summary_path() if github_summary else None
    with AbView(stderr_console(), f"attnbench {__version__}  ab {suite}") as view:
        ruling = api.ab(
            suite,
            base=base,
            new=new,
            overrides=overrides,
            name=name,
            out=out,
            run_args={"overrides": overrides},
            repro=shlex.join(_again(suite, base, new, overrides, settings["device"])),
            listener=view,
            **settings,
        )
    write_outputs(ruling, junit=junit, comment=comment_file, summary=summary)
    _show(ruling, as_json=as_json, explain=explain)
    assert ruling.ab is not None
    return exit_codes.INTERRUPTED if ruling.ab.interrupted else exit_codes.of_ruling(ruling)


def _show(ruling: Ruling, *, as_json: bool, explain: bool) -> None:
    if as_json:
        from attnbench.render.documents import json_text, ruling_document

        click.echo(json_text(ruling_document(ruling)))
        return
    from attnbench.render.ruling import show_ab
    from attnbench.render.screen import stdout_console

    base, new = (side.paths[0] for side in (ruling.compared.base, ruling.compared.new))
    document = base.with_name(base.name.removesuffix(".base.parquet") + ".ruling.json")
    show_ab(ruling, stdout_console(), (base, new, document), explain=explain)


def _again(
    suite: str, base: str | None, new: str | None, overrides: tuple[str, ...], device: str
) -> list[str]:
    """Return the command that measures the same again."""
    words = ["attnbench", "ab", suite]
    for flag, value in (("--base", base), ("--new", new)):
        words += [flag, value] if value is not None else []
    words += [part for value in overrides for part in ("--set", value)]
    return words if device == "auto" else [*words, "--device", device]
