from __future__ import annotations

import io

import pytest

from attnbench.render.screen import cropped, laid_out, padded, screen


class Stream(io.StringIO):
    def __init__(self, *, terminal=False, encoding="utf-8"):
        super().__init__()
        self._terminal = terminal
        self._encoding = encoding

    @property
    def encoding(self):
        return self._encoding

    def isatty(self):
        return self._terminal


def test_a_terminal_is_dressed():
    made = screen(Stream(terminal=True), {"COLUMNS": "90", "TERM": "xterm"})

    assert made.live
    assert made.width == 90


@pytest.mark.parametrize(
    "environ",
    [{"CI": "true"}, {"CI": "1", "FORCE_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": "dumb", "CI": ""}],
)
def test_a_terminal_under_ci_or_without_cursor_is_not(environ):
    stream = Stream(terminal=True)
    made = screen(stream, environ)

    made.line("red", "bold red")

    assert not made.live
    assert stream.getvalue() == "red\n"


def test_ci_that_says_no_is_none():
    assert screen(Stream(terminal=True), {"CI": "false"}).live


def test_a_log_is_120_wide_unless_it_is_reported():
    assert screen(Stream(), {}).width == 120
    assert screen(Stream(), {"COLUMNS": "77"}).width == 77


def test_no_color_is_honoured_on_a_terminal():
    stream = Stream(terminal=True)

    screen(stream, {"NO_COLOR": "1", "TERM": "xterm-256color"}).line("slow", "red")

    assert "\x1b[31m" not in stream.getvalue()


def test_a_screen_without_utf_8_gets_other_letters():
    stream = Stream(encoding="ascii")

    screen(stream, {}).line("18.2 µs ±0.3% · ✓ ✗ … ≥")

    assert stream.getvalue() == "18.2 us +-0.3% | ok FAIL ... >=\n"


def test_control_characters_of_others_never_arrive():
    stream = Stream()

    screen(stream, {}).line("\x1b[2J\x1b[31mred\x1b[0m\rmore\x07\ttab")

    assert stream.getvalue() == "redmore\ttab\n" or "\x1b" not in stream.getvalue()


def test_brackets_are_no_markup():
    stream = Stream()

    screen(stream, {}).line("sdpa[kernel=flash] [red]")

    assert stream.getvalue() == "sdpa[kernel=flash] [red]\n"


def test_columns_are_aligned_and_nothing_trails():
    assert laid_out([("a", "b", "c"), ("long", "1", "")], right=" r") == ["a     b  c", "long  1"]


def test_padding_counts_what_a_terminal_counts():
    assert padded("µs", 4) == "µs  "
    assert padded("1", 3, right=True) == "  1"


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [("short", 9, "short"), ("0123456789", 5, "01…89"), ("0123456789", 6, "012…89")],
)
def test_cropping_keeps_both_ends(text, width, expected):
    assert cropped(text, width) == expected
