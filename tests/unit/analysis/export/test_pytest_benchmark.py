"""pytest-benchmark's JSON, held against the real pytest-benchmark."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.analysis.export import export
from attnbench.analysis.export.pytest_benchmark import stats_of
from attnbench.store import load

pytest.importorskip("pytest_benchmark")

TIMES = st.lists(st.floats(1e-7, 10.0), min_size=1, max_size=40)


@given(TIMES)
def test_statistics_are_those_of_pytest_benchmark(data):
    from pytest_benchmark.stats import Stats

    theirs = Stats()
    for one in data:
        theirs.update(one)

    ours = stats_of(data)

    assert {name: ours[name] for name in Stats.fields} == pytest.approx(theirs.as_dict())
    assert ours["data"] == data


@pytest.fixture
def saved(tmp_path, store_row, finished_run):
    """Two exported runs in a storage of pytest-benchmark; the second is slower."""
    storage = tmp_path / "storage"
    storage.mkdir()
    for number, slower in enumerate((1.0, 2.0), start=1):
        rows = [
            store_row(
                case,
                process,
                samples_us=[slower * (18.0 + process), slower * 18.5],
                run_id=f"r{number}",
                suite="decode",
                backend_label="naive",
                device_name="NVIDIA H200",
                git_commit="9b1d0e2",
            )
            for case in range(2)
            for process in range(3)
        ]
        rows.append(store_row(9, status="oom", run_id=f"r{number}"))
        frame = load(finished_run(tmp_path / f"{number}.parquet", rows))
        text = export(frame, "pytest-benchmark").text
        (storage / f"000{number}_attnbench.json").write_text(text, encoding="utf-8")
    return storage


def pytest_benchmark(*words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )


def test_pytest_benchmark_compares_exported_runs(saved, tmp_path):
    files = sorted(saved.glob("*.json"))
    words = ("--storage", saved.as_uri(), "compare", "--group-by=fullname", "--sort=fullname")

    done = pytest_benchmark(*words, "--csv", tmp_path / "table", *files, cwd=tmp_path)

    assert "Failed to load" not in done.stderr
    assert done.stdout.count("decode #0") == 3  # a heading, and a row for each file
    table = (tmp_path / "table.csv").read_text(encoding="utf-8")
    assert table.count("decode::decode #1 · naive") == 2
    assert "decode #9" not in done.stdout + table


def test_pytest_benchmark_lists_an_exported_run_in_its_storage(saved, tmp_path):
    done = pytest_benchmark("--storage", saved.as_uri(), "list", cwd=tmp_path)

    assert len(done.stdout.split()) == 2


def test_an_exported_run_says_what_each_case_is(saved):
    document = json.loads((saved / "0001_attnbench.json").read_text(encoding="utf-8"))

    first = document["benchmarks"][0]
    assert first["fullname"] == "decode::decode #0 · naive"
    assert first["group"] == "decode #0"
    assert first["stats"]["rounds"] == 6
    assert first["extra_info"]["attnbench"]["case_id"] == "0" * 12
    assert first["extra_info"]["attnbench"]["samples_a_process"] == [2, 2, 2]
    assert document["machine_info"]["attnbench"]["device_name"] == "NVIDIA H200"
    assert document["commit_info"]["id"] == "9b1d0e2"
