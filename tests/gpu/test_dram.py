"""A profiler that would change the clocks of the card is not started."""

from __future__ import annotations

import dram
import pytest


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("ncu --clock-control none --csv python", True),
        ("ncu --clock-control=none python", True),
        ("ncu --csv python", False),
        ("ncu --clock-control base python", False),
    ],
)
def test_ncu_may_not_touch_the_clocks(command, expected):
    assert dram.leaves_clocks_alone(command) is expected
