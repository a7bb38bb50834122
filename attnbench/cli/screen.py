"""Where text goes: stdout is data, stderr is talk, and what each of them can show.

Off a terminal, and wherever ``CI`` is set, there is neither colour nor animation, whatever
``FORCE_COLOR`` says: a log that redraws itself is no log. A meaning is always carried by a word;
colour only repeats it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

WIDTH_OFF_TERMINAL = 120
GAP = "  "

_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
# What a terminal without UTF-8 sees instead.
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
    """A console together with what it is good for; ``live`` allows redrawing."""

    console: Console
    live: bool = False

    @property
    def width(self) -> int:
        """Columns."""
        return self.console.width

    def spell(self, text: str) -> str:
        """Write the text in the characters that this screen has, and no control characters.

        A reason may hold the output of a crashed process, colours and cursor movements included.
        """
        harmless = _CONTROL.sub("", text)
        return harmless if _has_unicode(self.console) else harmless.translate(_ASCII)

    def line(self, text: str = "", style: str = "") -> None:
        """Print one line, or several; the terminal wraps what is too long."""
        self.console.print(Text(self.spell(text), style=style), soft_wrap=True)

    def table(
        self, rows: Sequence[Sequence[str]], *, right: str = "", dim_header: bool = True
    ) -> None:
        """Print rows as columns, the first one as the header; see ``laid_out`` for ``right``."""
        spelt = [[self.spell(cell) for cell in row] for row in rows]
        for number, text in enumerate(laid_out(spelt, right=right)):
            self.line(text, "dim" if dim_header and number == 0 else "")


def laid_out(rows: Sequence[Sequence[str]], *, right: str = "") -> list[str]:
    """Return rows as aligned lines; ``right`` has an ``r`` at each column to be flushed right."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    flushed = right.ljust(len(widths))
    lines = []
    for row in rows:
        cells = [
            padded(cell, width, right=side == "r")
            for cell, width, side in zip(row, widths, flushed, strict=False)
        ]
        lines.append(GAP.join(cells).rstrip())
    return lines


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Fill up with blanks to a width counted as a terminal counts."""
    blanks = " " * max(0, width - cell_len(text))
    return blanks + text if right else text + blanks


def cropped(text: str, width: int) -> str:
    """Shorten to a width, with an ellipsis in the middle: both ends tell the case."""
    if cell_len(text) <= width:
        return text
    kept = width - 1
    head = (kept + 1) // 2
    return f"{text[:head]}…{text[len(text) - (kept - head) :]}"


def data(stream: TextIO | None = None) -> Screen:
    """Return stdout: what a script reads."""
    return screen(stream or sys.stdout, os.environ)


def talk(stream: TextIO | None = None) -> Screen:
    """Return stderr: what a person reads."""
    return screen(stream or sys.stderr, os.environ)


def screen(stream: TextIO, environ: Mapping[str, str]) -> Screen:
    """Make a screen of a stream under these environment variables."""
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
