"""Sentences and tables made to fit a screen: wrapped, shortened, and what rows share said once."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from attnbench.cli.screen import Screen, cropped, laid_out

_NARROWEST = 12  # of the first column, however narrow the screen


def wrapped(screen: Screen, text: str, *, indent: int = 6, style: str = "") -> None:
    """Print a sentence in as many lines as the screen needs."""
    if len(text) <= screen.width:
        screen.line(text, style)
        return
    for line in textwrap.wrap(
        text, screen.width, subsequent_indent=" " * indent, break_on_hyphens=False
    ):
        screen.line(line, style)


def fitted(rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Shorten the first column so that the table fits, unless cases could not be told apart."""
    longest = max(len(row[0]) for row in rows)
    others = max(map(len, laid_out(rows))) - longest
    room = max(width - others, _NARROWEST)
    short = [cropped(row[0], room) for row in rows]
    if len(set(short)) < len({row[0] for row in rows}):
        return [list(row) for row in rows]
    return [[text, *row[1:]] for text, row in zip(short, rows, strict=True)]


def told_apart(labels: Sequence[str]) -> tuple[str, list[str]]:
    """Split labels into the words that all have, once, and those in which they differ."""
    words = [label.split() for label in labels]
    if len(set(labels)) < 2 or len({len(one) for one in words}) > 1:  # noqa: PLR2004  one is alike
        return "", list(labels)
    alike = [len(set(column)) == 1 for column in zip(*words, strict=True)]
    kept = [
        " ".join(word for word, same in zip(one, alike, strict=True) if not same) for one in words
    ]
    shared = "  ".join(word for word, same in zip(words[0], alike, strict=True) if same)
    return shared, kept
