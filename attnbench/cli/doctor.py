"""``attnbench doctor``: look at this machine and say what to do."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from attnbench.cli import exit_codes, options

if TYPE_CHECKING:
    from attnbench.cli.examine import Finding
    from attnbench.render.screen import Screen

# The word says it; the colour only repeats it.
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
    """Look at software, device, storage and backends; change nothing."""
    from attnbench.cli.examine import PROBLEM, examine
    from attnbench.render.screen import stdout_console

    findings = list(examine())
    if as_json:
        click.echo(json.dumps([asdict(one) for one in findings], indent=1, ensure_ascii=False))
    else:
        show(findings, stdout_console())
    bad = any(one.state == PROBLEM for one in findings)
    return exit_codes.ENVIRONMENT if strict and bad else exit_codes.DONE


def show(findings: list[Finding], screen: Screen) -> None:
    """Print the findings under their sections, then what they add up to."""
    from attnbench.render.values import counted

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
    screen.line()
    total = f"{counted(problems, 'problem')}, {counted(warnings, 'warning')}"
    screen.line(f"{total}. {_verdict(problems, warnings)}")


def _verdict(problems: int, warnings: int) -> str:
    if problems:
        return "Mend what is marked ✗ before you measure."
    return "You can measure; small differences may be noise." if warnings else "You can measure."
