"""attnbench gate and compare on the command line: each bad input has its words and exit code."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PLACE = Path(__file__).parents[1] / "analysis" / "made_runs.py"
SPEC = importlib.util.spec_from_file_location("made_runs", PLACE)
made = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A run, a baseline, and one file of each kind that cannot be used."""
    place = tmp_path_factory.mktemp("bad")
    base = made.write_run(place / "base.parquet", made.make_rows(cases=3, run_id="b"))
    made.write_run(place / "run.parquet", made.make_rows(cases=3, seed=2, run_id="n"))
    slow = made.make_rows(cases=3, seed=2, run_id="s", slowdowns={1: 0.5})
    made.write_run(place / "slow.parquet", slow)
    (place / "copy.parquet").write_bytes((place / "run.parquet").read_bytes())
    (place / "empty.parquet").write_bytes(b"")
    (place / "short.parquet").write_bytes(base.read_bytes()[:-100])
    (place / "text.parquet").write_text("a,b\n1,2\n", encoding="utf-8")
    pq.write_table(pa.table({"a": [1]}), place / "foreign.parquet")
    newer = pq.read_table(base)
    index = newer.column_names.index("schema_version")
    newer = newer.set_column(index, "schema_version", pa.array([99] * len(newer)))
    pq.write_table(newer, place / "newer.parquet")
    other = made.make_rows(cases=3, run_id="h", device_id="x", device_name="NVIDIA H100")
    made.write_run(place / "gpu.parquet", other)
    made.write_run(place / "chip.parquet", made.make_rows(cases=3, device_uuid="GPU-2"))
    made.write_run(place / "method.parquet", made.make_rows(cases=3, method_id="0" * 12, l2="warm"))
    elsewhere = made.make_rows(cases=3, backend="flex", run_id="f")
    made.write_run(place / "uncommon.parquet", elsewhere)
    broken = [made.make_row(number, 0, status="failed", run_id="x") for number in range(3)]
    made.write_run(place / "broken.parquet", broken)
    for name, wrong in (("nan", float("nan")), ("zero", 0.0), ("negative", -1.0)):
        table = pq.read_table(base)
        samples = [[20.0, wrong]] * len(table)
        place_of = table.column_names.index("samples_us")
        column = pa.array(samples, table.schema.field("samples_us").type)
        table = table.set_column(place_of, "samples_us", column)
        pq.write_table(table, place / f"{name}.parquet")
    return place


BAD = [
    ("gone", 2, "gone.parquet does not exist"),
    ("empty", 2, "is empty (0 bytes)"),
    ("short", 2, "is cut short"),
    ("text", 2, "is not parquet: it is CSV"),
    ("foreign", 2, "is a parquet file, but not a result of attnbench"),
    ("newer", 2, "uses result schema 99"),
    ("nan", 2, "not finite and above zero"),
    ("zero", 2, "not finite and above zero"),
    ("negative", 2, "not finite and above zero"),
    ("uncommon", 5, "have no case in common"),
    ("method", 4, "timed by different methods"),
]
GATE_ONLY = [
    ("gpu", 4, "the baseline was measured on another device than this run"),
    ("chip", 4, "another chip of the same kind"),
    ("broken", 5, "so there is nothing to rule on"),
    ("copy", 2, "holds the run that is to be ruled on (n)"),
    ("run", 2, "is its own only baseline"),
]


@pytest.mark.parametrize(("name", "code", "words"), [*BAD, *GATE_ONLY])
def test_a_bad_baseline_has_its_own_error(attnbench, files, name, code, words):
    bad = files / f"{name}.parquet"

    found = attnbench("gate", files / "run.parquet", "--baseline", bad, "--max-slowdown", "5%")

    assert (found.code, found.out) == (code, "")
    assert found.err.startswith("error: ")
    assert words in found.err


@pytest.mark.parametrize(("name", "code", "words"), BAD)
def test_a_bad_file_has_its_own_error_in_a_comparison(attnbench, files, name, code, words):
    found = attnbench("compare", files / "run.parquet", files / f"{name}.parquet")

    assert (found.code, found.out) == (code, "")
    assert words in found.err


def test_no_limit_anywhere_is_an_error(attnbench, files):
    found = attnbench("gate", files / "run.parquet", "--baseline", files / "base.parquet")

    assert found.code == 2
    assert "there is no limit" in found.err
    assert "--max-slowdown 3%" in found.err


def test_one_bad_baseline_among_good_ones_is_not_passed_over(attnbench, files):
    baselines = ("--baseline", files / "base.parquet", "--baseline", files / "short.parquet")

    found = attnbench("gate", files / "run.parquet", *baselines, "--max-slowdown", "5%")

    assert found.code == 2
    assert "is cut short" in found.err


def test_a_gate_that_fails_changes_no_file(attnbench, files):
    before = {path: path.read_bytes() for path in files.iterdir()}

    found = attnbench(
        "gate", files / "slow.parquet", "--baseline", files / "base.parquet", "--max-slowdown", "5%"
    )

    assert found.code == 1
    assert {path: path.read_bytes() for path in files.iterdir()} == before


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_reader_that_leaves_does_not_turn_red_into_green(files, words):
    command = ("-m", "attnbench", "gate", "slow.parquet", "--baseline", "base.parquet")
    with subprocess.Popen(
        [sys.executable, *command, "--max-slowdown", "5%", *words],
        cwd=files,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        process.stdout.close()  # what `| head -0` does

        assert process.wait() == 1


def test_a_json_ruling_holds_every_case(attnbench, files):
    found = attnbench(
        *("gate", files / "slow.parquet", "--baseline", files / "base.parquet"),
        *("--max-slowdown", "5%", "--json"),
    )

    ruling = json.loads(found.out)
    assert found.code == 1
    assert [one["ruling"] for one in ruling["cases"]].count("fail") == 1
    assert len(ruling["cases"]) == 3
