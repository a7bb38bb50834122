"""``attnbench doctor``: check this machine and say what to do."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from attnbench.cli import exit_codes, options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnbench.execute.doctor import Finding
    from attnbench.render.screen import Screen

# The word carries the meaning; the colour only repeats it.
_MARKS = {
    "ok": ("✓", ""),
    "warning": ("!", "yellow"),
    "problem": ("✗", "red"),
    "absent": ("-", "dim"),
}
_MARK_WIDTH = 4  # "FAIL" where the terminal has no ✗


@click.command("doctor")
@click.option("--strict", is_flag=True, help="Exit 4 if there is any problem.")
@options.as_json
def command(strict: bool, as_json: bool) -> int:
    """Check software, device, timing, storage and backends; change nothing."""
    from attnbench import api
    from attnbench.render.documents import json_text
    from attnbench.render.screen import stdout_console

    findings = api.doctor()
    if as_json:
        click.echo(json_text([asdict(one) for one in findings], allow_nan=True))
    else:
        _show(findings, stdout_console())
    bad = any(one.state == "problem" for one in findings)
    return exit_codes.ENVIRONMENT if strict and bad else exit_codes.DONE


def _show(findings: Sequence[Finding], screen: Screen) -> None:
    """Print the findings by section, then a summary."""
    from attnbench.units import counted

    section = ""
    for one in findings:
        if one.section != section:
            screen.line(one.section)
            section = one.section
        mark, style = _MARKS[one.state]
        screen.line(f"  {screen.spell(mark):<{_MARK_WIDTH}} {one.text}", style)
        if one.fix:
            screen.line(f"  {'':<{_MARK_WIDTH}}   {one.fix}")
    states = [one.state for one in findings]
    problems, warnings = states.count("problem"), states.count("warning")
    advice = "You can measure."
    if problems:
        advice = "Fix what is marked ✗ before you measure."
    elif warnings:
        advice = "You can measure; small differences may be noise."
    screen.line()
    screen.line(f"{counted(problems, 'problem')}, {counted(warnings, 'warning')}. {advice}")
