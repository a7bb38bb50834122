"""``attnbench gate`` and ``baseline``: fail a build on a slowdown, and accept one on purpose."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attnbench.cli import exit_codes, options

if TYPE_CHECKING:
    from attnbench.analysis.gate import Ruling

_SHOWN = 10


def ruling_outputs(command: options.Command) -> options.Command:
    """Add the flags that write a ruling to files: --junit, --comment-file, --github-summary."""
    for option in (
        click.option(
            "--github-summary", is_flag=True, help="Append the ruling to $GITHUB_STEP_SUMMARY."
        ),
        click.option(
            "--comment-file",
            type=options.FILE,
            metavar="FILE",
            help="Write the ruling as Markdown for a PR comment.",
        ),
        click.option(
            "--junit", type=options.FILE, metavar="FILE", help="Write the ruling as JUnit XML."
        ),
    ):
        command = option(command)
    return command


@click.command("gate")
@click.argument("run", required=False)
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    required=True,
    metavar="FILE|FOLDER",
    help="Accepted run to compare with, or a folder of them; may be repeated.",
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
@options.case_filter
@click.option("--any-chip", is_flag=True, help="Allow baselines of another chip of the same kind.")
@click.option("--selftest", is_flag=True, help="Plant slowdowns and prove that they are found.")
@click.option("--json-to", type=options.FILE, metavar="FILE", help="Write the ruling as JSON.")
@ruling_outputs
@options.as_json
def command(
    *,
    run: str | None,
    baselines: tuple[str, ...],
    selftest: bool,
    json_to: Path | None,
    junit: Path | None,
    comment_file: Path | None,
    github_summary: bool,
    as_json: bool,
    **settings: Any,
) -> int:
    """Decide whether RUN (a path, a name in results/, or the newest) passes, fails, or neither.

    A gate fails on slowdowns beyond the limit and on cases that no longer work.

    Exit codes: 0 pass, 1 fail, 3 inconclusive under --inconclusive fail, 4 not comparable.
    """
    from attnbench import api
    from attnbench.render.documents import json_text, proof_document, ruling_document
    from attnbench.render.ruling import show_gate, show_proof
    from attnbench.render.screen import stdout_console

    summary = summary_path() if github_summary else None
    if selftest:
        proof = api.prove_gate(run, baselines, **settings)
        if as_json:
            click.echo(json_text(proof_document(proof)))
        else:
            show_proof(proof, stdout_console())
        return exit_codes.DONE if proof.holds else exit_codes.BAD_CASE
    ruling = api.gate(run, baselines, **settings)
    write_outputs(ruling, json_to=json_to, junit=junit, comment=comment_file, summary=summary)
    if as_json:
        click.echo(json_text(ruling_document(ruling)))
    else:
        show_gate(ruling, stdout_console())
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from attnbench.render.ruling_markup import workflow_commands

        for line in workflow_commands(ruling):
            click.echo(line, err=True)  # GitHub reads stderr too, and stdout is for data
    return exit_codes.of_ruling(ruling)


@click.group("baseline", context_settings={"help_option_names": ["-h", "--help"]})
def baseline_command() -> None:
    """Maintain the stored baselines of a gate."""


@baseline_command.command("accept")
@click.argument("run")
@click.option(
    "-k",
    "--filter",
    "filter",
    required=True,
    metavar="FILTER",
    help="Cases to accept, e.g. 'decode backend=sdpa'.",
)
@click.option("--reason", required=True, metavar="TEXT", help="Reason why they are accepted.")
def accept_command(run: str, filter: str, reason: str) -> int:
    """Accept cases of RUN as they are: their baseline starts anew with it.

    The acceptance is written into the file of RUN; give that file to the gate as a baseline.
    """
    from attnbench import api
    from attnbench.api.analysing import found
    from attnbench.render.values import more_line, shown_path
    from attnbench.units import counted

    path = shown_path(found(run))
    labels = api.accept(run, filter, reason)
    click.echo(f"accepted {counted(len(labels), 'case')} in {path}: {reason}")
    for line in (*labels[:_SHOWN], *more_line(len(labels), _SHOWN)):
        click.echo(f"  {line}")
    click.echo(f"give it to the gate: attnbench gate RUN --baseline {path}", err=True)
    return exit_codes.DONE


def write_outputs(
    ruling: Ruling,
    *,
    json_to: Path | None = None,
    junit: Path | None = None,
    comment: Path | None = None,
    summary: Path | None = None,
) -> None:
    """Write the files that were asked for besides the screen.

    Raises:
        OutputError: A file cannot be written.

    """
    from attnbench.render.documents import json_text, ruling_document
    from attnbench.render.ruling_markup import SUMMARY_BYTES, junit_text, markdown
    from attnbench.store.atomic import write_text

    if json_to is not None:
        write_text(json_to, f"{json_text(ruling_document(ruling))}\n")
    if junit is not None:
        write_text(junit, junit_text(ruling))
    if comment is not None:
        write_text(comment, markdown(ruling))
    if summary is not None:
        before = summary.read_text(encoding="utf-8") if summary.exists() else ""
        room = SUMMARY_BYTES - len(before.encode())
        write_text(summary, before + markdown(ruling, most_bytes=max(room, 4_000)))


def summary_path() -> Path:
    """Return where GitHub wants a job's summary.

    Raises:
        InputError: This is not a step of a GitHub workflow.

    """
    from attnbench.errors import InputError

    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        raise InputError(
            "GITHUB_STEP_SUMMARY is not set, so there is no job summary to write to",
            hint="this flag is for a step of a GitHub workflow; elsewhere: --comment-file FILE",
        )
    return Path(name)
