"""Flags and parameter types that several verbs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout.")
case_filter = click.option(
    "-k",
    "--filter",
    "filter",
    metavar="FILTER",
    help="Use only matching cases, e.g. 'decode kv_len>=4k backend=sdpa'.",
)
device = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda:N",
    help="Device to measure on.",
)
backends = click.option(
    "--backend",
    "backends",
    multiple=True,
    metavar="NAME|LABEL|FILE",
    help="Backend to use instead of the suite's; may be repeated.",
)
overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=A,B",
    help="Replace a field of the suite, e.g. --set kv_len=1k,4k; may be repeated.",
)
seed = click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed for the case order."
)
prices = click.option(
    "--price",
    "prices",
    multiple=True,
    metavar="DEVICE=DOLLARS",
    help="Price of an hour of a device, for comparisons across devices, e.g. H200=3.80; "
    "may be repeated.",
)


def suite_choice(command: Command) -> Command:
    """Add the flags that choose cases: --device, --backend, --set and --filter."""
    for option in (case_filter, overrides, backends, device):
        command = option(command)
    return command


class OneOf(click.ParamType[str]):
    """One of a few words; the error for a wrong word names the nearest one."""

    name = "word"

    def __init__(self, *words: str) -> None:
        self.words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check a word."""
        if value not in self.words:
            from attnbench.filter import did_you_mean

            advice = did_you_mean(value, self.words)
            listed = f"must be one of {', '.join(self.words)}; got {value!r}"
            self.fail(f"{listed}, {advice}" if advice else listed, param, ctx)
        return str(value)


class Duration(click.ParamType[float]):
    """A duration such as ``90s``, ``10m`` or ``1h``, in seconds."""

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


class Share(click.ParamType[float]):
    """A share such as ``3%`` or ``0.03``."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a share as a suite reads it."""
        from attnbench.suite.fields import ValueFault, share

        if isinstance(value, float):
            return value
        try:
            number: Any = float(value)
        except ValueError:
            number = value
        try:
            return share((param.name or "it") if param else "it", number)
        except ValueFault as fault:
            advice = f"; {fault.advice}" if fault.advice else ""
            self.fail(f"{fault.message}{advice}", param, ctx)


def read_prices(texts: Sequence[str]) -> dict[str, float]:
    """Return dollars for an hour by device, from the texts that ``--price`` was given.

    Raises:
        OptionError: A text is not a device with its dollars, or a device is given twice.

    """
    from attnbench.errors import OptionError

    found: dict[str, float] = {}
    for text in texts:
        word, _, number = text.rpartition("=")
        word = word.strip()
        try:
            dollars = float(number.strip().removeprefix("$"))
        except ValueError:
            dollars = None
        if not word or dollars is None:
            raise OptionError(
                f"--price must be a device and its dollars an hour; got {text!r}",
                hint="such as --price 'H200=3.80'",
            )
        if word in found:
            raise OptionError(f"--price has {word!r} twice", hint="remove one of them")
        found[word] = dollars
    return found


def write_out(out: Path, text: str) -> None:
    """Write a file that the user asked for, and say so on stderr.

    Raises:
        OutputError: The file cannot be written.

    """
    from attnbench.render.values import shown_path
    from attnbench.store.atomic import check_writable, write_text

    path = out.expanduser()
    check_writable(path.parent)
    write_text(path, text)
    click.echo(f"wrote {shown_path(path)}", err=True)
