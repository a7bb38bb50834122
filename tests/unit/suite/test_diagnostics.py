from __future__ import annotations

from attnbench.suite.diagnostics import Diagnostic, Place, rendered

LINE = "  hedas: [32]"
PLACE = Place("suites/x.yaml", 9, 2, 5, LINE)


def test_a_fault_shows_the_line_a_caret_and_what_to_write():
    fault = Diagnostic(
        "unknown key 'hedas' in sweep",
        PLACE,
        "did you mean 'heads'?",
        affects="8 of 24 cases",
        more=("keys allowed here: heads",),
    )

    assert fault.render() == (
        "error: unknown key 'hedas' in sweep\n"
        "  suites/x.yaml:9:3     affects 8 of 24 cases\n"
        "    9 |   hedas: [32]\n"
        "      |   ^^^^^ did you mean 'heads'?\n"
        "  keys allowed here: heads"
    )


def test_a_long_line_is_cut_around_the_caret():
    place = Place("x.yaml", 1, 500, 3, "a" * 500 + "bad" + "c" * 500)
    line, caret = place.picture("")

    assert len(line) <= 110
    assert line[caret.index("^") : caret.rindex("^") + 1] == "bad"


def test_a_caret_stays_within_its_line():
    _, caret = Place("x.yaml", 1, 2, 99, "a: b").picture("")

    assert caret.count("^") == 2


def test_faults_stand_in_the_order_of_the_file_each_once():
    later = Diagnostic("later", Place("x.yaml", 12, 0, 1, "x"))
    typed = Diagnostic("typed", Place("command line", None, 0, 1, "--set x"))
    nowhere = Diagnostic("nowhere", None)
    first = Diagnostic("first", PLACE)

    ordered = rendered([typed, later, first, later, nowhere])

    assert [one.split("\n")[0] for one in ordered] == [
        "error: nowhere",
        "error: first",
        "error: later",
        "error: typed",
    ]
