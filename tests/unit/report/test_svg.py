"""Drawings as SVG that may stand in a page."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree as ET

import pytest

from attnbench.report import palette, svg
from attnbench.report.figures import grids


def draw(name="one", text="title", colour=palette.FG):
    with svg.figure_style():
        figure, axes = svg.new_panel(300, 200)
        axes.plot([1, 2, 4], [1, 2, 3], marker="o", color=colour)
        axes.set_xlabel(text)
        return str(svg.render(figure, name, text, "about"))


def test_a_drawing_is_the_same_every_time():
    assert draw() == draw()


def test_a_drawing_names_itself_for_those_who_cannot_see_it():
    root = ET.fromstring(draw())  # noqa: S314  our own text

    assert root.get("role") == "img"
    assert [child.tag for child in root[:2]] == ["title", "desc"]
    ids = {element.get("id") for element in root.iter()}
    assert set(root.get("aria-labelledby").split()) <= ids


def test_ids_and_what_refers_to_them_are_the_drawings_own():
    root = ET.fromstring(draw("panel7"))  # noqa: S314  our own text
    ids = {element.get("id") for element in root.iter()} - {None}
    text = ET.tostring(root, encoding="unicode")
    referred = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text))

    assert all(one.startswith("panel7-") for one in ids)
    assert {a or b for a, b in referred} <= ids
    assert referred


def test_colours_become_variables_and_no_address_stays():
    drawn = draw(colour=palette.step_colour(3))

    assert "var(--d3)" in drawn
    assert "#0303" not in drawn
    assert "#0101" not in drawn
    assert "http" not in drawn


@pytest.mark.parametrize(
    "text",
    ["$\\frac{1}{0}$", "<script>alert(1)</script>", "a & b", "]]>", "--><b>", "日本語", "#010101"],
)
def test_a_name_is_drawn_as_it_stands(text):
    root = ET.fromstring(draw(text=text))  # noqa: S314  our own text

    drawn = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert text in drawn


def test_a_long_name_keeps_both_ends():
    shown = svg.literal("triton_flash[block_m=128,block_n=64,num_stages=3]", 24)

    assert len(shown) == 24
    assert shown.startswith("triton_flash")
    assert shown.endswith("_stages=3]")


def test_control_characters_are_not_drawn():
    assert svg.literal("a\x1b[31mb\x00") == "a�[31mb�"


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1024, 131072, [1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072][:8:2]),
        (1024, 4096, [1024, 2048, 4096]),
        (1000, 1000, [1024]),
        (77, 90, [64]),
    ],
)
def test_ticks_of_lengths_are_powers_of_two(low, high, ticks):
    assert svg.powers_of_two(low, high, 7) == ticks


def test_a_grid_writes_its_cells_and_hatches_the_undecided():
    cells = {
        ("1", "1k"): grids.GridCell(palette.step_colour(7), "2.00", palette.ON),
        ("8", "1k"): grids.GridCell(palette.BLANK, "A=B", is_hatched=True),
    }
    with svg.figure_style():
        drawn = grids.grid_svg(grids.Grid(["1", "8"], ["1k", "2k"], cells, "b", "t"), "g", "t", "a")

    assert ">2.00<" in drawn
    assert ">A=B<" in drawn
    assert "<pattern" in drawn


def test_a_mark_that_turns_the_direction_of_writing_is_seen_and_in_json_kept():
    assert svg.visible("a\u202eb\u2066c") == "a�b�c"
    assert svg.visible("plain, naïve, 注意, انتباه") == "plain, naïve, 注意, انتباه"
    assert json.loads(svg.escaped('"a\u202eb"')) == "a\u202eb"
    assert svg.escaped('"a\u202eb"').isascii()
