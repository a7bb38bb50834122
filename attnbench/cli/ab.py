"""``attnbench ab``: measure two sides by turns and rule on the new one."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attnbench.cli import exit_codes, options
from attnbench.cli.gate import exit_code, summary_path, write_outputs
from attnbench.cli.share import Share

if TYPE_CHECKING:
    from attnbench.analysis.gate import Ruling

_SIDE = "SIDE"


@click.command("ab")
@click.argument("suite")
@click.option("--base", metavar=_SIDE, help="What is compared against.")
@click.option("--new", metavar=_SIDE, help="What is ruled on. Without it: the suite as it is.")
@options.case_filter
@options.overrides
@options.device
@click.option(
    "--rounds", type=click.IntRange(2), metavar="N", help="Rounds that all cases get (8)."
)
@click.option(
    "--confirm", type=click.IntRange(2), metavar="N", help="Fresh rounds that suspects get."
)
@click.option("--budget", type=options.Duration(), metavar="10m", help="Stop after this long.")
@click.option("--max-slowdown", type=Share(), metavar="SHARE", help="Instead of the suite's: 3%.")
@click.option(
    "--inconclusive",
    type=options.OneOf("fail", "warn", "pass"),
    metavar="fail|warn|pass",
    help="What an undecided ruling does; instead of the suite's (warn).",
)
@click.option("--name", metavar="NAME", help="The files are results/NAME.base.parquet and so on.")
@click.option("--out", type=options.FILE, metavar="PATH", help="The same with a folder: PATH.base…")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order of the cases.")
@click.option("--explain", is_flag=True, help="Rounds, and a second opinion by resampling.")
@click.option("--junit", type=options.FILE, metavar="FILE", help="Write the ruling as JUnit XML.")
@click.option("--comment-file", type=options.FILE, metavar="FILE", help="Write a PR comment.")
@click.option("--github-summary", is_flag=True, help="Append to the job's $GITHUB_STEP_SUMMARY.")
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
    """Measure two sides of SUITE by turns in fresh processes, and say whether the new is slower.

    SIDE is a backend or its label (sdpa[kernel=math]), a path ending in .py, git:REF (the suite's
    file backends as they were in a commit) or python:PATH (another environment). Left out, it is
    the suite as it is.

    Exit codes: 0 pass, 1 fail, 3 inconclusive under --inconclusive fail, 130 interrupted.
    """
    from attnbench import __version__, api
    from attnbench.cli.ab_view import AbView
    from attnbench.render.screen import stderr_console

    if base is None and new is None:
        raise click.UsageError("name a side: --base git:main, or --base sdpa --new ./mine.py")
    if name is not None and out is not None:
        raise click.UsageError("--name and --out both say where the files go: give one")
    summary = summary_path() if github_summary else None
    again = _again(suite, base, new, overrides, settings["device"])
    with AbView(stderr_console(), f"attnbench {__version__}  ab {suite}") as view:
        ruling = api.ab(
            suite,
            base=base,
            new=new,
            overrides=overrides,
            name=name,
            out=out,
            run_args={"overrides": overrides},
            repro=shlex.join(again),
            listener=view,
            **settings,
        )
    write_outputs(ruling, json_to=None, junit=junit, comment=comment_file, summary=summary)
    _show(ruling, as_json=as_json, explain=explain)
    assert ruling.ab is not None
    return exit_codes.INTERRUPTED if ruling.ab.interrupted else exit_code(ruling)


def _show(ruling: Ruling, *, as_json: bool, explain: bool) -> None:
    if as_json:
        from attnbench.render.documents import json_text, ruling_document

        click.echo(json_text(ruling_document(ruling)))
        return
    from attnbench.render.ruling import show_ab
    from attnbench.render.screen import stdout_console

    base, new = (side.paths[0] for side in (ruling.compared.base, ruling.compared.new))
    beside = base.with_name(base.name.removesuffix(".base.parquet") + ".ruling.json")
    show_ab(ruling, stdout_console(), (base, new, beside), explain=explain)


def _again(
    suite: str, base: str | None, new: str | None, overrides: tuple[str, ...], device: str
) -> list[str]:
    """What must be typed to measure the same again."""
    words = ["attnbench", "ab", suite]
    for flag, value in (("--base", base), ("--new", new)):
        words += [flag, value] if value is not None else []
    words += [part for value in overrides for part in ("--set", value)]
    return words if device == "auto" else [*words, "--device", device]
