"""Where a run's file goes, and which run is resumed."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from attnbench.environment import Device
from attnbench.errors import InputError, NothingSelected
from attnbench.execute.request import RunRequest, device_word
from attnbench.method import Measure
from attnbench.store.writer import RunWriter

H200 = Device(kind="cuda", name="NVIDIA H200", arch="sm_90", memory_bytes=150, free_bytes=140)
SUITE = SimpleNamespace(name="decode", cases=("a", "b"), measure=Measure())


def request(tmp_path, **keywords):
    return RunRequest(suite=SUITE, folder=tmp_path, **keywords)


def test_a_fresh_name_says_suite_device_and_time(tmp_path):
    out, exists = request(tmp_path).place(H200)
    assert re.fullmatch(r"decode-h200-\d{8}-\d{6}\.parquet", out.name)
    assert out.parent == tmp_path
    assert not exists


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-80gb-hbm3"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("Tesla T4", "tesla-t4"),
    ],
)
def test_a_device_is_a_short_word_in_a_file_name(name, word):
    device = Device(kind="cuda", name=name, arch="sm_90", memory_bytes=1, free_bytes=1)
    assert device_word(device) == word


def test_out_and_name_choose_the_file(tmp_path):
    assert request(tmp_path, name="mine").place(H200)[0] == tmp_path / "mine.parquet"
    out = tmp_path / "deep" / "x.parquet"
    assert request(tmp_path, out=out).place(H200) == (out, False)
    with pytest.raises(InputError, match=r"--out x\.csv is not a \.parquet file"):
        request(tmp_path, out=Path("x.csv")).place(H200)


def begin(path, **header):
    facts = {"suite": "decode", "suite_sha256": "1", "device_id": H200.id, "method": {}}
    with RunWriter.create(path, {**facts, **header}) as writer:
        writer.append({"run_id": "r", "case_id": "c", "status": "failed"})


def test_resume_finds_the_newest_unfinished_run_of_the_suite_and_device(tmp_path):
    assert request(tmp_path, resume=True).place(H200)[1] is False  # none: a new one starts
    begin(tmp_path / "other.parquet", suite="prefill")
    begin(tmp_path / "elsewhere.parquet", device_id="0123")
    assert request(tmp_path, resume=True).place(H200)[1] is False
    begin(tmp_path / "mine.parquet")
    assert request(tmp_path, resume=True).place(H200) == (tmp_path / "mine.parquet", True)


def test_resume_with_a_name_goes_on_with_that_run(tmp_path):
    begin(tmp_path / "mine.parquet", suite="prefill")
    found = request(tmp_path, resume=True, name="mine").place(H200)
    assert found == (tmp_path / "mine.parquet", True)


def test_selecting_nothing_says_how_to_see_the_cases(tmp_path):
    assert request(tmp_path, keeps=lambda one: one == "b").cases() == ["b"]
    with pytest.raises(NothingSelected, match="none of the 2 cases of decode is selected"):
        request(tmp_path, keeps=lambda _: False).cases()


def test_processes_may_come_from_the_command_line(tmp_path):
    assert request(tmp_path).settings.processes == 3
    assert request(tmp_path, processes=7).settings == Measure(processes=7)
