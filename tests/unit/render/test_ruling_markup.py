"""A ruling for machines, about names and reasons that nobody would choose."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from attnbench.analysis.gate import gate
from attnbench.render.ruling_markup import (
    COMMENT_BYTES,
    MOST_ANNOTATIONS,
    junit_text,
    markdown,
    marker,
    workflow_commands,
)

SPEC = importlib.util.spec_from_file_location(
    "made_runs", Path(__file__).parents[1] / "analysis/made_runs.py"
)
made = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made)

HOSTILE = "a|b `c` <!-- x --> </details>\n::error::no\x1b[31m\x00 @all %0A µ · sdpa"
REASON = "Segfault <script>alert(1)</script>\n| @team [x](http://y) `z` \x07 *b* ::warning::w"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Two thousand cases of hostile names, all lost for hostile reasons but a few."""
    folder = tmp_path_factory.mktemp("hostile")
    names = {number: f"{HOSTILE} {number}" for number in range(2000)}
    base = [
        made.make_row(number, 0, [20.0] * 9, run_id="b", case_label=name)
        for number, name in names.items()
    ]
    new = [
        made.make_row(
            number,
            None if number % 3 == 0 else 0,
            status="skipped" if number % 3 == 0 else "crashed",
            run_id="n",
            case_label=name,
            reason=REASON,
            suite="evil --> <b>",
        )
        for number, name in names.items()
    ]
    paths = [
        made.write_run(folder / f"{name}.parquet", rows, run_args='{"suite": "suites/ci.yaml"}')
        for name, rows in (("base", base), ("new", new))
    ]
    return gate(paths[1], paths[:1], max_slowdown=0.05)


@pytest.fixture
def small(tmp_path):
    """A ruling with one slower and one missing case."""
    base = made.write_run(tmp_path / "b.parquet", made.make_rows(run_id="b"))
    rows = made.make_rows(seed=2, run_id="n", slowdowns={4: 0.3})
    rows = [row for row in rows if row["problem_id"] != f"{3:012x}"]
    new = made.write_run(tmp_path / "n.parquet", rows)

    def rule(inconclusive):
        return gate(new, [base], max_slowdown=0.05, inconclusive=inconclusive)

    return rule


def test_a_comment_about_hostile_names_stays_small_and_whole(hostile):
    text = markdown(hostile)

    assert len(text.encode()) <= COMMENT_BYTES
    assert text.count("<!--") == 1
    assert text.startswith("<!-- attnbench:evil_b_:h200h200h200 -->\n")
    assert text.splitlines().count("</details>") == text.count("<details>") == 1
    assert "rows did not fit" in text
    for evil in ("<script>", "\x1b", "\x00", "@team"):
        assert evil not in text
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows
    # Every unescaped bar is the edge of a cell: seven cells have eight of them.
    assert {row.replace("\\|", "").count("|") for row in rows} == {8}


def test_a_label_is_code_that_no_backtick_can_end(hostile):
    row = next(line for line in markdown(hostile).splitlines() if line.startswith("| `"))

    assert row.count("`") - row.count("\\`") == 2


def test_a_marker_is_one_line_whatever_the_suite_is_called(hostile):
    assert marker(hostile) == "<!-- attnbench:evil_b_:h200h200h200 -->"


def test_junit_about_hostile_names_is_xml(hostile):
    from junitparser import JUnitXml

    document = JUnitXml.fromstring(junit_text(hostile).encode())

    assert document.tests == 2000
    assert (document.failures, document.skipped) == (1333, 667)


def test_annotations_are_ten_of_a_level_and_say_how_many_more(hostile):
    lines = workflow_commands(hostile)

    errors = [line for line in lines if line.startswith("::error ")]
    warnings = [line for line in lines if line.startswith("::warning ")]
    assert (len(errors), len(warnings), len(lines)) == (
        MOST_ANNOTATIONS,
        MOST_ANNOTATIONS,
        2 * MOST_ANNOTATIONS,
    )
    assert "::1,324 more cases; " in errors[-1]
    for line in lines:
        assert line.isprintable()
        assert line.split(" ", 1)[1].startswith("file=suites/ci.yaml,line=1,title=attnbench%3A ")


def test_annotations_tell_a_slowdown_and_follow_the_policy(small):
    warned, failed, passed = (workflow_commands(small(word)) for word in ("warn", "fail", "pass"))

    assert warned[0].startswith("::error title=attnbench%3A decode 1q1s16k 32/8x128 bf16 · sdpa::")
    assert "slower [" in warned[0]
    assert warned[0].endswith("limit 5%25")
    assert [line.split(" ")[0] for line in warned] == ["::error", "::warning"]
    assert [line.split(" ")[0] for line in failed] == ["::error", "::error"]
    assert [line.split(" ")[0] for line in passed] == ["::error"]


def test_what_a_gate_sees_is_reported_in_words_that_hold_for_several_limits(small):
    from attnbench.render.ruling_text import sensitivity

    ruling = small("warn")
    first, *rest = ruling.judged
    several = replace(ruling, judged=(replace(first, case=replace(first.case, limit=0.4)), *rest))

    assert "in the noisiest (four times in five)" in sensitivity(ruling)
    assert "in the least sensitive (four times in five)" in sensitivity(several)
