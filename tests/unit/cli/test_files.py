"""export, repair, merge, schema, init: verbs that make a file or print one."""

from __future__ import annotations

import csv
import io
import json

import pytest

from attnbench.store.columns import COLUMNS


def test_export_writes_csv_to_stdout(attnbench, run_file):
    result = attnbench("export", run_file)

    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert result.code == 0
    assert list(rows[0]) == [column.name for column in COLUMNS]
    assert len(rows) == 13


def test_export_says_what_a_format_leaves_out(attnbench, run_file):
    result = attnbench("export", run_file, "--as", "bencher")

    assert result.code == 0
    assert "latency" in result.out
    assert result.err.startswith("left out, because they have no latency: ")


def test_export_can_pick_and_write_a_file(attnbench, run_file, tmp_path):
    out = tmp_path / "table.md"

    result = attnbench("export", run_file, "--as", "markdown", "-k", "naive", "-o", out)

    assert result.code == 0
    assert result.out == ""
    assert "sdpa" not in out.read_text(encoding="utf-8")


def test_an_unknown_format_is_answered_with_the_known_ones(attnbench, run_file):
    result = attnbench("export", run_file, "--as", "xml")

    assert result.code == 2
    assert "csv, markdown" in result.err


def test_a_file_that_cannot_be_written_is_exit_4(attnbench, run_file):
    result = attnbench("export", run_file, "-o", run_file / "below" / "x.csv")

    assert result.code == 4
    assert "cannot write" in result.err


def test_repair_leaves_a_whole_file_alone(attnbench, run_file):
    result = attnbench("repair", run_file)

    assert result.code == 0
    assert result.err == f"nothing to repair: {run_file}, 13 rows\n"


def test_repair_without_a_journal_is_exit_2(attnbench, tmp_path):
    assert attnbench("repair", tmp_path / "gone.parquet").code == 2


def test_merge_joins_and_never_overwrites(attnbench, run_file, tmp_path):
    out = tmp_path / "all.parquet"

    first, second = attnbench("merge", run_file, "-o", out), attnbench("merge", run_file, "-o", out)

    assert (first.code, first.err) == (0, f"wrote {out}: 13 rows\n")
    assert second.code == 2


def test_a_file_that_is_no_run_is_exit_2(attnbench, tmp_path):
    path = tmp_path / "x.parquet"
    path.write_text("a,b\n1,2\n", encoding="utf-8")

    result = attnbench("show", path)

    assert result.code == 2
    assert "is not parquet" in result.err


def test_the_schema_is_json(attnbench):
    schema = json.loads(attnbench("schema").out)

    assert schema["$schema"].startswith("http://json-schema.org/draft-07")


def test_init_writes_a_suite_with_its_schema(attnbench, tmp_path):
    path = tmp_path / "mine.yaml"

    result = attnbench("init", path)

    assert result.code == 0
    assert "suite: mine" in path.read_text(encoding="utf-8")
    assert json.loads((tmp_path / "suite.schema.json").read_text(encoding="utf-8"))


def test_init_overwrites_nothing(attnbench, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("mine", encoding="utf-8")

    result = attnbench("init", path)

    assert result.code == 2
    assert path.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("kind", ["suites", "models", "metrics", "devices"])
def test_a_list_is_a_table_or_json(attnbench, kind, monkeypatch):
    monkeypatch.setattr("attnbench.api.catalogue._device_here", lambda _: _cpu())

    table, facts = attnbench("list", kind), json.loads(attnbench("list", kind, "--json").out)

    assert table.code == 0
    assert len(table.out.splitlines()) == len(facts) + 1


def _cpu():
    from attnbench.device.local import describe_cpu

    return describe_cpu()


def test_runs_are_listed_with_what_came_of_them(attnbench, run_file, monkeypatch):
    monkeypatch.chdir(run_file.parents[1])
    (run_file.parent / "broken.parquet").write_bytes(b"")

    result = attnbench("list", "runs")

    assert "4 ok, 1 skipped, 1 unsupported, 1 incorrect" in result.out
    assert "broken.parquet is empty (0 bytes)" in result.out


def test_no_run_is_reported_on_stderr(attnbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    result = attnbench("list", "runs")

    assert (result.code, result.out) == (0, "")
    assert "no run in results/ yet" in result.err


def test_backends_are_listed_with_what_they_can_and_why_not(attnbench):
    result = attnbench("list", "backends")

    rows = result.out.splitlines()
    assert rows[0].split() == ["backend", "from", "options", "can", "on", "this", "machine"]
    assert rows[1].startswith("naive")
    assert "kernel=auto|math|flash|efficient|cudnn" in result.out


def test_without_a_kind_the_other_kinds_are_named(attnbench):
    result = attnbench("list")

    assert result.out == attnbench("list", "backends").out
    assert result.err == "also: attnbench list suites|models|metrics|devices|runs\n"
