"""CSV: every value survives, one a cell."""

from __future__ import annotations

import csv
import io
import json

import pandas as pd

from attnbench.analysis.export.tables import to_csv
from attnbench.store import load
from attnbench.store.columns import COLUMNS


def test_every_value_is_one_cell_that_reads_back(tmp_path, store_row, finished_run):
    reason = 'first, "quoted"\nsecond\r\nµ'
    rows = [
        store_row(0, 0, samples_us=[18.2, 0.1, 1e-7], git_dirty=True, batch=8, noise=0.1),
        store_row(1, None, status="crashed", reason=reason, notes=["NOISY", "REDUCED"], kernels=[]),
    ]
    text = to_csv(load(finished_run(tmp_path / "x.parquet", rows)))

    first, second = csv.DictReader(io.StringIO(text, newline=""))

    assert list(first) == [column.name for column in COLUMNS]
    assert first["samples_us"] == "[18.2,0.1,1e-07]"
    assert json.loads(first["samples_us"]) == [18.2, 0.1, 1e-7]
    assert (first["git_dirty"], first["batch"], first["noise"]) == ("true", "8", "0.1")
    assert (first["process"], second["process"]) == ("0", "")
    assert first["started_at"] == "2026-11-21T07:30:00.250000+00:00"
    assert (first["kernels"], second["kernels"]) == ("", "[]")
    assert json.loads(second["notes"]) == ["NOISY", "REDUCED"]
    assert second["reason"] == reason
    assert second["samples_us"] == ""


def test_pandas_reads_it(tmp_path, store_row, finished_run):
    frame = load(finished_run(tmp_path / "x.parquet", [store_row(case) for case in range(3)]))

    again = pd.read_csv(io.StringIO(to_csv(frame)))

    assert again["latency_us"].tolist() == frame["latency_us"].tolist()
    assert again.shape == frame.shape


def test_no_rows_are_a_header(tmp_path, finished_run):
    frame = load(finished_run(tmp_path / "x.parquet", []))

    assert to_csv(frame).count("\n") == 1
