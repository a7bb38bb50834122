"""What the journal takes for a row."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from attnbench.store.columns import COLUMNS, SCHEMA_VERSION
from attnbench.store.rows import RowKey, checked, encoded, row_key, standing, to_table


def test_nulls_are_left_out_and_what_is_never_null_is_filled_in(store_row):
    plain = checked(store_row(reason=None, notes=None, side=None))

    assert "reason" not in plain
    assert (plain["schema_version"], plain["backend_options"], plain["notes"]) == (
        SCHEMA_VERSION,
        "{}",
        [],
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latencyus": 1.0}, "no such column: latencyus"),
        ({"latency_us": float("nan")}, "latency_us is float64, got nan: not finite"),
        ({"noise": float("inf")}, "noise is float64, got inf: not finite"),
        ({"samples_us": [1.0, float("nan")]}, "samples_us is list<float32>"),
        ({"latency_us": "18"}, "latency_us is float64, got '18': not a number"),
        ({"batch": 1.5}, "batch is int64, got 1.5"),
        ({"batch": True}, "batch is int64, got True: not a whole number"),
        ({"git_dirty": 1}, "git_dirty is bool, got 1: not true or false"),
        ({"backend": 7}, "backend is string, got 7: not a text"),
        ({"kernels": "flash"}, "kernels is list<string>, got 'flash': not a list"),
        ({"started_at": datetime(2026, 11, 21)}, "not a moment with a time zone"),  # noqa: DTZ001
        ({"started_at": "yesterday"}, "started_at is timestamp"),
        ({"status": "fine"}, "status is one of ok, skipped"),
        ({"notes": ["LOUD"]}, "notes is one of NOISY"),
        ({"timer": "sundial"}, "timer is one of wall"),
        ({"case_id": None}, "a row needs case_id"),
        ({"batch": 2**63}, "batch does not fit 64 bits: 9223372036854775808"),
    ],
)
def test_a_wrong_row_is_refused_with_its_column(store_row, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        checked(store_row(**changes))


def test_a_cost_past_64_bits_is_unknown_and_no_error(store_row):
    row = checked(store_row(status="skipped", process=None, pairs=2**70, flops=2**70))

    assert "pairs" not in row
    assert row["flops"] == float(2**70)


@pytest.mark.parametrize(
    "moment",
    [
        1_795_246_200.25,
        datetime(2026, 11, 21, 7, 30, 0, 250_000, tzinfo=UTC),
        datetime(2026, 11, 21, 8, 30, 0, 250_000, tzinfo=timezone(timedelta(hours=1))),
        "2026-11-21T07:30:00.25Z",
    ],
)
def test_moments_become_utc_text(store_row, moment):
    assert checked(store_row(started_at=moment))["started_at"] == "2026-11-21T07:30:00.250000+00:00"


def test_numpy_scalars_and_tuples_are_taken(store_row):
    row = store_row(batch=np.int64(8), latency_us=np.float32(0.5), samples_us=(1, np.float64(2)))

    plain = json.loads(encoded(row))

    assert (plain["batch"], plain["latency_us"], plain["samples_us"]) == (8, 0.5, [1.0, 2.0])


def test_a_line_is_one_line_whatever_a_reason_holds(store_row):
    reason = "first\nsecond\r\u2028 half a character: \udc80 and µ"

    line = encoded(store_row(status="crashed", reason=reason))

    assert line.count(b"\n") == 1
    assert json.loads(line)["reason"] == reason.replace("\udc80", "\\udc80")


def test_a_table_has_every_column_and_the_values(store_row):
    table = to_table([json.loads(encoded(store_row(batch=3))), json.loads(encoded(store_row(1)))])

    assert table.column_names == [column.name for column in COLUMNS]
    assert table["batch"].to_pylist() == [3, None]
    assert table["started_at"][0].as_py() == datetime(2026, 11, 21, 7, 30, 0, 250_000, tzinfo=UTC)


def test_the_key_of_a_row(store_row):
    assert row_key(store_row(2, None)) == RowKey("000000000002", "fedcba987654", None)


def test_of_one_key_the_last_row_stands(store_row):
    rows = [store_row(0, 0), store_row(1, 0), store_row(0, 0), store_row(0, 1)]

    assert standing(rows) == [1, 2, 3]


def test_a_measured_row_replaces_what_the_plan_said(store_row):
    rows = [
        store_row(0, None, status="not_run"),
        store_row(1, None, status="not_run"),
        store_row(2, None, status="not_run", method_id=None),
        store_row(0, 0),
        store_row(2, 0),
    ]

    assert standing(rows) == [1, 3, 4]


def test_a_plan_row_does_not_replace_a_measured_one(store_row):
    assert standing([store_row(0, 0), store_row(0, None, status="skipped")]) == [0, 1]
