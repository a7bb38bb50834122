"""``attnbench check``: check a suite file and every case's output, without timing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attnbench.cli import exit_codes, options

if TYPE_CHECKING:
    from attnbench.execute.events import Event

_SUITE_ENDINGS = (".yaml", ".yml")


@click.command("check")
@click.argument("target", metavar="SUITE|BACKEND")
@options.suite_choice
@click.option(
    "--budget",
    type=options.Duration(),
    default="10m",
    show_default=True,
    help="Time after which no trial of a BACKEND begins.",
)
@options.as_json
def command(target: str, budget: float, as_json: bool, **settings: Any) -> int:
    """Validate a suite and check the output of every case against the reference.

    With a BACKEND (its name, label or file), run about 100 small problems that cover its declared
    features, with NaN padding and strided inputs. -k filters these trials, also by theme=paged or
    way=strided.
    """
    if _is_suite(target):
        return _check_suite(target, as_json=as_json, **settings)
    return _check_backends(target, budget=budget, as_json=as_json, **settings)


def _check_suite(suite: str, *, as_json: bool, **settings: Any) -> int:
    from attnbench import api
    from attnbench.execute.events import CaseChecked
    from attnbench.render.conformance import checked_line, status_counts
    from attnbench.render.documents import checked_case, json_text
    from attnbench.render.screen import stdout_console

    screen = stdout_console()

    def show(event: Event) -> None:
        if isinstance(event, CaseChecked):
            screen.line(f"{f'{event.position}/{event.total}':>9}  {checked_line(event)}")

    finished = api.check(suite, listener=None if as_json else show, **settings)
    if as_json:
        click.echo(json_text([checked_case(one) for one in finished.checked], allow_nan=True))
    else:
        screen.line(status_counts(finished.counts))
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
    """Run the conformance check on one backend after another."""
    from attnbench import api
    from attnbench.errors import InputError
    from attnbench.render.conformance import ConformanceView, repro_of, target_text
    from attnbench.render.documents import json_text, trial_document
    from attnbench.render.screen import stdout_console

    if overrides:
        raise InputError(
            "--set works with a suite; the conformance check has its own problems",
            hint=f"filter them instead: attnbench check {target} -k theme=paged",
        )
    codes, documents = [], []
    for backend in api.backend_cases((target, *backends)):
        view = ConformanceView(stdout_console(), device)
        finished = api.check_backend(
            backend,
            device=device,
            filter=filter,
            budget=budget,
            listener=None if as_json else view,
        )
        if as_json:
            word = target_text(backend)
            documents += [trial_document(one, repro_of(one, word, device)) for one in finished.done]
        else:
            view.finish(finished)
        codes.append(exit_codes.of_counts(finished.counts, interrupted=finished.interrupted))
    if as_json:
        click.echo(json_text(documents, allow_nan=True))
    return exit_codes.highest(codes)


def _is_suite(target: str) -> bool:
    from attnbench import api

    names = [one.name for one in api.list_suites()]
    return Path(target).suffix in _SUITE_ENDINGS or target in names
