"""A profiler that would change the clocks of the card is not started."""

from __future__ import annotations

import subprocess

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

    assert len(load_suite(suite, filter=select).cases) == 1


@pytest.mark.parametrize("more", [[], ["--tests", "profile.xml"]])
@pytest.mark.parametrize(("option", "runs"), [("--clock-control none", True), ("", False)])
def test_nothing_is_profiled_where_the_clocks_would_move(tmp_path, monkeypatch, more, option, runs):
    profiled, tested = [], []

    def attnbench(*words):
        if "--show-command" not in words:
            profiled.append(words)
        return subprocess.CompletedProcess(words, 0, stdout=f"ncu {option} python", stderr="")

    def run(command, **_):
        tested.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(dram, "_attnbench", attnbench)
    monkeypatch.setattr(dram.subprocess, "run", run)

    assert dram.main([str(tmp_path / "out"), *more]) == (0 if runs else 1)
    assert bool(profiled) is (runs and not more)
    assert bool(tested) is (runs and bool(more))
