"""``attnbench tune``: measure other tiles of a Triton backend, and write a table of the best."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attnbench.cli import exit_codes, options

if TYPE_CHECKING:
    from attnbench.analysis.tuning import Choice
    from attnbench.api.backends import TuningResult
    from attnbench.execute.tune import Candidate

SUITE = "tune"
_ASSUMED_ARCH = "sm_90"
_CANDIDATES = ("slot", "cases", "tile", "regs", "spills", "shared", "fits", "")
_CHOICES = ("slot", "problems", "shipped", "before", "chosen", "after", "change", "")


@click.command("tune")
@click.argument("backend")
@click.argument("suite", default=SUITE)
@options.case_filter
@options.overrides
@options.device
@click.option(
    "--arch", metavar="SM", help="Architecture to compile for, e.g. sm_90 (requires --list)."
)
@click.option(
    "--list", "only_list", is_flag=True, help="List what would be measured; needs no GPU."
)
@click.option("--out", type=options.FILE, metavar="FILE", help="Table to write; must not exist.")
@click.option(
    "--processes",
    type=click.IntRange(3),
    default=5,
    show_default=True,
    metavar="N",
    help="Fresh processes for each case.",
)
@click.option("--resume", is_flag=True, help="Resume a measurement that was interrupted.")
@options.as_json
def command(
    backend: str,
    suite: str,
    arch: str | None,
    only_list: bool,
    out: Path | None,
    as_json: bool,
    **settings: Any,
) -> int:
    """Measure other tiles of BACKEND over SUITE, and write a table of the fastest.

    A tile replaces the shipped one only where it is certainly faster. Use the table with the option
    tiles: attnbench run decode --backend 'triton_decode[tiles=FILE]'.
    """
    from attnbench import api

    if only_list:
        choice = {name: settings[name] for name in ("overrides", "filter")}
        candidates = api.tuning_candidates(backend, suite, arch=arch or _ASSUMED_ARCH, **choice)
        _print_candidates(candidates, as_json=as_json)
        return exit_codes.DONE
    if out is None:
        from attnbench.execute.tune import tunable_module

        tunable_module(backend)
        raise click.UsageError("name the table to write (--out FILE), or use --list")
    words = [backend, suite, *(("-k", settings["filter"]) if settings["filter"] else ())]
    tuned = _measure(backend, suite, arch, out, words, settings)
    if tuned.run.interrupted:
        click.echo(f"resume: attnbench tune {shlex.join(words)} --out {out} --resume", err=True)
        return exit_codes.INTERRUPTED
    _print_choices(tuned.choices, as_json=as_json)
    click.echo(f"wrote {out}, measured in {tuned.run.out}", err=True)
    return exit_codes.of_counts(tuned.run.counts, interrupted=False)


def _measure(
    backend: str,
    suite: str,
    arch: str | None,
    out: Path,
    words: Sequence[str],
    settings: dict[str, Any],
) -> TuningResult:
    """Measure with the view that every run has; stdout is for the choices."""
    from attnbench import __version__, api
    from attnbench.cli.run_stats import SuiteTitle
    from attnbench.cli.run_view import view_of

    title = SuiteTitle(
        name="tune",
        about=f"tiles of {backend}, the shipped ones among them",
        repro=shlex.join(words),
        version=__version__,
    )
    with view_of(title, as_json=False) as view:
        return api.tune(backend, suite, out=out, arch=arch, listener=view, **settings)


def _print_candidates(candidates: Sequence[Candidate], *, as_json: bool) -> None:
    from attnbench.render.documents import candidate_document, json_text
    from attnbench.render.screen import stdout_console
    from attnbench.units import counted

    if as_json:
        click.echo(json_text([candidate_document(one) for one in candidates]))
        return
    rows: list[tuple[str, ...]] = [_CANDIDATES]
    for one in candidates:
        state = one.dropped or ("shipped" if one.is_shipped else "")
        found = one.resources
        numbers: tuple[object, ...] = ("", "", "", "")
        if found is not None:
            shared = found.static_shared_bytes + found.dynamic_shared_bytes
            numbers = (found.registers, found.spill_instructions, shared, found.resident)
        slot = str(one.slot) if one.is_shipped else ""
        count = str(len(one.cases)) if one.is_shipped else ""
        rows.append((slot, count, str(one.tile), *map(str, numbers), state))
    stdout_console().table(rows, right=" r rrrr")
    kept = [one for one in candidates if one.dropped is None]
    cases = {trial for one in kept for trial in one.trials}
    dropped = counted(len(candidates) - len(kept), "tile")
    click.echo(f"{counted(len(cases), 'case')} to measure, {dropped} dropped")


def _print_choices(choices: Sequence[Choice], *, as_json: bool) -> None:
    from attnbench.render.documents import choice_document, json_text
    from attnbench.render.screen import stdout_console
    from attnbench.render.values import change_text
    from attnbench.units import significant

    def microseconds(value: float | None) -> str:
        return "" if value is None else f"{significant(value)} µs"

    if as_json:
        click.echo(json_text([choice_document(one) for one in choices]))
        return
    rows: list[tuple[str, ...]] = [_CHOICES]
    for one in choices:
        share = None
        if one.before_us is not None and one.after_us is not None and one.is_new:
            share = one.after_us / one.before_us - 1
        before = (str(one.shipped), microseconds(one.before_us))
        after = (str(one.chosen), microseconds(one.after_us)) if one.is_new else ("", "")
        slot = (str(one.slot), str(one.problems))
        rows.append((*slot, *before, *after, change_text(share), one.rule))
    stdout_console().table(rows, right=" r r rr ")
    for one in choices:
        for tile, reason in one.failed.items():
            click.echo(f"{one.slot}: {tile} left out: {reason}", err=True)
