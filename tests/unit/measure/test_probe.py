"""What a worker has imported below a folder, for a side that is a commit."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from attnbench.measure.probe import imported_below


@pytest.fixture
def imported(monkeypatch):
    """Make modules as if they were imported from these files."""

    def make(**files):
        for name, file in files.items():
            module = ModuleType(name)
            module.__file__ = file
            monkeypatch.setitem(sys.modules, name, module)

    return make


def test_files_below_a_folder_are_reported_and_others_are_not(imported, tmp_path):
    imported(
        theirs=str(tmp_path / "repo" / "theirs.py"),
        beside=str(tmp_path / "repository" / "beside.py"),
        by_hand="theirs.py",
        nowhere=None,
        attnbench_like=str(tmp_path / "repo" / "attnbench_like.py"),
    )

    found = imported_below([str(tmp_path / "repo")])

    assert found == [
        str(tmp_path / "repo" / "attnbench_like.py"),
        str(tmp_path / "repo" / "theirs.py"),
    ]


def test_an_environment_inside_the_folder_is_no_part_of_it(imported, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    imported(
        theirs=str(tmp_path / "theirs.py"),
        torch_like=str(tmp_path / ".venv" / "lib" / "torch_like.py"),
    )

    assert imported_below([str(tmp_path)]) == [str(tmp_path / "theirs.py")]


def test_this_package_is_left_out_in_its_own_repository():
    import attnbench

    top = str(attnbench.__path__[0])

    assert imported_below([top]) == []
