"""Reading sides: what is read of very large files, and that it makes no difference."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from attnbench.analysis import sides
from attnbench.analysis.compare import compare
from attnbench.analysis.gate import gate
from attnbench.analysis.sides import NEEDED, load_side, load_sides
from attnbench.store.columns import BY_NAME

SPEC = importlib.util.spec_from_file_location("made_runs", Path(__file__).with_name("made_runs.py"))
made = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made)

SUITE = (
    "suite: made\nproblem: {q_len: 1, q_heads: 1, head_dim: 8, dtype: bf16}\nbackends: {sdpa: }\n"
    "gate: {max_slowdown: 5%, limits: [{where: kv_len=16k, max_slowdown: 40%}]}\n"
)


@pytest.fixture
def runs(tmp_path):
    slower = {"seed": 2, "run_id": "n", "slowdowns": {3: 0.3, 4: 0.3}, "triton_version": "3.9.0"}
    return [
        made.write_run(tmp_path / f"{name}.parquet", made.make_rows(**changes), suite_text=SUITE)
        for name, changes in (("base", {"run_id": "b"}), ("new", slower))
    ]


@pytest.fixture
def lean(monkeypatch):
    """Take every file for a very large one."""
    monkeypatch.setattr(sides, "LEAN_ROWS", 10)


def test_columns_that_are_needed_exist():
    assert set(NEEDED) <= set(BY_NAME)


@pytest.mark.usefixtures("lean")
def test_of_many_rows_only_what_is_needed_is_read(runs):
    (side,) = load_sides(runs[:1], filter="kv_len>=4k or backend=sdpa", columns=("batch",))

    assert set(side.table.column_names) == {*NEEDED, "kv_len", "batch"}
    assert side.log == pytest.approx(load_side(runs[0]).log)


def test_of_few_rows_everything_is_read(runs):
    (side,) = load_sides(runs[:1], columns=())

    assert set(side.table.column_names) == {*BY_NAME} - {"samples_us"}


@pytest.mark.parametrize("filter_text", [None, "kv_len>=4k", "decode batch=2"])
def test_what_is_left_out_changes_no_comparison(monkeypatch, runs, filter_text):
    def reported():
        (found,) = compare(*runs, filter=filter_text, fields=("kv_len",))
        cases = [(one.key, one.verdict, one.low, one.facts["kv_len"]) for one in found.comparisons]
        return cases, found.differing, found.ceilings, found.mean, found.kernels_changed

    whole = reported()
    monkeypatch.setattr(sides, "LEAN_ROWS", 10)

    assert reported() == whole


def test_what_is_left_out_changes_no_ruling(monkeypatch, runs):
    def reported():
        ruling = gate(runs[1], runs[:1])
        return [(one.ruling, one.why, one.case.limit, one.case.key) for one in ruling.judged]

    whole = reported()
    monkeypatch.setattr(sides, "LEAN_ROWS", 10)

    assert reported() == whole
    assert {limit for _, _, limit, _ in whole} == {0.05, 0.4}
