"""Prices on the command line: ``--price 'H200=3.80'``, dollars for an hour of one device."""

from __future__ import annotations

from collections.abc import Sequence

import click

from attnbench.errors import OptionError

option = click.option(
    "--price",
    "prices",
    multiple=True,
    metavar="DEVICE=DOLLARS",
    help="Across devices: an hour of one, e.g. H200=3.80; once for each.",
)


def read(texts: Sequence[str]) -> dict[str, float]:
    """Read what ``--price`` was given.

    Raises:
        OptionError: a text is no device with its dollars, or a device is there twice.

    """
    found: dict[str, float] = {}
    for text in texts:
        word, price = _read(text)
        if word in found:
            raise OptionError(f"--price has {word!r} twice", hint="leave one of them out")
        found[word] = price
    return found


def _read(text: str) -> tuple[str, float]:
    word, _, number = text.rpartition("=")
    try:
        price = float(number.strip().removeprefix("$"))
    except ValueError:
        price = None
    if not word.strip() or price is None:
        raise OptionError(
            f"--price is a device and its dollars an hour; got {text!r}",
            hint="such as --price 'H200=3.80'",
        )
    return word.strip(), price
