"""``attnbench run``: measure suites."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attnbench.cli import exit_codes, options

if TYPE_CHECKING:
    from attnbench.execute.events import RunFinished


@click.command("run")
@click.argument("suites", nargs=-1, metavar="[SUITE]...")
@options.suite_choice
@click.option("--out", type=options.FILE, metavar="FILE", help="The result file; must be new.")
@click.option("--name", metavar="NAME", help="The run's name; its file is results/NAME.parquet.")
@click.option("--processes", type=click.IntRange(1), metavar="N", help="Fresh processes a case.")
@click.option("--budget", type=options.Duration(), metavar="10m", help="Stop after this long.")
@click.option("--resume", is_flag=True, help="Go on with the run that was cut off.")
@click.option(
    "--redo",
    type=options.OneOf("none", "failed", "all"),
    metavar="failed|all",
    default="none",
    help="With --resume: measure again what is not ok, or everything.",
)
@click.option(
    "--no-oom-skip", is_flag=True, help="Try cases larger than one that ran out of memory."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order of the cases.")
@options.as_json
def command(
    suites: tuple[str, ...],
    backends: tuple[str, ...],
    overrides: tuple[str, ...],
    out: Path | None,
    name: str | None,
    as_json: bool,
    no_oom_skip: bool,
    **settings: Any,
) -> int:
    """Measure SUITE, a path or a shipped name; without one, the quick suite.

    What is measured lands in results/, one file a run, and is safe as soon as its row is printed.
    """
    from attnbench import __version__, api
    from attnbench.cli.run_stats import SuiteTitle
    from attnbench.cli.run_view import view_of

    words = suites or (api.QUICK,)
    if len(words) > 1 and (out is not None or name is not None):
        raise click.UsageError("--out and --name name one run: give one suite with them")
    if settings["redo"] != "none" and not settings["resume"]:
        raise click.UsageError("--redo goes with --resume")
    loaded = [api.load_suite(word, backends=backends, overrides=overrides) for word in words]
    codes = []
    for word, suite in zip(words, loaded, strict=True):
        again = _again(word, settings["device"], backends, overrides)
        words_here = [*again, *_narrowed(settings)]
        shown = SuiteTitle(
            name=suite.name,
            about=suite.about,
            repro=shlex.join(words_here),
            version=__version__,
            derived=suite.derived,
        )
        typed = {"suite": word, "backends": backends, "overrides": overrides}
        with view_of(shown, as_json=as_json) as view:
            finished = api.run(
                suite,
                out=out,
                name=name,
                oom_skip=not no_oom_skip,
                run_args=typed,
                repro=shlex.join(["attnbench", "run", *again]),
                listener=view,
                **settings,
            )
        codes.append(_exit_code(finished))
        if finished.interrupted:
            break
    return exit_codes.highest(codes)


def _exit_code(finished: RunFinished) -> int:
    code = exit_codes.of_counts(finished.counts, interrupted=finished.interrupted)
    if code == exit_codes.ENVIRONMENT:
        click.echo("error: the run ended without one ok case", err=True)
    return code


def _again(
    word: str, device: str, backends: tuple[str, ...], overrides: tuple[str, ...]
) -> list[str]:
    """What must be typed again for the same suite: its name, device, backends and fields."""
    words = [word] if device == "auto" else [word, "--device", device]
    for flag, values in (("--backend", backends), ("--set", overrides)):
        words += [part for value in values for part in (flag, value)]
    return words


def _narrowed(settings: dict[str, Any]) -> list[str]:
    """What must be typed beside that to go on with the same run."""
    flags = {"-k": settings["filter"], "--processes": settings["processes"]}
    flags["--seed"] = settings["seed"] or None
    return [
        part for flag, value in flags.items() if value is not None for part in (flag, str(value))
    ]
