"""Files that passed through another program are read as what they are."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from attnbench.errors import ResultFileError
from attnbench.store import load, read
from attnbench.store.columns import SCHEMA_VERSION, arrow_schema
from attnbench.store.parquet import conformed, read_footer


def mixed_rows(store_row):
    return [
        store_row(0, 0, batch=8, notes=["NOISY"], kernels=["a"], git_dirty=True),
        store_row(1, None, status="skipped"),
    ]


@pytest.mark.parametrize("how", [pd.read_parquet, load])
def test_a_round_trip_through_pandas_keeps_every_value(tmp_path, store_row, finished_run, how):
    out = finished_run(tmp_path / "x.parquet", mixed_rows(store_row))
    before = read(out).table
    how(out).assign(price=1.0).to_parquet(tmp_path / "y.parquet")
    after = read(tmp_path / "y.parquet")

    assert after.table.equals(before)
    assert after.metadata == {}


def test_the_wide_types_of_other_programs_are_narrowed(tmp_path, store_row, finished_run):
    out = finished_run(tmp_path / "x.parquet", mixed_rows(store_row))
    before = read(out).table
    wide = {
        pa.string(): pa.large_string(),
        pa.int64(): pa.float64(),
        arrow_schema().field("notes").type: pa.large_list(pa.large_string()),
        arrow_schema().field("samples_us").type: pa.large_list(pa.float64()),
    }
    schema = pa.schema(
        [field.with_type(wide.get(field.type, field.type)) for field in before.schema]
    )
    pq.write_table(before.cast(schema), tmp_path / "y.parquet")

    assert read(tmp_path / "y.parquet").table.equals(before)


def test_a_column_that_is_missing_is_null(tmp_path, store_row, finished_run):
    out = finished_run(tmp_path / "x.parquet", mixed_rows(store_row))
    kept = ["schema_version", "run_id", "case_id", "status"]
    pq.write_table(pq.read_table(out, columns=kept), tmp_path / "y.parquet")

    frame = load(tmp_path / "y.parquet")

    assert frame["latency_us"].isna().all()
    assert frame["status"].tolist() == ["ok", "skipped"]


def test_a_column_of_a_wrong_type_is_named(tmp_path, store_row, finished_run):
    out = finished_run(tmp_path / "x.parquet", mixed_rows(store_row))
    frame = pd.read_parquet(out)
    frame["batch"] = ["eight", "nine"]
    frame.to_parquet(out)

    with pytest.raises(ResultFileError) as caught:
        load(out)

    assert str(caught.value).startswith(f"{out}: column batch is ")
    assert "not int64\n  another program wrote this file" in str(caught.value)


def test_without_rows_the_footer_says_the_version(tmp_path, finished_run):
    out = finished_run(tmp_path / "x.parquet", [])

    assert (read_footer(out).schema_version, read_footer(out).rows) == (SCHEMA_VERSION, 0)
    assert len(load(out)) == 0


def test_what_is_read_carries_our_schema_version(tmp_path):
    table = pa.table({"schema_version": [0], "run_id": ["r"], "case_id": ["c"], "status": ["ok"]})

    assert conformed(table, 0, tmp_path)["schema_version"].to_pylist() == [SCHEMA_VERSION]
