from __future__ import annotations

from pathlib import Path

import pytest

from attnbench.store.committed import gpus_of_runs, recorded_gpus

RESULTS = Path(__file__).parents[3] / "results"
GPU = {"device_arch": "sm_90", "device_name": "NVIDIA H200"}


@pytest.fixture
def results(tmp_path, finished_run, store_row):
    def results(place, **changes):
        rows = [store_row(case, **changes) for case in range(2)]
        (tmp_path / place).parent.mkdir(exist_ok=True)
        finished_run(tmp_path / place, rows)
        return tmp_path

    return results


def test_ok_rows_of_gpus_in_folders_count(results):
    results("h200/a.parquet", backend="flash_attn", **GPU)
    results("b200/a.parquet", backend="flash_attn", device_arch="sm_100", device_name="NVIDIA B200")

    found = gpus_of_runs(results("h200/b.parquet", backend="cudnn", **GPU))

    assert found == {"flash_attn": ("NVIDIA B200", "NVIDIA H200"), "cudnn": ("NVIDIA H200",)}


def test_other_rows_do_not(results, tmp_path):
    results("own.parquet", backend="flash_attn", **GPU)
    results("h200/cpu.parquet", backend="flash_attn", device_arch="x86_64", device_name="CPU")
    results("h200/bad.parquet", backend="flash_attn", status="unsupported", **GPU)
    (tmp_path / "h200" / "broken.parquet").write_bytes(b"PAR1")

    assert gpus_of_runs(tmp_path) == {}


def test_what_is_recorded_is_what_the_committed_runs_say():
    assert recorded_gpus() == gpus_of_runs(RESULTS), "write it: python adapters/ran_on.py"
