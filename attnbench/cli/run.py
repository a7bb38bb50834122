"""``attnbench run``: measure suites."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from attnbench.cli import exit_codes, options


@click.command("run")
@click.argument("suites", nargs=-1, metavar="[SUITE]...")
@options.suite_choice
@click.option("--out", type=options.FILE, metavar="FILE", help="Result file; must not exist.")
@click.option("--name", metavar="NAME", help="Name of the run; its file is results/NAME.parquet.")
@click.option(
    "--processes", type=click.IntRange(1), metavar="N", help="Fresh processes for each case."
)
@click.option(
    "--budget", type=options.Duration(), metavar="10m", help="Time after which no case begins."
)
@click.option("--resume", is_flag=True, help="Resume a run that was interrupted.")
@click.option(
    "--redo",
    type=options.OneOf("none", "failed", "all"),
    metavar="failed|all",
    default="none",
    help="Measure cases again that are not ok, or all of them (requires --resume).",
)
@click.option(
    "--no-oom-skip", is_flag=True, help="Try cases larger than one that ran out of memory."
)
@options.seed
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
    """Measure SUITE, a path or the name of a shipped suite; by default the quick suite.

    Each run is one file in results/; a row is safe on disk as soon as it is printed.
    """
    from attnbench import __version__, api
    from attnbench.cli.run_stats import SuiteTitle
    from attnbench.cli.run_view import view_of
    from attnbench.units import duration_text

    words = suites or (api.QUICK,)
    if len(words) > 1 and (out is not None or name is not None):
        raise click.UsageError("--out and --name work with one suite; give only one")
    if settings["redo"] != "none" and not settings["resume"]:
        raise click.UsageError("--redo requires --resume")
    loaded = [api.load_suite(word, backends=backends, overrides=overrides) for word in words]
    budget = settings["budget"]
    codes = []
    for word, suite in zip(words, loaded, strict=True):
        again = _again(word, settings["device"], backends, overrides)
        title = SuiteTitle(
            name=suite.name,
            about=suite.about,
            repro=shlex.join([*again, *_narrowed(settings)]),
            version=__version__,
            derived=suite.derived,
            budget="" if budget is None else duration_text(budget),
        )
        typed = {"suite": word, "backends": backends, "overrides": overrides}
        with view_of(title, as_json=as_json) as view:
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
        code = exit_codes.of_counts(finished.counts, interrupted=finished.interrupted)
        if code == exit_codes.ENVIRONMENT:
            click.echo("error: the run ended without a single ok case", err=True)
        codes.append(code)
        if finished.interrupted:
            break
    return exit_codes.highest(codes)


def _again(
    word: str, device: str, backends: tuple[str, ...], overrides: tuple[str, ...]
) -> list[str]:
    """Return the words that choose the same suite again: name, device, backends and fields."""
    words = [word] if device == "auto" else [word, "--device", device]
    for flag, values in (("--backend", backends), ("--set", overrides)):
        words += [part for value in values for part in (flag, value)]
    return words


def _narrowed(settings: dict[str, Any]) -> list[str]:
    """Return the other words that resume the same run."""
    flags = {"-k": settings["filter"], "--processes": settings["processes"]}
    flags["--seed"] = settings["seed"] or None
    return [
        part for flag, value in flags.items() if value is not None for part in (flag, str(value))
    ]
