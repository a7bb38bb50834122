"""``attnbench check``: is the file right, and is every case's output right; nothing is timed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attnbench.cli import exit_codes, options

if TYPE_CHECKING:
    from attnbench.cli.screen import Screen
    from attnbench.execute.events import CaseChecked, Event

_SUITE_ENDINGS = (".yaml", ".yml")


@click.command("check")
@click.argument("target", metavar="SUITE|BACKEND")
@options.suite_choice
@options.as_json
def command(target: str, backends: tuple[str, ...], as_json: bool, **settings: Any) -> int:
    """Validate a suite and check the output of every case against the reference.

    A BACKEND, by its name or file, is checked on the problems of the quick suite.
    """
    from attnbench import api
    from attnbench.cli.screen import data

    suite, chosen = (target, backends) if _is_suite(target) else (api.QUICK, (target, *backends))
    finished = api.check(
        suite, backends=chosen, listener=None if as_json else _teller(data()), **settings
    )
    if as_json:
        facts = [_facts(one) for one in finished.checked]
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        data().line(_counts(finished.counts))
    return exit_codes.of_counts(finished.counts, interrupted=finished.interrupted)


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


def _counts(counts: dict[str, int]) -> str:
    from attnbench.measurement import STATUSES

    words = {"ok": "passed"}
    found = [f"{counts[one]} {words.get(one, one)}" for one in STATUSES if counts.get(one)]
    return ", ".join(found) or "no case"


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
