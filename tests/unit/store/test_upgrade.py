"""From older schemas to ours, and none from newer ones."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from attnbench.errors import ResultFileError
from attnbench.store import upgrade as module
from attnbench.store.upgrade import refuse_newer, upgrade_row, upgrade_run, upgrade_table


def test_each_version_is_a_step_and_a_step_that_is_missing_changes_nothing(monkeypatch):
    monkeypatch.setattr(module, "SCHEMA_VERSION", 4)
    monkeypatch.setattr(
        module,
        "TABLE_STEPS",
        {1: lambda table: [*table, "1 to 2"], 3: lambda table: [*table, "3 to 4"]},
    )

    assert upgrade_table([], 1) == ["1 to 2", "3 to 4"]
    assert upgrade_table([], 3) == ["3 to 4"]
    assert upgrade_table([], 4) == []


# Keys are renamed; a comment, a sentence and a value are not.
OLD_SUITE = """
about: what the launches: of a kernel cost  # launches: many
measure:
  launches: 5
gate: {max_slowdown: 3%, min_launches: 4}
tags: [launches]
"""


def test_version_1_said_launch_where_version_2_says_process():
    row = {"launch": 3, "notes": ["FEW_LAUNCHES", "NOISY"]}
    run = {
        "suite_text": OLD_SUITE,
        "records": [{"record": "canaries", "launch": 0}],
    }

    assert upgrade_row(row, 1) == {"process": 3, "notes": ["FEW_PROCESSES", "NOISY"]}
    assert upgrade_run(run, 1) == {
        "suite_text": OLD_SUITE.replace("launches: 5", "processes: 5").replace(
            "min_launches: 4", "min_processes: 4"
        ),
        "records": [{"record": "canaries", "process": 0}],
    }
    assert upgrade_row(row, 2) is row


@pytest.mark.parametrize("notes", [["FEW_LAUNCHES", "NOISY"], ["NOISY"], [], None])
def test_a_table_of_version_1_is_upgraded_whatever_its_notes(notes):
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"launch": [0, 1], "notes": pa.array([notes, ["OK"]], pa.list_(pa.string()))})

    found = upgrade_table(table, 1)

    renamed = notes and [{"FEW_LAUNCHES": "FEW_PROCESSES"}.get(note, note) for note in notes]
    assert found.to_pydict() == {"process": [0, 1], "notes": [renamed, ["OK"]]}


def test_a_newer_schema_says_both_versions_and_what_to_install(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda _: "0.1.0")

    with pytest.raises(ResultFileError) as caught:
        refuse_newer(Path("nightly.parquet"), 5, "1.4.0")

    assert str(caught.value) == (
        "nightly.parquet uses result schema 5 (attnbench 1.4.0)\n"
        "  this is attnbench 0.1.0, which reads schemas 1 to 2\n"
        '  pip install -U "attnbench>=1.4.0"'
    )
    assert caught.value.exit_code == 2


def test_a_newer_schema_of_an_unknown_author(monkeypatch):
    def absent(_):
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", absent)
    monkeypatch.setattr(module, "SCHEMA_VERSION", 3)

    with pytest.raises(ResultFileError) as caught:
        refuse_newer(Path("nightly.parquet"), 5, None)

    assert str(caught.value) == (
        "nightly.parquet uses result schema 5\n"
        "  this attnbench, which reads schemas 1 to 3\n"
        "  pip install -U attnbench"
    )


def test_our_own_schema_is_not_refused():
    refuse_newer(Path("x.parquet"), 1, "0.1.0")
