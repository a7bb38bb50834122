"""A figure as a file of its own: well formed, with its colours written out, and harmless."""

from __future__ import annotations

import re
from xml.dom import minidom

import pytest

from attnbench.errors import NothingSelected, OptionError
from attnbench.report import picture
from attnbench.report.figures import FIGURES
from attnbench.report.page import make_report_data
from attnbench.report.points import gather
from attnbench.store import load

SMALL = {"lengths": 3, "batches": (1, 8), "heads": (8,)}


@pytest.fixture
def path(made):
    return made.run(made.sweep(("sdpa", "naive"), **SMALL))


def svg(path, name="x.svg", **options):
    place = picture(path, path.with_name(name), **{"figure": "crossover", **options})
    return place.read_text(encoding="utf-8")


def test_it_is_one_well_formed_image_that_says_where_it_comes_from(path):
    text = svg(path)
    root = minidom.parseString(text).documentElement  # noqa: S318  our own text

    assert root.tagName == "svg"
    assert "var(" not in text
    assert "made on NVIDIA H200, 2026-11-18" in text
    assert not re.search(r'(?:href|src)="(?!#)', text)


def test_light_and_dark_differ_in_colours_alone(path):
    light, dark = svg(path), svg(path, mode="dark")

    assert light != dark
    assert re.sub("#[0-9a-f]{6}", "#", light) == re.sub("#[0-9a-f]{6}", "#", dark)


def test_every_figure_has_the_name_that_it_is_asked_for(path):
    data = make_report_data(gather(load(path)), {})

    assert {name for name, draw in FIGURES.items() if _named(draw, data) != name} == set()


def _named(draw, data):
    from attnbench.report.svg import figure_style

    with figure_style():
        return draw(data).name


def test_hostile_names_stay_text(made):
    name = '"/><script>alert(1)</script>&'
    rows = [
        row
        for label, us in ((name, 10.0), ("sdpa", 20.0))
        for row in made.ok_rows(made.decode(), label, latency_us=us)
    ]
    text = svg(made.run(rows))

    assert minidom.parseString(text).getElementsByTagName("script") == []  # noqa: S318  our own
    assert "&lt;script&gt;" in text


def test_what_cannot_be_drawn_says_why(path):
    with pytest.raises(OptionError, match=r"figure is one of crossover, .*; got 'crossovr'"):
        svg(path, figure="crossovr")
    with pytest.raises(OptionError, match="mode is one of light, dark"):
        svg(path, mode="dusk")
    with pytest.raises(NothingSelected, match="no figure 'devices': all runs are on one kind"):
        svg(path, figure="devices")
