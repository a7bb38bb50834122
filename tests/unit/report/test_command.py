"""The verb: where the file goes, what is said, what is refused."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from attnbench.cli.report import command


@pytest.fixture
def call(tmp_path, monkeypatch, made):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    made.run(made.sweep(lengths=2, batches=(1,), heads=(8,))).rename("results/tour.parquet")

    def run(*words):
        return CliRunner().invoke(command, words, standalone_mode=False)

    return run


def test_a_run_is_found_by_name_and_its_report_goes_to_reports(call, tmp_path):
    result = call("tour")

    assert result.return_value == 0
    assert result.stdout.startswith("In decode ")
    assert "wrote reports/tour.html: 12 cases" in result.stderr
    assert (tmp_path / "reports" / "tour.html").stat().st_size > 10_000


def test_without_a_name_the_newest_run_is_reported(call, tmp_path):
    call("-o", "x/y.html", "--title", "A title of one's own")

    assert "A title of one&#39;s own" in (tmp_path / "x" / "y.html").read_text(encoding="utf-8")


def test_a_filter_leaves_fewer_cases(call):
    assert "6 cases" in call("tour", "-k", "phase=decode").stderr


def test_a_colour_is_a_label_and_a_place(call, tmp_path):
    call("tour", "--colour", "sdpa=4", "-o", "x.html")

    assert "var(--b3)" in (tmp_path / "x.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["sdpa", "sdpa=", "sdpa=11", "=3", "sdpa=red"])
def test_a_colour_that_is_none_is_refused(call, text):
    result = call("tour", "--colour", text)

    assert isinstance(result.exception, click.UsageError)
    assert "LABEL=1 to LABEL=10" in str(result.exception)


def test_a_figure_alone_is_an_image_in_either_mode(call, tmp_path):
    call("tour", "--figure", "crossover")
    call("tour", "--figure", "crossover", "--dark", "-o", "dark.svg")

    light = (tmp_path / "reports" / "tour-crossover.svg").read_text(encoding="utf-8")
    assert light.startswith("<svg ")
    assert light != (tmp_path / "dark.svg").read_text(encoding="utf-8")


def test_dark_is_for_a_figure(call):
    assert "--dark requires --figure" in str(call("tour", "--dark").exception)


def test_prices_go_from_the_command_line_to_the_page_and_to_the_figure(call, made, tmp_path):
    rows = list(made.sweep(lengths=2, batches=(1,), heads=(8,)))
    other = made.again(rows, lambda _: 1.5, **made.other_device)
    made.run(other).rename("results/other.parquet")
    words = ("other", "tour", "--price", "h200=4", "--price", "Made-up GPU=2", "-k", "decode")

    assert "0.75x the work per dollar" in call(*words).stdout
    call(*words, "--figure", "devices", "-o", "devices.svg")
    assert "work per dollar" in (tmp_path / "devices.svg").read_text(encoding="utf-8")


def test_runs_without_a_common_case_say_so_beside_the_verdict(call, made):
    who = made.identity(run_id="z", run_name="other")
    made.run(made.ok_rows(made.prefill(4096), "sdpa", who=who)).rename("results/other.parquet")

    assert "have no case in common" in call("tour", "other").stderr


def test_of_two_runs_the_comparison_is_said(call, made):
    rows = list(made.sweep(lengths=2, batches=(1,), heads=(8,)))
    facts = {"run_id": "n", "run_name": "pr"}
    made.run(made.again(rows, lambda _: 1.3, **facts)).rename("results/pr.parquet")

    assert "pr against made-h200: " in call("tour", "pr", "-k", "decode").stdout
