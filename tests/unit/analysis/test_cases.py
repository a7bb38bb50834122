from __future__ import annotations

import pandas as pd
import pytest

from attnbench.analysis.cases import (
    cases_of,
    filtered,
    in_order,
    option_names,
    pivot,
    rank_cases,
    rows_of,
)
from attnbench.errors import NothingSelected
from attnbench.store.columns import COLUMNS


def row(backend="naive", *, kv_len=1024, process=0, latency=100.0, status="ok", **values):
    label = f"{backend}{values.pop('suffix', '')}"
    own = {
        "case_id": f"{backend}{kv_len}",
        "method_id": "m",
        "case_label": f"decode q1s{kv_len} · {label}",
        "backend": backend,
        "backend_label": label,
        "backend_options": "{}",
        "kv_len": kv_len,
        "process": process,
        "latency_us": latency if status == "ok" else None,
        "status": status,
        "reason": None if status == "ok" else "why",
        "notes": [],
        "timer": "wall",
        "l2": "warm",
    }
    return {**dict.fromkeys(column.name for column in COLUMNS), **own, **values}


def frame(*rows):
    return pd.DataFrame(list(rows)).astype({"process": "Int64", "kv_len": "Int64"})


def test_a_case_is_as_bad_as_its_worst_row_and_has_no_latency_then():
    found = cases_of(frame(row(process=0), row(process=1, status="crashed")))

    assert [one.status for one in found] == ["crashed"]
    assert found[0].latency is None
    assert found[0].reason == "why"


def test_cases_come_in_the_order_of_their_numbers():
    found = in_order(cases_of(frame(*(row(kv_len=kv_len) for kv_len in (4096, 512, 1024)))))

    assert [one.rows[0]["kv_len"] for one in found] == [512, 1024, 4096]


def test_what_is_missing_is_none_and_lists_are_lists():
    rows = rows_of(frame(row(process=None, status="skipped")))

    assert rows[0]["process"] is None
    assert rows[0]["started_at"] is None
    assert rows[0]["notes"] == []


def test_two_timers_of_one_case_are_two_lines():
    cases = cases_of(frame(row(), row(method_id="n", timer="graph")))

    assert list(pivot(cases)[1]) == ["decode q1s1024 wall warm", "decode q1s1024 graph warm"]


def test_a_ranking_is_over_what_all_backends_finished():
    cases = cases_of(
        frame(
            row("a", latency=100.0),
            row("b", latency=200.0),
            row("a", kv_len=4096, latency=900.0),
            row("b", kv_len=4096, status="oom"),
        )
    )

    assert [(one.label, one.ratio, one.n) for one in rank_cases(cases)] == [
        ("a", 1.0, 1),
        ("b", pytest.approx(2.0), 1),
    ]


def test_a_filter_may_name_columns_and_options():
    rows = frame(
        row("a", backend_options='{"kernel": "flash"}', device_name="H200"),
        row("b", device_name="H200"),
    )

    assert option_names(rows) == {"kernel"}
    assert list(filtered(rows, "kernel=flash").backend) == ["a"]
    assert len(filtered(rows, "device_name=H200")) == 2
    assert len(filtered(rows, None)) == 2


def test_a_filter_that_selects_nothing_names_a_case():
    with pytest.raises(NothingSelected, match="zzz") as caught:
        filtered(frame(row()), "zzz")

    assert "decode q1s1024 · naive" in caught.value.hint
