"""``attnbench check``: is the file right, and is every case's output right; nothing is timed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attnbench.cli import exit_codes, options

if TYPE_CHECKING:
    from attnbench.execute.events import CaseChecked, Event
    from attnbench.render.screen import Screen

_SUITE_ENDINGS = (".yaml", ".yml")


@click.command("check")
@click.argument("target", metavar="SUITE|BACKEND")
@options.suite_choice
@click.option(
    "--budget",
    type=options.Duration(),
    default="10m",
    show_default=True,
    help="Of a BACKEND: no trial begins after this.",
)
@options.as_json
def command(target: str, budget: float, as_json: bool, **settings: Any) -> int:
    """Validate a suite and check the output of every case against the reference.

    A BACKEND, by its name, label or file, is put to the conformance kit: small problems for each
    thing that it declares. -k picks trials, by theme=paged or way=strided too.
    """
    if _is_suite(target):
        return _check_suite(target, as_json=as_json, **settings)
    return _check_backends(target, budget=budget, as_json=as_json, **settings)


def _check_suite(suite: str, *, as_json: bool, **settings: Any) -> int:
    from attnbench import api
    from attnbench.cli.conformance import counts_text
    from attnbench.render.screen import stdout_console

    finished = api.check(suite, listener=None if as_json else _teller(stdout_console()), **settings)
    if as_json:
        facts = [_facts(one) for one in finished.checked]
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        stdout_console().line(counts_text(finished.counts))
    return exit_codes.of_counts(finished.counts, interrupted=finished.interrupted)


def _check_backends(
    target: str,
    *,
    backends: tuple[str, ...],
    overrides: tuple[str, ...],
    filter: str | None,
    device: str,
    budget: float,
    as_json: bool,
) -> int:
    """Put one backend after another to the kit."""
    from attnbench import api
    from attnbench.cli.conformance import Sheet, facts_of, target_text
    from attnbench.errors import InputError
    from attnbench.render.screen import stdout_console

    if overrides:
        raise InputError(
            "--set changes a suite; the problems of the conformance kit are declared",
            hint=f"pick among them: attnbench check {target} -k theme=paged",
        )
    codes, facts = [], []
    for subject in api.subjects((target, *backends)):
        sheet = Sheet(stdout_console(), device)
        finished = api.conform(
            subject,
            device=device,
            filter=filter,
            budget=budget,
            listener=None if as_json else sheet.tell,
        )
        if as_json:
            word = target_text(subject)
            facts += [facts_of(one, word, device) for one in finished.done]
        else:
            sheet.finish(finished)
        codes.append(exit_codes.of_counts(finished.counts, interrupted=finished.interrupted))
    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
    return exit_codes.highest(codes)


def _teller(screen: Screen) -> Callable[[Event], None]:
    """Print each case as it is done."""

    def tell(event: Event) -> None:
        from attnbench.execute.events import CaseChecked

        if isinstance(event, CaseChecked):
            screen.line(f"{f'{event.position}/{event.total}':>9}  {line(event)}")

    return tell


def _is_suite(target: str) -> bool:
    from attnbench.suite import shipped

    names = [one.name for one in shipped()]
    return Path(target).suffix in _SUITE_ENDINGS or target in names


def line(checked: CaseChecked) -> str:
    """One case: passed, and how near the reference; or its status and why."""
    from attnbench.cli.rows import failure_text
    from attnbench.units import significant

    if checked.status != "ok":
        return failure_text(checked.status, checked.case.label, checked.reason)
    error = "" if checked.error_rel is None else f"   error {significant(checked.error_rel)}"
    if checked.error_ratio is not None:
        error += f", {significant(checked.error_ratio)} x that of plain PyTorch"
    notes = f"   {' '.join(checked.notes)}" if checked.notes else ""
    return f"passed  {checked.case.label}{error}{notes}"


def _facts(checked: CaseChecked) -> dict[str, Any]:
    return {
        "backend": checked.case.backend_label,
        "case_id": checked.case.id,
        "case_label": checked.case.label,
        "status": checked.status,
        "reason": checked.reason,
        "notes": list(checked.notes),
        "error_rel": checked.error_rel,
        "error_ratio": checked.error_ratio,
    }
