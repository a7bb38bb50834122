"""``attnbench gate``: rule on a run against stored baselines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnbench.cli import exit_codes, options
from attnbench.cli.share import Share

if TYPE_CHECKING:
    from attnbench.analysis.gate import Ruling
    from attnbench.analysis.selftest import Proof


@click.command("gate")
@click.argument("run", required=False)
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    required=True,
    metavar="FILE|FOLDER",
    help="An accepted run, or a folder of them; may be given several times.",
)
@click.option("--max-slowdown", type=Share(), metavar="SHARE", help="Instead of the suite's: 3%.")
@click.option(
    "--inconclusive",
    type=options.OneOf("fail", "warn", "pass"),
    metavar="fail|warn|pass",
    help="What an undecided gate does; instead of the suite's (warn).",
)
@options.case_filter
@click.option("--any-chip", is_flag=True, help="Let another chip of the same kind be the baseline.")
@click.option("--selftest", is_flag=True, help="Plant a slowdown and prove that it is found.")
@click.option("--json-to", type=options.FILE, metavar="FILE", help="Write the ruling as JSON.")
@click.option("--junit", type=options.FILE, metavar="FILE", help="Write it as JUnit XML.")
@click.option("--comment-file", type=options.FILE, metavar="FILE", help="Write a PR comment.")
@click.option("--github-summary", is_flag=True, help="Append to the job's $GITHUB_STEP_SUMMARY.")
@options.as_json
def command(
    *,
    run: str | None,
    baselines: tuple[str, ...],
    max_slowdown: float | None,
    inconclusive: str | None,
    filter: str | None,
    any_chip: bool,
    selftest: bool,
    json_to: Path | None,
    junit: Path | None,
    comment_file: Path | None,
    github_summary: bool,
    as_json: bool,
) -> int:
    """Rule on RUN (a path, a name in results/, or the newest): pass, fail or inconclusive.

    Exit codes: 0 pass, 1 fail, 3 inconclusive under --inconclusive fail, 4 not comparable.
    """
    from attnbench.analysis.gate import load_baselines, load_run, rule_on
    from attnbench.analysis.rule import rule_for
    from attnbench.analysis.runs import find_run

    summary = summary_path() if github_summary else None
    new = load_run(find_run(run), filter)
    base = load_baselines(_files(baselines, new.paths[0]), filter)
    rule, source = rule_for(new, max_slowdown=max_slowdown, inconclusive=inconclusive)
    if selftest:
        from attnbench.analysis.selftest import prove

        proof = prove(base, new, rule, source, any_chip=any_chip)
        _show_proof(proof, as_json=as_json)
        return exit_codes.DONE if proof.holds else exit_codes.BAD_CASE
    ruling = rule_on(base, new, rule, source, any_chip=any_chip)
    write_outputs(ruling, json_to=json_to, junit=junit, comment=comment_file, summary=summary)
    _show(ruling, as_json=as_json)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        _annotate(ruling)
    return exit_code(ruling)


def exit_code(ruling: Ruling) -> int:
    """Tell the exit code of a ruling."""
    if ruling.outcome == "fail":
        return exit_codes.BAD_CASE
    is_open = ruling.outcome == "inconclusive" and ruling.rule.inconclusive == "fail"
    return exit_codes.INCONCLUSIVE if is_open else exit_codes.DONE


def _files(names: tuple[str, ...], run: Path) -> list[Path]:
    """Every baseline file, without the run itself where it lies in a folder of them."""
    from attnbench.analysis.runs import find_run
    from attnbench.errors import InputError
    from attnbench.store import result_files

    places = [Path(name) if Path(name).is_dir() else find_run(name) for name in names]
    files = [path for path in result_files(places) if path.resolve() != run.resolve()]
    if not files:
        raise InputError(f"{run} is its own only baseline", hint="name an earlier accepted run")
    return files


def _show(ruling: Ruling, *, as_json: bool) -> None:
    if as_json:
        from attnbench.render.documents import json_text, ruling_document

        click.echo(json_text(ruling_document(ruling)))
        return
    from attnbench.render.ruling import show_gate
    from attnbench.render.screen import stdout_console

    show_gate(ruling, stdout_console())


def _annotate(ruling: Ruling) -> None:
    """Tell GitHub; it reads stderr too, and stdout is for data."""
    from attnbench.render.ruling_markup import workflow_commands

    for line in workflow_commands(ruling):
        click.echo(line, err=True)


def _show_proof(proof: Proof, *, as_json: bool) -> None:
    if as_json:
        from attnbench.render.documents import json_text, proof_document

        click.echo(json_text(proof_document(proof)))
    else:
        from attnbench.render.ruling import show_proof
        from attnbench.render.screen import stdout_console

        show_proof(proof, stdout_console())


def write_outputs(
    ruling: Ruling,
    *,
    json_to: Path | None,
    junit: Path | None,
    comment: Path | None,
    summary: Path | None,
) -> None:
    """Write what was asked for beside the screen."""
    from attnbench.render.documents import json_text, ruling_document
    from attnbench.render.ruling_markup import SUMMARY_BYTES, junit_text, markdown
    from attnbench.store.atomic import write_text

    if json_to is not None:
        facts = json_text(ruling_document(ruling))
        write_text(json_to, f"{facts}\n")
    if junit is not None:
        write_text(junit, junit_text(ruling))
    if comment is not None:
        write_text(comment, markdown(ruling))
    if summary is not None:
        before = summary.read_text(encoding="utf-8") if summary.exists() else ""
        room = SUMMARY_BYTES - len(before.encode())
        write_text(summary, before + markdown(ruling, most_bytes=max(room, 4_000)))


def summary_path() -> Path:
    """Where GitHub wants a job's summary; asked before anything is read."""
    from attnbench.errors import InputError

    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        raise InputError(
            "GITHUB_STEP_SUMMARY is not set, so there is no job summary to write to",
            hint="this flag is for a step of a GitHub workflow; elsewhere: --comment-file FILE",
        )
    return Path(name)
