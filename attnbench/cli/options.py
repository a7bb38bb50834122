"""Flags that several verbs share, and what they turn into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, for programs.")
case_filter = click.option(
    "-k",
    "--filter",
    "filter",
    metavar="FILTER",
    help="Use only matching cases, e.g. 'decode kv_len>=4k backend=sdpa'.",
)
device = click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda:N", help="Where."
)
backends = click.option(
    "--backend",
    "backends",
    multiple=True,
    metavar="NAME|LABEL|FILE",
    help="Instead of the suite's backends; may be given several times.",
)
overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=A,B",
    help="Replace a field of the suite, e.g. --set kv_len=1k,4k.",
)
FILE = click.Path(path_type=Path)


def suite_choice(command: Command) -> Command:
    """Add what chooses cases: --device, --backend, --set and -k."""
    for option in (case_filter, overrides, backends, device):
        command = option(command)
    return command


class OneOf(click.ParamType[str]):
    """One of a few words; a wrong one is answered with the nearest right one."""

    name = "word"

    def __init__(self, *words: str) -> None:
        self.words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check a word."""
        if value not in self.words:
            from attnbench.filter import did_you_mean

            advice = did_you_mean(value, self.words)
            listed = f"it is one of {', '.join(self.words)}; got {value!r}"
            self.fail(f"{listed}, {advice}" if advice else listed, param, ctx)
        return str(value)


class Duration(click.ParamType[float]):
    """``90s``, ``10m``, ``1h`` as seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a duration."""
        from attnbench.units import parse_duration

        try:
            return value if isinstance(value, float) else parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
