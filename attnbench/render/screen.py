"""The stdout and stderr consoles, and text laid out for them: lines, sentences, tables.

Off a terminal, and wherever ``CI`` is set, there is no colour and no animation, whatever
``FORCE_COLOR`` says: a redrawn log is unreadable. A word always carries the meaning; colour only
repeats it.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

WIDTH_OFF_TERMINAL = 120
GAP = "  "
_INDENT = "  "
_NARROWEST = 12  # columns that the first column keeps on any screen

_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
# Replacements on a terminal without UTF-8.
_ASCII = str.maketrans(
    {
        "µ": "u",
        "±": "+-",
        "·": "|",
        "…": "...",
        "→": "->",
        "≥": ">=",
        "≤": "<=",
        "°": "",
        "━": "#",
        "─": "-",
        "✓": "ok",
        "✗": "FAIL",
        "▁": ".",
        "▂": ".",
        "▃": ":",
        "▄": ":",
        "▅": "+",
        "▆": "+",
        "▇": "#",
        "█": "#",
    }
)


@dataclass(frozen=True, slots=True)
class Screen:
    """A rich console with attnbench's layout rules; ``live`` says whether redrawing is allowed."""

    console: Console
    live: bool = False

    @property
    def width(self) -> int:
        """Width in columns."""
        return self.console.width

    def spell(self, text: str) -> str:
        """Return the text in characters that this screen has, without control characters.

        A reason may hold the output of a crashed process, with colours and cursor movements.
        """
        harmless = _CONTROL.sub("", text)
        return harmless if _has_unicode(self.console) else harmless.translate(_ASCII)

    def line(self, text: str = "", style: str = "") -> None:
        """Print text as it is; the terminal wraps a line that is too long."""
        self.console.print(Text(self.spell(text), style=style), soft_wrap=True)

    def wrap(self, text: str, *, indent: int = 6, style: str = "") -> None:
        """Print a sentence, wrapped to the screen; lines after the first are indented."""
        if len(text) <= self.width:
            self.line(text, style)
            return
        for line in textwrap.wrap(
            text, self.width, subsequent_indent=" " * indent, break_on_hyphens=False
        ):
            self.line(line, style)

    def table(self, rows: Sequence[Sequence[str]], *, right: str = "") -> None:
        """Print rows as aligned columns.

        Args:
            rows: Cells; the first row is the header.
            right: An ``r`` at the place of each column that is aligned to the right.

        """
        spelt = [[self.spell(cell) for cell in row] for row in rows]
        for number, text in enumerate(laid_out(spelt, right=right)):
            self.line(text, "" if number else "dim")

    def table_or_stack(self, rows: Sequence[Sequence[str]], *, right: str = "") -> None:
        """Print a table, or on a terminal too narrow for it one column below the other.

        Piped output always has one line a row, for programs that read it.
        """
        if not self.live or width_of(rows, right=right) <= self.width:
            self.table(rows, right=right)
            return
        for line in stacked(rows, self.width):
            self.line(line)


# rich.table.Table would fit every table to the console, and so wrap or crop a row that is piped to
# a program, and pad each line with blanks.
def laid_out(rows: Sequence[Sequence[str]], *, right: str = "") -> list[str]:
    """Return rows as aligned lines; ``right`` has an ``r`` for each right-aligned column."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    sides = right.ljust(len(widths))
    return [
        GAP.join(
            padded(cell, width, right=side == "r")
            for cell, width, side in zip(row, widths, sides, strict=False)
        ).rstrip()
        for row in rows
    ]


def width_of(rows: Sequence[Sequence[str]], *, right: str = "") -> int:
    """Return how many columns of the screen a table needs."""
    return max(map(len, laid_out(rows, right=right)))


def stacked(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield each row as its first cell and an indented line for each other cell."""
    header, *entries = rows
    label_width = max(map(len, header[1:]))
    hanging = _INDENT + " " * (label_width + len(GAP))
    for name, *cells in entries:
        yield name
        for word, cell in zip(header[1:], cells, strict=True):
            if cell:
                yield from textwrap.wrap(
                    cell,
                    width,
                    initial_indent=f"{_INDENT}{word:<{label_width}}{GAP}",
                    subsequent_indent=hanging,
                    break_long_words=False,
                    break_on_hyphens=False,
                )


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Fill up with blanks to a width in terminal cells."""
    blanks = " " * max(0, width - cell_len(text))
    return blanks + text if right else text + blanks


def cropped(text: str, width: int) -> str:
    """Shorten text with an ellipsis in the middle, because both ends identify a case."""
    if cell_len(text) <= width:
        return text
    kept = width - 1
    head = (kept + 1) // 2
    return f"{text[:head]}…{text[len(text) - (kept - head) :]}"


def fitted(rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Shorten the first column until the table fits, unless two rows would look alike."""
    longest = max(len(row[0]) for row in rows)
    room = max(width - (width_of(rows) - longest), _NARROWEST)
    short = [cropped(row[0], room) for row in rows]
    if len(set(short)) < len({row[0] for row in rows}):
        return [list(row) for row in rows]
    return [[text, *row[1:]] for text, row in zip(short, rows, strict=True)]


def split_common(labels: Sequence[str]) -> tuple[str, list[str]]:
    """Split labels into the words that all of them share and the words in which they differ."""
    words = [label.split() for label in labels]
    if len(set(labels)) < 2 or len({len(one) for one in words}) > 1:  # noqa: PLR2004  one label
        return "", list(labels)
    alike = [len(set(column)) == 1 for column in zip(*words, strict=True)]
    kept = [
        " ".join(word for word, same in zip(one, alike, strict=True) if not same) for one in words
    ]
    shared = "  ".join(word for word, same in zip(words[0], alike, strict=True) if same)
    return shared, kept


def stdout_console(stream: TextIO | None = None) -> Screen:
    """Return stdout, which carries data for scripts and readers."""
    return screen(stream or sys.stdout, os.environ)


def stderr_console(stream: TextIO | None = None) -> Screen:
    """Return stderr, which carries progress and remarks for people."""
    return screen(stream or sys.stderr, os.environ)


def screen(stream: TextIO, environ: Mapping[str, str]) -> Screen:
    """Return a screen on a stream, under the given environment variables."""
    is_terminal = stream.isatty()
    dressed = (
        is_terminal
        and environ.get("CI", "false") in ("", "false", "0")
        and environ.get("TERM") != "dumb"
    )
    width = None if is_terminal or environ.get("COLUMNS", "").isdigit() else WIDTH_OFF_TERMINAL
    console = Console(
        file=stream,
        force_terminal=dressed,
        force_interactive=dressed,
        color_system="auto" if dressed else None,
        no_color=None if dressed else True,
        width=width,
        highlight=False,
        markup=False,
        emoji=False,
        _environ=environ,
    )
    return Screen(console, live=dressed)


def _has_unicode(console: Console) -> bool:
    return console.encoding.lower().replace("-", "").startswith("utf")
