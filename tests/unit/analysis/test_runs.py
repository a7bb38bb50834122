from __future__ import annotations

import os

import pytest

from attnbench.analysis.runs import ceilings_of, describe, find_run, list_runs
from attnbench.errors import ResultFileError
from attnbench.store import RunWriter

ENVIRONMENT = {
    "device": {
        "kind": "cuda",
        "name": "NVIDIA H200",
        "arch": "sm_90",
        "memory_bytes": 150 * 10**9,
        "free_bytes": 148 * 10**9,
    },
    "host": "node",
    "python": "3.12.4",
}


def write(path, *, header=None, **values):
    row = {
        "run_id": path.stem,
        "case_id": "c",
        "status": "skipped",
        "reason": "why",
        "suite": "tiny",
        "device_name": "NVIDIA H200",
        "device_arch": "sm_90",
        "device_memory_bytes": 150 * 10**9,
    }
    with RunWriter.create(path, header or {}) as writer:
        writer.append({**row, **values})
        writer.finish()
    return path


def test_without_a_name_it_is_the_newest(tmp_path):
    old, new = write(tmp_path / "old.parquet"), write(tmp_path / "new.parquet")
    os.utime(old, (1, 1))

    assert find_run(None, tmp_path) == new
    assert find_run(str(tmp_path)) == new


def test_a_name_may_leave_out_folder_and_ending(tmp_path):
    path = write(tmp_path / "first.parquet")

    assert find_run("first", tmp_path) == path
    assert find_run("first.parquet", tmp_path) == path
    assert find_run(str(tmp_path / "first")) == path


def test_an_unknown_name_is_looked_for_in_the_folder(tmp_path):
    assert find_run("gone", tmp_path) == tmp_path / "gone"


def test_an_empty_folder_says_what_to_type(tmp_path):
    with pytest.raises(ResultFileError, match="there is no run"):
        find_run(None, tmp_path)


def test_runs_are_listed_newest_first_with_the_unfinished_ones(tmp_path):
    os.utime(write(tmp_path / "old.parquet"), (1, 1))
    with RunWriter.create(tmp_path / "cut.parquet", {}) as writer:
        writer.append({"run_id": "cut", "case_id": "c", "status": "oom", "reason": "why"})

    found = list_runs(tmp_path)

    assert [(one.path.name, one.finished) for one in found] == [
        ("cut.journal", False),
        ("old.parquet", True),
    ]
    assert found[0].cases == {"oom": 1}
    assert (found[1].suite, found[1].device) == ("tiny", "NVIDIA H200")


def test_no_folder_is_no_run(tmp_path):
    assert list_runs(tmp_path / "results") == []


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    path = tmp_path / "x.parquet"
    path.write_bytes(b"")

    assert describe(path).fault == f"{path} is empty (0 bytes)"


def test_a_run_gives_its_device_and_its_best_rates(tmp_path):
    path = write(
        tmp_path / "x.parquet",
        header={"environment": ENVIRONMENT},
        dtype="bf16",
        peak_bandwidth_gbps=4310.0,
        peak_tflops=800.0,
    )

    device, ceilings = ceilings_of(path)

    assert device.free_bytes == 148 * 10**9
    assert ceilings.peak_bandwidth_gbps == 4310.0
    assert ceilings.tflops == {"bf16": 800.0}


def test_a_run_whose_footer_was_dropped_gives_what_its_columns_say(tmp_path):
    path = write(
        tmp_path / "x.parquet", dtype="bf16", peak_bandwidth_gbps=4310.0, peak_tflops=800.0
    )

    device, _ = ceilings_of(path)

    assert (device.kind, device.name) == ("cuda", "NVIDIA H200")
    assert device.free_bytes == 75 * 10**9


def test_a_run_without_ceilings_plans_nothing(tmp_path):
    with pytest.raises(ResultFileError, match="no measured ceilings"):
        ceilings_of(write(tmp_path / "x.parquet"))
