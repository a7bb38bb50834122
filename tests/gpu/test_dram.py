"""A profiler that would change the clocks of the card is not started."""

from __future__ import annotations

import dram
import pytest

from attnbench.api import load_suite


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


@pytest.mark.parametrize("case", [*dram.CASES, *dram.REHEARSED], ids=lambda case: case[0])
def test_a_filter_leaves_one_case(case):
    _, suite, select = case

    assert len(load_suite(suite, select=select).cases) == 1
