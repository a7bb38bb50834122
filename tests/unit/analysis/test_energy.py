from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from attnbench.analysis.running_cost import energies
from attnbench.analysis.sides import load_side

SPEC = importlib.util.spec_from_file_location("made_runs", Path(__file__).with_name("made_runs.py"))
made = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made)


def side(folder, *rows):
    return load_side(made.write_run(folder / "run.parquet", list(rows)))


def test_the_counter_is_taken_where_there_is_one(tmp_path):
    rows = [
        made.make_row(0, process, [10.0], energy_j_per_call=0.5 + process, power_w=9e9)
        for process in range(3)
    ]
    (found,) = energies(side(tmp_path, *rows)).values()

    assert (found.joules, found.counted) == (1.5, True)


def test_power_times_latency_stands_in_for_it(tmp_path):
    (found,) = energies(side(tmp_path, made.make_row(0, 0, [20.0], power_w=500.0))).values()

    assert found.joules == pytest.approx(500.0 * 20e-6)
    assert not found.counted


def test_a_case_that_is_not_ok_or_tells_nothing_has_none(tmp_path):
    rows = [made.make_row(0, 0, [20.0]), made.make_row(1, 0, status="oom", power_w=500.0)]

    assert energies(side(tmp_path, *rows)) == {}
