"""The committed sample: real rows, enough of them, and a report and pictures made from them."""

from __future__ import annotations

from pathlib import Path
from xml.dom import minidom

import pytest

from attnbench.report.points import gather
from attnbench.report.winners import rankings
from attnbench.store import load

ROOT = Path(__file__).parents[3]
RUN = ROOT / "reports" / "samples" / "cpu.parquet"
PICTURES = [ROOT / "docs" / "images" / f"crossover{one}.svg" for one in ("", "-dark")]


@pytest.fixture(scope="module")
def points():
    return gather(load(RUN))


def test_it_has_thirty_ok_cases_of_both_phases(points):
    ok = [point for point in points if point.latency is not None]

    assert len(ok) >= 30
    assert {point.phase for point in ok} >= {"decode", "prefill"}


def test_two_backends_each_win_somewhere(points):
    winners = {one.winner for one in rankings(points) if one.winner}

    assert winners >= {"naive", "sdpa"}


def test_its_report_is_about_the_same_run(points):
    page = RUN.with_suffix(".html").read_text(encoding="utf-8")

    assert points[0].row["run_id"] in page
    assert points[0].row["suite_sha256"][:12] in page


@pytest.mark.parametrize("path", PICTURES, ids=["light", "dark"])
def test_its_picture_is_an_image_that_says_what_it_was_measured_on(points, path):
    text = path.read_text(encoding="utf-8")

    assert minidom.parseString(text).documentElement.tagName == "svg"  # noqa: S318  our own file
    assert points[0].row["device_name"] in text
    assert "var(" not in text
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert path.relative_to(ROOT).as_posix() in readme
