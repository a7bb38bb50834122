"""``attnbench tune``: measure other tiles of a Triton backend, and write a table of the best."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attnbench.cli import exit_codes, options

if TYPE_CHECKING:
    from attnbench.analysis.tuning import Choice, Tuned
    from attnbench.execute.tune import Candidate

SUITE = "tune"
_ASSUMED = "sm_90"
_CANDIDATES = ("slot", "cases", "tile", "regs", "spills", "shared", "fits", "")
_CHOICES = ("slot", "problems", "shipped", "before", "chosen", "after", "change", "")


@click.command("tune")
@click.argument("backend")
@click.argument("suite", default=SUITE)
@options.case_filter
@options.overrides
@options.device
@click.option("--arch", metavar="SM", help="With --list: compile for this, as sm_90.")
@click.option("--list", "only_list", is_flag=True, help="Say what would be measured; no GPU.")
@click.option("--out", type=options.FILE, metavar="FILE", help="The table to write; must be new.")
@click.option(
    "--processes",
    type=click.IntRange(3),
    default=5,
    show_default=True,
    metavar="N",
    help="Fresh processes a case.",
)
@click.option("--resume", is_flag=True, help="Go on with the measuring that was cut off.")
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
    """Measure other tiles of BACKEND over SUITE, and write a table of what was fastest.

    A tile replaces the shipped one only where it is faster beyond doubt. The table is used with the
    option tiles: attnbench run decode --backend 'triton_decode[tiles=FILE]'.
    """
    from attnbench import api
    from attnbench.execute import tune

    tune.tunable_module(backend)
    if not only_list and out is None:
        raise click.UsageError("name the table to write: --out FILE, or --list what would be tried")
    loaded = api.load_suite(
        suite, backends=[backend], overrides=settings["overrides"], filter=settings["filter"]
    )
    if only_list:
        device = tune.device_like(arch or _ASSUMED)
    else:
        device, _ = api.device_rates(settings["device"])
        tune.check_device(backend, device, arch)
    found = tune.candidates_of(backend, loaded.cases, device)
    candidates = tune.compiled(backend, found, device.arch)
    if only_list:
        _print_candidates(candidates, as_json=as_json)
        return exit_codes.DONE
    assert out is not None
    words = [backend, suite, *(("-k", settings["filter"]) if settings["filter"] else ())]
    tuned = _measure(loaded, tuple(candidates), out, words, settings)
    if tuned.run.interrupted:
        click.echo(f"go on: attnbench tune {shlex.join(words)} --out {out} --resume", err=True)
        return exit_codes.INTERRUPTED
    _print_choices(tuned.choices, as_json=as_json)
    click.echo(f"wrote {out}, measured in {tuned.run.out}", err=True)
    return exit_codes.of_counts(tuned.run.counts, interrupted=False)


def _measure(
    loaded: Any,
    candidates: tuple[Candidate, ...],
    out: Path,
    words: list[str],
    settings: dict[str, Any],
) -> Tuned:
    """Have it measured, in the view that every run has; stdout is for the choices."""
    from attnbench import __version__
    from attnbench.analysis.tuning import Order, tune
    from attnbench.cli.run_stats import SuiteTitle
    from attnbench.cli.run_view import view_of
    from attnbench.execute.tune import suite_of

    trials = suite_of(loaded, candidates)
    order = Order(
        suite=loaded,
        candidates=candidates,
        out=out,
        device=settings["device"],
        processes=settings["processes"],
        resume=settings["resume"],
        repro=shlex.join(
            ["attnbench", "run", words[1], *(w for x in trials.labels for w in ("--backend", x))]
        ),
    )
    about = f"tiles of {words[0]}, {len(trials.labels) - 1} beside the shipped ones"
    shown = SuiteTitle(name="tune", about=about, repro=shlex.join(words), version=__version__)
    with view_of(shown, as_json=False) as view:
        return tune(order, view)


def _print_candidates(candidates: list[Candidate], *, as_json: bool) -> None:
    from attnbench.render.screen import stdout_console
    from attnbench.render.values import counted

    if as_json:
        click.echo(json.dumps([_facts(one) for one in candidates], indent=1))
        return
    rows: list[tuple[str, ...]] = [_CANDIDATES]
    for one in candidates:
        state = one.dropped or ("shipped" if one.is_shipped else "")
        found = one.resources
        if found is None:
            numbers: tuple[object, ...] = ("", "", "", "")
        else:
            shared = found.static_shared_bytes + found.dynamic_shared_bytes
            numbers = (found.registers, found.spill_instructions, shared, found.resident)
        slot = str(one.slot) if one.is_shipped else ""
        count = len(one.cases) if one.is_shipped else ""
        rows.append((slot, str(count), str(one.tile), *map(str, numbers), state))
    stdout_console().table(rows, right=" r rrrr")
    kept = [one for one in candidates if one.dropped is None]
    cases = {trial for one in kept for trial in one.trials}
    dropped = counted(len(candidates) - len(kept), "tile")
    click.echo(f"{counted(len(cases), 'case')} to measure, {dropped} dropped")


def _facts(one: Candidate) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "slot": str(one.slot),
        "option": one.option,
        "tile": str(one.tile),
        "shipped": one.is_shipped,
        "dropped": one.dropped,
        "cases": [trial.label for trial in one.trials],
        "resources": one.resources and asdict(one.resources),
    }


def _print_choices(choices: tuple[Choice, ...], *, as_json: bool) -> None:
    from attnbench.render.screen import stdout_console
    from attnbench.render.values import change_text
    from attnbench.units import significant

    def microseconds(value: float | None) -> str:
        return "" if value is None else f"{significant(value)} µs"

    if as_json:
        plain = [
            {
                "slot": str(one.slot),
                "problems": one.problems,
                "shipped": str(one.shipped),
                "before_us": one.before_us,
                "chosen": str(one.chosen),
                "after_us": one.after_us,
                "rule": one.rule,
                "failed": dict(one.failed),
            }
            for one in choices
        ]
        click.echo(json.dumps(plain, indent=1))
        return
    rows: list[tuple[str, ...]] = [_CHOICES]
    for one in choices:
        share = None
        if one.before_us is not None and one.after_us is not None and one.is_new:
            share = one.after_us / one.before_us - 1
        texts = (str(one.shipped), microseconds(one.before_us))
        after = (str(one.chosen), microseconds(one.after_us)) if one.is_new else ("", "")
        change = "" if share is None else change_text(share)
        rows.append((str(one.slot), str(one.problems), *texts, *after, change, one.rule))
    stdout_console().table(rows, right=" r r rr ")
    for one in choices:
        for tile, reason in one.failed.items():
            click.echo(f"{one.slot}: {tile} left out: {reason}", err=True)
