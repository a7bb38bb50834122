"""Several runs on one page: every verdict is that of ``compare``, and devices get ratios alone."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from attnbench.analysis.compare import compare
from attnbench.errors import InputError, NothingSelected
from attnbench.report import report
from attnbench.report.comparisons import comparisons
from attnbench.report.figures import drawn_section
from attnbench.report.figures.changes import distinct_words
from attnbench.report.page import make_report_data
from attnbench.report.points import gather
from attnbench.report.svg import figure_style
from attnbench.store import load, result_files

SMALL = {"lengths": 2, "batches": (1, 8), "heads": (8,), "processes": 5}


class Text(HTMLParser):
    """The words of a page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.words = []
        self.feed(text)

    def handle_data(self, data):
        self.words.append(data)


def page(made, paths, **options):
    written = report(paths, made.folder / "x.html", **options)
    return written.path.read_text(encoding="utf-8")


def section(paths, **options):
    """The words of the figures that compare, without the rest of the page."""
    frame = load(paths)
    found = comparisons(result_files(paths), devices=frame["device_id"].nunique(), **options)
    data = make_report_data(gather(frame), {}, comparisons=found)
    with figure_style():
        figures = drawn_section("compared", data)
    words = [found.lines]
    for one in figures:
        words += [(one.title, one.how, *one.remarks), *one.table.rows]
        words += [(panel.title, *Text(str(panel.svg)).words) for panel in one.panels]
    return " ".join(" ".join(map(" ".join, words)).split())


def slower(row):
    return 1.2 if row["backend"] == "sdpa" and row["kv_len"] == 2048 else 1.0


@pytest.fixture
def two(made):
    rows = list(made.sweep(("sdpa", "naive"), **SMALL))
    new = list(made.again(rows, slower, run_id="n", run_name="pr-412"))
    lost = next(row["case_id"] for row in new if row["phase"] == "prefill")
    new = [row for row in new if row["case_id"] != lost]
    who = made.identity(run_id="n", run_name="pr-412")
    problem = made.prefill(256)
    new.append(made.other_row(problem, "naive", "oom", "no room", who=who))
    new = [r for r in new if not (r["status"] == "ok" and r["case_id"] == new[-1]["case_id"])]
    return made.run(rows), made.run(new)


def test_the_page_counts_and_draws_what_compare_found(made, two):
    (pair,) = compare(*two)
    text = page(made, two)
    words = " ".join("".join(Text(text).words).split())

    assert f"pr-412 against made-h200: {pair.verdicts['slower']} slower" in words
    assert "1 newly oom" in words
    assert pair.verdicts["slower"] == 2
    assert 'id="compared"' in text
    assert "Which cases changed, and by how much?" in words
    for one in pair.comparisons:
        if one.verdict == "slower":
            assert f"{100 * one.change:+.1f} % slower" in words
            assert one.label in words


def test_one_run_is_compared_with_nothing(two):
    assert comparisons(two[:1]).pairs == ()


def test_another_device_has_ratios_beside_the_ceilings_and_no_verdict(made):
    rows = list(made.sweep(("sdpa", "naive"), **SMALL))
    other = list(made.again(rows, lambda _: 1.5, **made.other_device))
    words = section([made.run(other), made.run(rows)])

    assert "How does the other device compare?" in words
    assert "Measured ceilings of NVIDIA H200 over Made-up GPU: bandwidth 1.50x" in words
    assert "1.50x" in words
    assert "do not report power" in words
    for verdict in ("slower", "unclear"):
        assert verdict not in words


def test_work_per_joule_is_reported_where_both_sides_know_their_power(made):
    rows = [
        {**row, "power_w": 600.0 if row["status"] == "ok" else None}
        for row in made.sweep(("sdpa",), **SMALL)
    ]
    changes = {**made.other_device, "power_w": 300.0}
    words = section([made.run(made.again(rows, lambda _: 1.5, **changes)), made.run(rows)])

    assert "decode, work per joule" in words
    assert "0.75x" in words  # half the energy a second, 1.5 times the seconds


def test_work_per_dollar_stands_beside_the_speed_up_at_prices_that_were_given(made):
    rows = list(made.sweep(("sdpa",), **SMALL))
    paths = [made.run(made.again(rows, lambda _: 1.5, **made.other_device)), made.run(rows)]
    prices = {"Made-up GPU": 2.0, "NVIDIA H200": 4.0}
    words = section(paths, prices=prices)

    assert "decode, work per dollar" in words
    assert "0.75x" in words  # 1.5 times as fast at twice the price
    assert "1.50x as fast and 0.75x the work per dollar over" in words
    assert "per hour and device: Made-up GPU $2.00, NVIDIA H200 $4.00" in words
    assert "bandwidth 0.75x" in words  # the ceiling by the dollar
    assert "work per dollar" not in section(paths)


