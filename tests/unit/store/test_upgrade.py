"""From older schemas to ours, and none from newer ones."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from attnbench.errors import ResultFileError
from attnbench.store import upgrade as module
from attnbench.store.upgrade import refuse_newer, upgrade


def test_each_version_is_a_step_and_a_step_that_is_missing_changes_nothing(monkeypatch):
    monkeypatch.setattr(module, "SCHEMA_VERSION", 4)
    monkeypatch.setattr(
        module,
        "UPGRADES",
        {1: lambda table: [*table, "1 to 2"], 3: lambda table: [*table, "3 to 4"]},
    )

    assert upgrade([], 1) == ["1 to 2", "3 to 4"]
    assert upgrade([], 3) == ["3 to 4"]
    assert upgrade([], 4) == []


def test_a_newer_schema_says_both_versions_and_what_to_install(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda _: "0.1.0")

    with pytest.raises(ResultFileError) as caught:
        refuse_newer(Path("nightly.parquet"), 5, "1.4.0")

    assert str(caught.value) == (
        "nightly.parquet uses result schema 5 (attnbench 1.4.0)\n"
        "  this is attnbench 0.1.0, which reads schema 1\n"
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
