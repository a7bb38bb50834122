"""What two sides differ in besides their numbers, and how sides are read and put together."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from attnbench.analysis.comparability import ceilings, differences, kinds
from attnbench.analysis.compare import compare
from attnbench.analysis.gate import gate
from attnbench.analysis.sides import load_side
from attnbench.errors import ResultFileError
from attnbench.store import RunWriter, merge_runs

SPEC = importlib.util.spec_from_file_location("made_runs", Path(__file__).with_name("made_runs.py"))
made = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made)


def side(tmp_path, name, **changes):
    rows = made.make_rows(cases=2, run_id=name, **changes)
    return load_side(made.write_run(tmp_path / f"{name}.parquet", rows))


def test_like_runs_differ_in_nothing(tmp_path):
    assert differences(side(tmp_path, "a"), side(tmp_path, "b")) == ()


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"device_id": "x", "power_limit_w": 500.0}, "device", "power limit w 700 -> 500"),
        ({"device_id": "x"}, "device", "device id h200h200h200 -> x"),
        ({"device_uuid": "GPU-2"}, "chip", "device uuid GPU-1 -> GPU-2"),
        ({"triton_version": "3.8.0"}, "software", "triton 3.7.1 -> 3.8.0"),
        ({"host": "other"}, None, None),
        ({"sm_clock_mhz": 1500.0}, None, None),
    ],
)
def test_each_class_of_difference_is_named(tmp_path, changes, kind, text):
    found = differences(side(tmp_path, "a"), side(tmp_path, "b", **changes))

    # What one side does not tell at all is no difference.
    assert [(one.kind, one.text) for one in found] == ([(kind, text)] if kind else [])


@pytest.mark.parametrize(("clock", "named"), [(1980.0, False), (1970.0, False), (1500.0, True)])
def test_clocks_differ_from_two_percent_on(tmp_path, clock, named):
    base, new = side(tmp_path, "a", sm_clock_mhz=1980.0), side(tmp_path, "b", sm_clock_mhz=clock)

    assert (kinds(differences(base, new)) == {"state"}) is named


def test_ceilings_are_those_that_both_sides_measured(tmp_path):
    base = side(tmp_path, "a")
    new = side(tmp_path, "b", peak_bandwidth_gbps=2145.0, peak_tflops=None)

    (found,) = ceilings(base, new)

    assert (found.name, found.ratio) == ("bandwidth", 0.5)


def test_gpus_and_commits_of_several_files_are_sides(tmp_path):
    paths = []
    for number, changes in enumerate(
        [{"git_commit": "aaa"}, {"git_commit": "bbb"}, {"git_commit": "bbb"}]
    ):
        rows = made.make_rows(seed=number, run_id=f"r{number}", **changes)
        paths.append(made.write_run(tmp_path / f"{number}.parquet", rows))

    (found,) = compare(*paths, by="commit")

    assert (found.base.name, found.new.name) == ("aaa", "bbb")
    assert found.comparisons[0].new.processes == 10


def test_a_merged_file_is_as_many_baselines_as_it_has_runs(tmp_path):
    parts = []
    for number in range(5):
        rows = made.make_rows(seed=number, run_id=f"b{number}")
        parts.append(made.write_run(tmp_path / f"b{number}.parquet", rows))
    merge_runs(parts, tmp_path / "all.parquet")
    run = made.write_run(tmp_path / "pr.parquet", made.make_rows(seed=9, run_id="n"))

    merged = gate(run, [tmp_path / "all.parquet"], max_slowdown=0.05)
    apart = gate(run, parts, max_slowdown=0.05)

    assert merged.baselines == apart.baselines == 5
    assert [one.case.high for one in merged.judged] == [one.case.high for one in apart.judged]


def test_a_baseline_without_a_selected_case_is_left_out_and_named(tmp_path):
    small = made.write_run(tmp_path / "small.parquet", made.make_rows(cases=2, run_id="s"))
    whole = made.write_run(tmp_path / "whole.parquet", made.make_rows(seed=2, run_id="w"))
    run = made.write_run(tmp_path / "pr.parquet", made.make_rows(seed=3, run_id="n"))

    found = gate(run, [small, whole], max_slowdown=0.1, filter="kv_len=8k")

    assert found.baselines == 1
    assert found.remarks == ["without a selected case, and left out: small"]


def test_an_unfinished_run_is_said_to_be_one(tmp_path):
    with RunWriter.create(tmp_path / "run.parquet", {"run_id": "r1"}) as writer:
        for row in made.make_rows(cases=1):
            writer.append(row)

    found = load_side(tmp_path / "run.journal")

    assert "may not be whole" in found.remarks[0]


def test_damaged_and_foreign_files_are_errors_of_their_own(tmp_path):
    whole = made.write_run(tmp_path / "whole.parquet", made.make_rows(run_id="w"))
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-100])
    text = tmp_path / "text.parquet"
    text.write_text("a,b\n", encoding="utf-8")

    for path, message in ((cut, "cut short"), (text, "not parquet")):
        with pytest.raises(ResultFileError, match=message):
            gate(whole, [path], max_slowdown=0.1)