def test_a_device_without_a_price_is_named_and_draws_no_panel(made):
    rows = list(made.sweep(("sdpa",), **SMALL))
    paths = [made.run(made.again(rows, lambda _: 1.5, **made.other_device)), made.run(rows)]
    words = section(paths, prices={"NVIDIA H200": 4.0})

    assert "No price was given for Made-up GPU, so its work per dollar is unknown" in words
    assert "decode, work per dollar" not in words


def test_prices_for_one_kind_of_device_are_said_to_be_of_no_use(made, two):
    written = report(two, made.folder / "x.html", prices={"H200": 3.8})

    assert any("prices were given, but no two devices" in line for line in written.refused)
    assert "prices were given, but no two devices" in written.path.read_text(encoding="utf-8")


def test_a_price_of_a_device_that_is_not_there_is_an_error(made, two):
    with pytest.raises(InputError, match="no device of these runs is called 'B200'"):
        report(two, made.folder / "x.html", prices={"B200": 3.8})


def test_many_runs_of_one_device_are_a_line_over_time(made):
    rows = list(made.sweep(("sdpa",), **SMALL))
    paths = [made.run(rows)]
    for day in (1, 2):
        facts = {"run_id": f"d{day}", "run_name": f"day-{day}", "git_commit": f"{day}" * 40}
        paths.append(made.run(made.again(rows, lambda _, day=day: 1 + 0.05 * day, **facts)))
    words = section(paths)

    assert "How did latency change over time?" in words
    assert "+5.00 %" in words
    assert "+10.00 %" in words
    assert "2222222" in words


def test_a_merged_file_of_two_devices_is_compared_with_itself(made):
    rows = list(made.sweep(("sdpa",), **SMALL))
    both = [*rows, *made.again(rows, lambda _: 2.0, **made.other_device)]

    assert "How does the other device compare?" in section([made.run(both)])


def test_backends_are_compared_where_that_is_asked_for(made):
    path = made.run(made.sweep(("sdpa", "naive"), **SMALL))

    assert "naive against sdpa: " in section([path], by="backend", against="sdpa")


def test_what_cannot_be_compared_is_said(made):
    rows = list(made.sweep(("sdpa",), **SMALL))
    warm = list(made.again(rows, lambda _: 1.0, run_id="w", run_name="warm", method_id="w"))
    warm = [{**row, "l2": "warm"} for row in warm]
    found = comparisons([made.run(rows), made.run(warm)])

    assert found.pairs == ()
    assert "were timed by different methods" in found.refused[0]


def test_a_wrong_way_to_compare_is_an_error(two):
    with pytest.raises(NothingSelected, match="only one gpu"):
        comparisons(two, by="gpu")
    with pytest.raises(InputError, match="no column 'gpus'"):
        comparisons(two, by="gpus")


def test_hostile_names_of_runs_are_text(made):
    name = '"><img src=x onerror=alert(1)></script>'
    rows = list(made.sweep(("sdpa",), **SMALL))
    facts = {"run_id": "n", "run_name": name, "git_commit": name}
    paths = [made.run(rows), made.run(made.again(rows, lambda _: 1.3, **facts))]
    paths.append(made.run(made.again(rows, lambda _: 1.4, **{**facts, "run_id": "m"})))
    text = page(made, paths)

    assert "<img" not in text
    assert len(re.findall("<script", text)) == 1
    assert "&lt;img" in text


def test_a_forest_is_as_narrow_as_a_phone_where_its_names_allow_that(made):
    widths = []
    for name in ("naive", "注" * 20):
        base = list(made.sweep(("sdpa", name), **SMALL))
        facts = {"run_id": "n", "run_name": "new"}
        found = comparisons([made.run(base), made.run(made.again(base, lambda _: 1.3, **facts))])
        data = make_report_data(gather(load(made.run(base))), {}, comparisons=found)
        with figure_style():
            figures = drawn_section("compared", data)
        svg = next(one for one in figures if one.name == "forest").panels[0].svg
        widths.append(int(re.search(r'viewBox="0 0 (\d+)', str(svg))[1]))

    assert widths[0] <= 400
    assert widths[1] > 500  # a wide letter takes the space of two


def test_a_name_that_turns_the_direction_of_writing_turns_nothing(made):
    name = "pr\u202e-412"
    rows = list(made.sweep(("sdpa",), **SMALL))
    other = made.again(rows, lambda _: 1.3, run_id="n", run_name=name, git_commit=name)
    text = page(made, [made.run(rows), made.run(other)])

    assert "pr�-412" in text
    assert "\u202e" not in text
    assert '"pr\\u202e-412"' in "".join(Text(text).words)  # in JSON it is what it was


def test_words_that_all_labels_share_are_left_out():
    assert distinct_words(["decode q1s1k bf16 · a", "decode q1s2k bf16 · a"]) == ["q1s1k", "q1s2k"]
    assert distinct_words(["one two", "one"]) == ["one two", "one"]
    assert distinct_words(["alone"]) == ["alone"]
