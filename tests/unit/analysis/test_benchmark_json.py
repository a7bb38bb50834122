"""pytest-benchmark's JSON read back: exported runs whole, benchmarks of others as opaque cases."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from attnbench.analysis.compare import compare
from attnbench.analysis.export import export
from attnbench.analysis.gate import gate
from attnbench.analysis.sides import load_side
from attnbench.errors import NotComparable, NothingSelected, ResultFileError
from attnbench.store import load

SPEC = importlib.util.spec_from_file_location("made_runs", Path(__file__).with_name("made_runs.py"))
made = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made)


@pytest.fixture
def run(tmp_path):
    return made.write_run(tmp_path / "old.parquet", made.make_rows(isolation="worker"))


@pytest.fixture
def exported(run):
    path = run.with_suffix(".json")
    path.write_text(export(load(run), "pytest-benchmark").text, encoding="utf-8")
    return path


TWO_OF_ONE = json.dumps(
    {
        "machine_info": {},
        "benchmarks": [
            {
                "name": "a",
                "stats": {"data": [1.0]},
                "extra_info": {"attnbench": {"samples_a_process": [2]}},
            }
        ],
    }
)


def foreign(path, medians, **changes):
    """A file as pytest-benchmark writes it about tests that know nothing of attnbench."""
    benchmarks = [
        {
            "fullname": f"tests/test_x.py::{name}",
            "name": name,
            "options": {"timer": "perf_counter"},
            "stats": {"data": [median] * 9},
            "extra_info": {},
        }
        for name, median in medians.items()
    ]
    machine = {"node": "host", "machine": "x86_64", "cpu": {"brand_raw": "Xeon"}}
    document = {"machine_info": machine, "benchmarks": benchmarks, "datetime": "2026-11-21T00:00"}
    document["datetime"] += ":00+00:00"
    path.write_text(json.dumps({**document, **changes}), encoding="utf-8")
    return path


def test_an_exported_run_reads_back_process_by_process(run, exported):
    old, again = load_side(run), load_side(exported)

    assert again.log == pytest.approx(old.log)
    for column in ("case_id", "method_id", "process", "device_id", "device_name", "isolation"):
        assert again.table[column].to_pylist() == old.table[column].to_pylist()
    assert again.remarks == ()


def test_an_export_from_before_schema_version_2_reads_back_as_well(exported):
    now = load_side(exported)
    exported.write_text(exported.read_text().replace("samples_a_process", "samples_a_launch"))

    again = load_side(exported)

    assert again.log == pytest.approx(now.log)
    assert again.table["process"].to_pylist() == now.table["process"].to_pylist()
    assert again.remarks == ()


def test_an_exported_run_is_compared_with_a_run(tmp_path, exported):
    rows = made.make_rows(seed=9, run_id="n", slowdowns={4: 0.3}, isolation="worker")
    new = made.write_run(tmp_path / "new.parquet", rows)

    (found,) = compare(exported, new)

    assert found.verdicts["slower"] == 1
    assert gate(new, [exported], max_slowdown=0.05).outcome == "fail"


def test_benchmarks_of_others_are_compared_without_a_verdict(tmp_path):
    old = foreign(tmp_path / "old.json", {"test_a": 1e-3, "test_b": 1e-3})
    new = foreign(tmp_path / "new.json", {"test_a": 2e-3, "test_c": 1e-3})

    (found,) = compare(old, new)

    by_label = {one.label: one for one in found.comparisons}
    assert by_label["tests/test_x.py::test_a"].ratio == pytest.approx(2.0)
    assert by_label["tests/test_x.py::test_a"].verdict == "unclear"
    assert set(found.changed_status()) == {"only in base", "only in new"}
    assert "in one process: no interval and no verdict" in found.base.remarks[0]


def test_another_machine_of_pytest_benchmark_gives_ratios_alone(tmp_path):
    old = foreign(tmp_path / "old.json", {"test_a": 1e-3})
    new = foreign(tmp_path / "new.json", {"test_a": 2e-3}, machine_info={"machine": "arm64"})

    (found,) = compare(old, new)

    assert found.ratios_only


def test_a_case_that_pytest_benchmark_timed_is_not_compared_with_a_run(tmp_path, run):
    document = json.loads(export_text(run))
    for one in document["benchmarks"]:
        # What the plugin writes knows its case, but is of no run and has no processes.
        for name in ("samples_a_process", "run_id", "run_name", "method_id"):
            del one["extra_info"]["attnbench"][name]
    path = tmp_path / "plugin.json"
    path.write_text(json.dumps(document), encoding="utf-8")

    with pytest.raises(NotComparable, match="isolation worker -> pytest"):
        compare(run, path)
    with pytest.raises(NotComparable, match="isolation pytest -> worker"):
        gate(run, [path], max_slowdown=0.05)


def export_text(run):
    return export(load(run), "pytest-benchmark").text


def test_benchmarks_of_others_have_no_case_in_common_with_a_run(tmp_path, run):
    old = foreign(tmp_path / "other.json", {"test_a": 1e-3})

    with pytest.raises(NothingSelected, match="no case in common"):
        compare(old, run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "not of pytest-benchmark"),
        ('{"benchmarks": []}', "lacks machine_info"),
        ('{"benchmarks": [], "machine_info": {}}', "holds no benchmark"),
        (
            '{"benchmarks": [{"fullname": "a", "stats": {"mean": 1}}], "machine_info": {}}',
            "has no samples of a",
        ),
        (
            '{"benchmarks": [{"fullname": "a", "stats": {"data": [NaN]}}], "machine_info": {}}',
            "cannot be read",
        ),
        (
            '{"benchmarks": [{"fullname": "a", "stats": {"data": [0.0]}}], "machine_info": {}}',
            "not finite and above zero",
        ),
        (
            TWO_OF_ONE,
            "1 samples, its processes 2",
        ),
    ],
)
def test_a_file_that_is_not_one_is_refused_in_words(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ResultFileError, match=message):
        load_side(path)


def test_a_file_that_is_gone_is_refused(tmp_path):
    with pytest.raises(ResultFileError, match="cannot read"):
        load_side(tmp_path / "gone.json")
