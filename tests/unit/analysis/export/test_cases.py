"""The cases that another tool can take: names that tell them apart, and one latency each."""

from __future__ import annotations

import pytest

from attnbench.analysis.export.cases import left_out, ok_cases
from attnbench.store import load


def cases_of(path, rows, write):
    return ok_cases(load(write(path / "x.parquet", rows)))


def test_a_latency_is_the_geometric_mean_over_processes(tmp_path, store_row, finished_run):
    latencies = enumerate([10.0, 40.0, 20.0])
    rows = [store_row(0, process, latency_us=latency) for process, latency in latencies]

    (case,) = cases_of(tmp_path, rows, finished_run)

    assert case.latency == pytest.approx(20e-6)
    assert (case.low, case.high) == pytest.approx((10e-6, 40e-6))
    assert len(case.rows) == 3
    assert case.samples()[2] == pytest.approx([18.5e-6, 18.2e-6, 18.1e-6])


def test_a_single_process_has_its_own_interval_or_none(tmp_path, store_row, finished_run):
    rows = [store_row(0), store_row(1, latency_low_us=18.0, latency_high_us=18.4)]

    bare, known = cases_of(tmp_path, rows, finished_run)

    assert (bare.low, bare.high) == (None, None)
    assert (known.low, known.high) == pytest.approx((18.0e-6, 18.4e-6))


def test_one_case_under_two_methods_has_two_names(tmp_path, store_row, finished_run):
    rows = [
        store_row(0, l2=l2, timer="wall", method_id=f"{number:012x}")
        for number, l2 in enumerate(("warm", "cold"))
    ]

    names = [case.name for case in cases_of(tmp_path, rows, finished_run)]

    assert names == ["decode #0 · naive [wall warm]", "decode #0 · naive [wall cold]"]


def test_two_cases_of_one_label_are_kept_apart_by_their_ids(tmp_path, store_row, finished_run):
    rows = [store_row(0), store_row(1, case_label="decode #0 · naive")]

    names = [case.name for case in cases_of(tmp_path, rows, finished_run)]

    assert len(set(names)) == 2
    assert names[1].endswith("[000000000001]")


def test_several_runs_are_named(tmp_path, store_row, finished_run):
    finished_run(tmp_path / "a.parquet", [store_row(0)])
    other = store_row(0, run_id="r2", run_name="pr", side="new")
    finished_run(tmp_path / "b.parquet", [other])

    names = [case.name for case in ok_cases(load(tmp_path))]

    assert names == ["decode-cpu · decode #0 · naive", "pr new · decode #0 · naive"]


def test_nothing_left_out_is_nothing_said(tmp_path, store_row, finished_run):
    assert left_out(load(finished_run(tmp_path / "x.parquet", [store_row()]))) == ""
