"""Prices as they are typed."""

from __future__ import annotations

import pytest

from attnbench.cli import options
from attnbench.errors import OptionError


def test_a_price_is_what_stands_after_the_last_sign_with_or_without_a_dollar():
    typed = ["H200=3.80", " NVIDIA A=B = $2.5"]

    assert options.read_prices(typed) == {"H200": 3.8, "NVIDIA A=B": 2.5}


@pytest.mark.parametrize("text", ["H200", "=3.80", " =3", "H200=", "H200=cheap", "3.80"])
def test_what_is_no_device_with_its_dollars_is_answered_with_an_example(text):
    with pytest.raises(OptionError, match="must be a device and its dollars an hour") as raised:
        options.read_prices([text])

    assert "--price 'H200=3.80'" in raised.value.hint


def test_a_device_that_is_typed_twice_has_no_price():
    with pytest.raises(OptionError, match="--price has 'H200' twice"):
        options.read_prices(["H200=3", "H200=4"])
