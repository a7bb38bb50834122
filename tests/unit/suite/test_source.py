from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.errors import SuiteError
from attnbench.suite.source import read


def values(text: str):
    source, faults = read(text, "x.yaml")

    assert faults == []

    return source.data


def faults_of(text: str) -> str:
    try:
        _, faults = read(text, "x.yaml")
    except SuiteError as error:
        return str(error)
    return "\n".join(fault.render() for fault in faults)


def test_scalars_are_those_of_yaml_1_2():
    text = """\
        a: 010
        b: 0o10
        c: 1_000
        d: yes
        e: 1e3
        f: 12:30:00
        g: 2001-01-01
        h: ~
        i: 3%
        j: '4096'
        k: .5
        l: 1k
        m: -.inf
        n: true
        o: 0x1F
        p:
        """

    assert values(textwrap.dedent(text)) == {
        "a": 10,
        "b": 8,
        "c": 1000,
        "d": "yes",
        "e": 1000.0,
        "f": "12:30:00",
        "g": "2001-01-01",
        "h": None,
        "i": "3%",
        "j": "4096",
        "k": 0.5,
        "l": "1k",
        "m": float("-inf"),
        "n": True,
        "o": 31,
        "p": None,
    }


def test_a_number_too_long_to_convert_stays_a_text():
    assert values("a: " + "9" * 5000) == {"a": "9" * 5000}


def test_every_key_and_value_knows_its_place():
    source, _ = read("a: 1\nb:\n  - {c: x y, d: [1, 22]}  # words\n", "x.yaml")

    def place(found):
        return found.header(), found.text[found.column : found.column + found.width]

    assert place(source.key_place(("b",))) == ("x.yaml:2:1", "b")
    assert place(source.key_place(("b", 0, "d"))) == ("x.yaml:3:14", "d")
    assert place(source.value_place(("b", 0, "c"))) == ("x.yaml:3:9", "x y")
    assert place(source.value_place(("b", 0, "d", 1))) == ("x.yaml:3:21", "22")
    assert place(source.value_place(("b", 0))) == ("x.yaml:3:5", "{c: x y, d: [1, 22]}")


def test_what_is_not_there_has_the_place_of_what_is_nearest():
    source, _ = read("a: {b: 1}", "x.yaml")

    assert source.key_place(("a", "zz")).column == 0
    assert source.value_place(("zz", 3)).header() == "x.yaml:1:1"


def test_a_stretch_of_a_text_is_found_inside_its_quotes():
    source, _ = read("a: 'word'\nb: word", "x.yaml")

    assert source.within(("a",), 2, 2).column == 6
    assert source.within(("b",), 2, 2).column == 5


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_lines_end_as_the_file_ends_them(line_break):
    source, _ = read(line_break.join(["a: 1", "b: 2", "c: 3"]), "x.yaml")

    assert source.key_place(("c",)).header() == "x.yaml:3:1"
    assert source.key_place(("c",)).text == "c: 3"


SAID = {
    "a:\n\tb: 1": """
        error: a tab cannot indent YAML
          x.yaml:2:1
            2 |  b: 1
              | ^ use blanks
        """,
    "b: {./x.py:}": """
        error: './x.py:' is one word here, colon and all
          x.yaml:1:5
            1 | b: {./x.py:}
              |     ^^^^^^^ write {./x.py: }, with a blank after the colon
        """,
    "a: {backend: sdpa[kernel=flash], b: 1}": """
        error: a label with brackets needs quotes here
          x.yaml:1:14
            1 | a: {backend: sdpa[kernel=flash], b: 1}
              |              ^^^^^^^^^^^^^^^^^^ write 'sdpa[kernel=flash]'
        """,
    "a: [sdpa[kernel=flash": """
        error: a label with brackets needs quotes here
          x.yaml:1:5
            1 | a: [sdpa[kernel=flash
              |     ^^^^^^^^^^^^^^^^^ write 'sdpa[kernel=flash'
        """,
    "about: b: c": """
        error: a ':' where no key can stand
          x.yaml:1:9
            1 | about: b: c
              |         ^ quote a text that holds ': ', or mend the indentation
        """,
    "a: 1\nbc\nd: 2": """
        error: a key without its ':'
          x.yaml:2:1
            2 | bc
              | ^ write key: value
        """,
    "a: >=64k": """
        error: > and | begin a block of text
          x.yaml:1:5
            1 | a: >=64k
              |     ^ put the value in quotes
        """,
    "a: {kv_len: >=64k}": """
        error: this character cannot begin a value
          x.yaml:1:13
            1 | a: {kv_len: >=64k}
              |             ^ put the text in quotes
        """,
    "a: 'b": """
        error: a quote is not closed
          x.yaml:1:6
            1 | a: 'b
              |      ^
        """,
    "a: 1\n---\nb: 2": """
        error: a second document
          x.yaml:2:1
            2 | ---
              | ^ one suite a file: remove the ---
        """,
    "%YAML 9.9\n---\na: 1": """
        error: invalid YAML: found incompatible YAML document (version 1.* is required)
          x.yaml:1:1
            1 | %YAML 9.9
              | ^
        """,
    "a: b\x07c": """
        error: x.yaml is invalid YAML: special characters are not allowed
          x.yaml:1:5
            1 | a: b\x07c
              |     ^
        """,
    "a: &x [1]\nb: *x": """
        error: an anchor or alias has no meaning in a suite
          x.yaml:1:4
            1 | a: &x [1]
              |    ^^^^^^ write the value out
        error: an anchor or alias has no meaning in a suite
          x.yaml:1:4
            1 | a: &x [1]
              |    ^^^^^^ write the value out
        """,
    "a: !!python/object x": """
        error: a tag has no meaning in a suite
          x.yaml:1:4
            1 | a: !!python/object x
              |    ^^^^^^^^^^^^^^^^^ write the plain value
        """,
    "? [a]\n: b": """
        error: a list or map as a key has no meaning in a suite
          x.yaml:1:3
            1 | ? [a]
              |   ^^^ a key is one word
        """,
    "a: {b: 1, b: 2}": """
        error: the key 'b' stands twice in a
          x.yaml:1:11
            1 | a: {b: 1, b: 2}
              |           ^
          x.yaml:1:5
            1 | a: {b: 1, b: 2}
              |     ^ it stands here already
        """,
    "": """
        error: x.yaml is empty
          attnbench init writes one to begin with
        """,
    "- 1": """
        error: x.yaml is no map of keys and values
          attnbench init writes one to begin with
        """,
    "a: " + "[" * 5000: "error: x.yaml is nested too deeply",
}


@pytest.mark.parametrize("text", SAID, ids=lambda text: repr(text[:20]))
def test_what_is_no_suite_is_reported_in_words_of_a_suite(text):
    assert faults_of(text) == textwrap.dedent(SAID[text]).strip("\n")


def test_aliases_that_multiply_are_not_followed():
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]

    assert faults_of("\n".join(lines)).startswith("error: an anchor or alias")


def test_the_first_of_two_equal_keys_stays():
    source, faults = read("a: 1\na: 2", "x.yaml")

    assert source.data == {"a": 1}
    assert len(faults) == 1


@given(st.text())
def test_any_text_is_values_or_a_suite_error(text):
    try:
        source, faults = read(text, "x.yaml")
    except SuiteError:
        return
    for path in (*source.keys, *source.values):
        place = source.value_place(path)
        assert 0 <= place.column <= len(place.text)
    assert all(fault.render() for fault in faults)
