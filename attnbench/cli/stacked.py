"""A table that is wider than the screen, as an entry a row: its name, then a line a column."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from attnbench.cli.screen import GAP, Screen, laid_out

_INDENT = "  "


def show_table(screen: Screen, rows: Sequence[Sequence[str]], *, right: str = "") -> None:
    """Print rows as columns where they fit, else one below the other; the first is the header.

    What is piped on to a program stays a line a row.
    """
    if not screen.live or max(map(len, laid_out(rows, right=right))) <= screen.width:
        screen.table(rows, right=right)
        return
    for line in stacked(rows, screen.width):
        screen.line(line)


def stacked(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Write each row as its first cell and, indented, the header and text of every other cell."""
    header, *entries = rows
    room = max(map(len, header[1:]))
    hanging = _INDENT + " " * (room + len(GAP))
    for name, *cells in entries:
        yield name
        for word, cell in zip(header[1:], cells, strict=True):
            if cell:
                yield from textwrap.wrap(
                    cell,
                    width,
                    initial_indent=f"{_INDENT}{word:<{room}}{GAP}",
                    subsequent_indent=hanging,
                    break_long_words=False,
                    break_on_hyphens=False,
                )
