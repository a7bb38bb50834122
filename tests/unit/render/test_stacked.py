from __future__ import annotations

import io

import pytest

from attnbench.render.screen import Screen, screen, stacked

ROWS = [
    ("backend", "options", "on this machine"),
    ("naive", "upcast=false", "ready"),
    ("theirs", "", "their-library is not installed: pip install their-library"),
]


def shown(columns, *, live=True):
    stream = io.StringIO()
    plain = screen(stream, {"COLUMNS": str(columns)})
    Screen(plain.console, live=live).table_or_stack(ROWS)
    return stream.getvalue().splitlines()


def test_what_fits_is_a_table():
    lines = shown(120)

    assert len(lines) == 3
    assert lines[0].split() == ["backend", "options", "on", "this", "machine"]


def test_what_does_not_fit_stands_below_its_name():
    assert shown(48) == [
        "naive",
        "  options          upcast=false",
        "  on this machine  ready",
        "theirs",
        "  on this machine  their-library is not",
        "                   installed: pip install",
        "                   their-library",
    ]


def test_a_program_gets_a_line_a_row():
    assert len(shown(48, live=False)) == 3


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_line_is_wider_and_no_word_is_lost(width):
    lines = list(stacked(ROWS, width))

    assert all(len(line) <= width for line in lines)
    words = " ".join(lines).split()
    assert all(word in words for row in ROWS[1:] for cell in row for word in cell.split())
