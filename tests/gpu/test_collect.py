"""What comes home is kept, and what is no result is refused."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tempfile
from pathlib import Path

import collect
import pytest
from collect import HEAD, NONE, NotKept, with_gpu_tests
from slices.paths import ROOT

from attnbench.store.parquet import write_parquet
from attnbench.store.rows import checked, to_table

RULES = """<testsuites><testsuite name="pytest">
<testcase classname="tests.gpu.test_rules" name="a"/>
<testcase classname="tests.gpu.test_rules" name="b"><skipped message="no counter"/></testcase>
<testcase classname="tests.gpu.test_rules" name="c"><failure message="1.2 %"/></testcase>
</testsuite></testsuites>"""
DEVICE = {"name": "NVIDIA H200", "driver": "580.1", "uuid": "x"}
STEP = {
    "name": "decode",
    "state": "done",
    "reason": None,
    "seconds": 1.0,
    "exit_code": 0,
    "answers": "decode",
    "command": "python -m attnbench run decode --out /a/place/decode.parquet",
    "log": "logs/01-decode.log",
}


@pytest.fixture
def repository(tmp_path):
    """A repository with the page that has the table, and nothing else."""
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "trust.md", tmp_path / "docs")
    return tmp_path


@pytest.fixture
def typed(monkeypatch):
    """The attnbench commands that are typed, instead of running them."""
    commands = []
    monkeypatch.setattr(collect, "_attnbench", lambda *words, **_: commands.append(words))
    return commands


def rows_of(device_name):
    """A result file of one row, as bytes."""
    row = {"run_id": "r", "case_id": "c", "method_id": "m", "process": 0, "status": "failed"}
    row |= {"started_at": 1_795_246_200.0, "reason": "made", "device_name": device_name}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.parquet"
        write_parquet(path, [to_table([checked(row)])], {"run_id": "r"})
        return path.read_bytes()


def tar_of(folder, *, dry_run=False, device=DEVICE, **files):
    manifest = {
        "slice": 2,
        "dry_run": dry_run,
        "started_at": "2026-12-01T10:00:00+00:00",
        "seconds": 3.0,
        "tree": {"digest": "0", "commit": None, "version": "0.1.0"},
        "wheels": [],
        "steps": [STEP],
    }
    texts = {
        "manifest.json": json.dumps(manifest),
        "machine.json": json.dumps({"device": device, "path": ["/a/place"]}),
        "results/decode.parquet": rows_of("NVIDIA H200"),
        "results/kv_cache.journal": "cut off",
        "junit/rules.xml": RULES,
        "crosscheck/latencies.md": "| call |",
        "crosscheck/call-0.parquet": "rows",
        "logs/01-decode.log": "...",
        **files,
    }
    path = folder / "slice-2.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, text in texts.items():
            member = tarfile.TarInfo(name)
            data = text if isinstance(text, bytes) else text.encode()
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_results_and_what_lies_beside_them_are_kept_under_the_device(repository, typed):
    assert collect.main([str(tar_of(repository)), "--into", str(repository)]) == 0

    kept = {path.relative_to(repository).as_posix() for path in repository.rglob("*.*")}
    assert {
        "results/h200/decode.parquet",
        "results/h200/slice-2.json",
        "results/h200/crosscheck/latencies.md",
    } <= kept
    assert not any("machine" in one or "call-0" in one or one.endswith(".log") for one in kept)
    # A run that was cut off is rebuilt first; the report is made of all runs of the device.
    (repair, report) = typed
    assert repair[0] == "repair"
    assert repair[1].endswith("results/kv_cache.journal")
    page = ("-o", "reports/samples/h200.html")
    assert report == ("report", "results/h200/decode.parquet", *page)


def test_what_is_kept_names_no_place_of_the_machine(repository, typed):
    collect.main([str(tar_of(repository)), "--into", str(repository)])

    text = (repository / "results" / "h200" / "slice-2.json").read_text()
    assert json.loads(text)["steps"][0]["state"] == "done"
    assert "/a/place" not in text
    assert typed


def test_the_gpu_tests_that_ran_are_listed_on_the_page(repository, typed):
    tar = str(tar_of(repository))
    for _ in range(2):
        collect.main([tar, "--into", str(repository), "--replace"])

    lines = (repository / "docs" / "trust.md").read_text(encoding="utf-8").splitlines()
    table = lines[lines.index(HEAD) + 2 :]
    line = "| `test_rules`: 1 passed, 1 failed, 1 skipped | NVIDIA H200, 580.1 | 2026-12-01 |"
    assert table[0] == line
    assert lines.count(line) == 1
    assert NONE not in lines
    assert typed


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"dry_run": True}, "a rehearsal's"), ({"device": {"reason": "no CUDA"}}, "which GPU")],
)
def test_what_is_no_result_of_a_gpu_is_refused(repository, typed, capsys, changes, reason):
    tar = tar_of(repository, **changes)

    assert collect.main([str(tar), "--into", str(repository)]) == 2
    assert reason in capsys.readouterr().out
    assert not (repository / "results").exists()
    assert typed == []


def test_rows_of_another_device_are_refused(repository, typed, capsys):
    tar = tar_of(repository, **{"results/decode.parquet": rows_of("Some CPU")})

    assert collect.main([str(tar), "--into", str(repository)]) == 2
    assert "was measured on Some CPU, not on NVIDIA H200" in capsys.readouterr().out
    assert not (repository / "results").exists()
    assert [one[0] for one in typed] == ["repair"]


def test_results_are_not_written_over_unasked(repository, typed, capsys):
    tar = str(tar_of(repository))
    collect.main([tar, "--into", str(repository)])

    assert collect.main([tar, "--into", str(repository)]) == 2
    assert "--replace" in capsys.readouterr().out
    assert typed


def test_a_page_without_the_table_is_an_error():
    with pytest.raises(NotKept, match="no table"):
        with_gpu_tests("# Trust\n", ["| x | | |"])


def test_what_stands_around_the_table_stays():
    text = f"before\n\n{HEAD}\n|---|---|---|\n{NONE}\n\nafter\n"

    assert with_gpu_tests(text, ["| a | b | c |"]) == text.replace(NONE, "| a | b | c |")


@pytest.mark.parametrize(
    ("name", "word"), [("NVIDIA H200", "h200"), ("NVIDIA H100 80GB HBM3", "h100")]
)
def test_a_device_is_a_folder(name, word):
    assert collect.device_word(name) == word
