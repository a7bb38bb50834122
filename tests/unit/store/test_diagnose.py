"""Every file that is no result file says what it is and what to type."""

from __future__ import annotations

import gzip

import pandas as pd
import pyarrow.parquet as pq
import pytest

from attnbench.errors import ResultFileError
from attnbench.store import load, read


def refusal(path):
    with pytest.raises(ResultFileError) as caught:
        load(path)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_missing_file_has_a_near_name(tmp_path, store_row, finished_run):
    finished_run(tmp_path / "nightly.parquet", [store_row()])

    assert refusal(tmp_path / "nigthly.parquet") == (
        f"{tmp_path}/nigthly.parquet does not exist\n  did you mean {tmp_path}/nightly.parquet?"
    )


def test_a_missing_file_without_a_near_name(tmp_path):
    assert refusal(tmp_path / "nightly.parquet") == (
        f"{tmp_path}/nightly.parquet does not exist\n  attnbench list runs shows every run"
    )
    assert "does not exist" in refusal(tmp_path / "absent" / "x.journal")


def test_a_file_whose_run_is_unfinished(tmp_path, store_row, unfinished_run):
    journal = unfinished_run(tmp_path / "x.parquet", [store_row(0), store_row(1)])

    assert refusal(tmp_path / "x.parquet") == (
        f"{tmp_path}/x.parquet is not written yet; its journal {journal} has 2 rows\n"
        f"  attnbench repair {journal}"
    )


def test_an_empty_file(tmp_path):
    (tmp_path / "x.parquet").touch()

    assert refusal(tmp_path / "x.parquet") == (
        f"{tmp_path}/x.parquet is empty (0 bytes)\n  copy it again from where it was measured"
    )


def test_a_file_that_is_cut_short(tmp_path, store_row, finished_run):
    out = finished_run(tmp_path / "x.parquet", [store_row()])
    out.write_bytes(out.read_bytes()[:10_000])

    assert refusal(out) == (
        f"{out} is cut short\n"
        "  10,000 bytes and no PAR1 marker at the end: the copy or the write was interrupted\n"
        "  copy it again from where it was measured"
    )


def test_a_file_that_is_cut_short_beside_its_journal(
    tmp_path, store_row, finished_run, unfinished_run
):
    out = finished_run(tmp_path / "x.parquet", [store_row()])
    data = out.read_bytes()
    out.unlink()
    journal = unfinished_run(out, [store_row()])
    out.write_bytes(data[:-4])

    assert refusal(out).endswith(f"\n  its journal has 1 row: attnbench repair {journal}")

    journal.write_text("")

    assert refusal(out).endswith(f"\n  its journal cannot be read: attnbench repair {journal}")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 44100\n",
            "it is a Git LFS pointer of 68 bytes\n  git lfs pull",
        ),
        (
            b"\n<!DOCTYPE html>\n",
            "it is a web page of 17 bytes\n  download the file itself, not the page that shows it",
        ),
        (b'{"a": 1}', "it is JSON of 8 bytes"),
        (b"[]", "it is JSON of 2 bytes"),
        (
            b"run_id,case_id\nr1,0\n",
            "it is CSV that begins with 'run_id,case_id'\n  read the file that attnbench wrote",
        ),
        (b"hello\n", "it is text that begins with 'hello'"),
        (gzip.compress(b"x", mtime=0), "its 21 bytes do not begin with PAR1"),
    ],
)
def test_a_file_of_another_kind(tmp_path, content, sentence):
    (tmp_path / "x.parquet").write_bytes(content)

    assert f"{tmp_path}/x.parquet is not parquet: {sentence}" in refusal(tmp_path / "x.parquet")


def test_a_file_that_is_damaged_inside(tmp_path, store_row, finished_run):
    out = finished_run(tmp_path / "x.parquet", [store_row(case) for case in range(50)])
    data = bytearray(out.read_bytes())
    data[4:2000] = bytes(1996)
    out.write_bytes(data)

    assert refusal(out).startswith(f"{out} is damaged: ")


def test_a_parquet_file_of_another_program(tmp_path):
    pd.DataFrame({name: [1] for name in "abcdefgh"}).to_parquet(tmp_path / "x.parquet")

    assert refusal(tmp_path / "x.parquet") == (
        f"{tmp_path}/x.parquet is a parquet file, but not a result of attnbench\n"
        "  its columns are a, b, c, d, e, f, …\n"
        "  a result file has schema_version, run_id, case_id and status among its columns"
    )


@pytest.mark.parametrize(
    "columns", [{"schema_version": ["one"]}, {"schema_version": [1], "run_id": ["r1"]}]
)
def test_a_schema_version_alone_makes_no_result(tmp_path, columns):
    pd.DataFrame(columns).to_parquet(tmp_path / "x.parquet")

    assert "but not a result of attnbench" in refusal(tmp_path / "x.parquet")


def test_a_file_of_a_newer_attnbench(tmp_path, store_row, finished_run):
    out = finished_run(tmp_path / "x.parquet", [store_row()])
    frame = pd.read_parquet(out)
    frame["schema_version"] = 5
    frame["attnbench_version"] = "1.4.0"
    frame.to_parquet(out)

    assert f"{out} uses result schema 5 (attnbench 1.4.0)\n" in refusal(out)
    assert 'pip install -U "attnbench>=1.4.0"' in refusal(out)


def test_a_file_that_may_not_be_read(tmp_path, store_row, finished_run, monkeypatch):
    out = finished_run(tmp_path / "x.parquet", [store_row()])

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pq, "ParquetFile", denied)
    monkeypatch.setattr(type(out), "open", denied)

    with pytest.raises(ResultFileError, match=f"^cannot read {out}: Permission denied$"):
        read(out)
