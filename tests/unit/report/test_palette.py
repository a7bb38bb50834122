"""Colours that stay apart, for every reader, on white and on dark."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from attnbench.report import palette

# Machado, Oliveira and Fernandes 2009, severity 1.
SIMULATED = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
grounds = pytest.mark.parametrize("column", [0, 1], ids=["on white", "on dark"])


def oklab(colour, matrix):
    shares = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return TO_OKLAB @ np.cbrt(TO_CONES @ np.clip(np.array(matrix) @ linear, 0, 1)) * 100


@grounds
@pytest.mark.parametrize("matrix", SIMULATED.values(), ids=SIMULATED)
def test_any_two_backends_can_be_distinguished(column, matrix):
    seen = [oklab(pair[column], matrix) for pair in palette.BACKENDS]

    # petroff10 itself comes to 6 here; the smallest difference that a legend can show is about 5.
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 10


@grounds
def test_lines_stand_out_from_the_ground_and_text_on_cells_can_be_read(column):
    ground = palette.NEUTRAL["ground"][column]
    for pair in palette.BACKENDS:
        colour = pair[column]
        assert palette.contrast(colour, ground) >= 2.95
        assert palette.contrast(palette.readable_on(colour), colour) >= 4.5


@grounds
def test_text_on_the_diverging_scale_can_be_read(column):
    for step, pair in enumerate(palette.DIVERGING):
        name = "on" if palette.step_text(step) == palette.ON else "fg"
        assert palette.contrast(palette.NEUTRAL[name][column], pair[column]) >= 4.5, step


@grounds
def test_prose_can_be_read(column):
    ground = palette.NEUTRAL["ground"][column]
    assert palette.contrast(palette.NEUTRAL["fg"][column], ground) >= 7
    assert palette.contrast(palette.NEUTRAL["muted"][column], ground) >= 4.5


def test_a_backend_has_the_same_colour_beside_any_other():
    single = palette.styles(["triton_decode"])["triton_decode"]
    among = palette.styles(["triton_decode", "naive"])["triton_decode"]

    assert single.variable == among.variable


def test_no_two_of_eight_share_a_colour_a_marker_or_letters():
    styles = palette.styles([f"backend{n}" for n in range(8)]).values()

    for name in ("variable", "marker", "code"):
        assert len({getattr(one, name) for one in styles}) == 8


def test_beyond_eight_the_rest_is_grey_and_the_letters_stay_apart():
    styles = palette.styles([f"backend{n}" for n in range(40)])

    assert sum(one.is_grey for one in styles.values()) == 32
    assert len({one.code for one in styles.values()}) == 40


def test_a_chosen_place_is_kept_and_the_others_make_room():
    styles = palette.styles(["naive", "sdpa"], {"sdpa": 3})

    assert styles["sdpa"].variable == "b2"
    assert styles["naive"].variable != "b2"


def test_letters_come_from_the_words_of_a_name():
    styles = palette.styles(["naive", "triton_flash", "triton_decode", "§§"])

    assert [one.code for one in styles.values()] == ["N", "T", "TD", "?"]
