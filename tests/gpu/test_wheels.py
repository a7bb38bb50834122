"""The wheels that are laid out are what attnbench needs, once each."""

from __future__ import annotations

import os
import tomllib
import zipfile

import wheels
from slices.paths import ROOT, unpack_wheels


def test_each_has_the_version_that_is_tested():
    pinned = wheels._pinned(wheels.CORE)

    assert all("==" in one for one in pinned)
    assert len(pinned) == len(wheels.CORE)


def test_all_that_the_analysing_half_needs_is_there_or_comes_with_torch_machines():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = {one.split(">=")[0] for one in tomllib.loads(text)["project"]["dependencies"]}
    large = {"matplotlib", "numpy", "pandas", "pyarrow", "scipy"}

    assert needed - set(wheels.CORE) == large


def test_two_versions_or_too_much_is_an_error(tmp_path, capsys):
    (tmp_path / "one-1-py3-none-any.whl").write_bytes(b"-" * 10**6)
    assert wheels._weigh(tmp_path, 2) == 0
    assert wheels._weigh(tmp_path, 0.5) == 1
    (tmp_path / "one-2-py3-none-any.whl").write_bytes(b"")
    assert wheels._weigh(tmp_path, 2) == 1
    assert "two versions" in capsys.readouterr().out


def test_a_wheel_that_is_packed_anew_unpacks_to_the_same(tmp_path):
    wheel = tmp_path / "made-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("made/__init__.py", "WORD = 1")
        tool = zipfile.ZipInfo("made/tool")
        tool.external_attr = 0o100755 << 16
        archive.writestr(tool, "#!/bin/sh")
    unpack_wheels([wheel], tmp_path / "plain")
    packed = wheels.pack(wheel)
    assert wheels.laid_out(tmp_path) == [packed]
    unpack_wheels([packed], tmp_path / "packed")

    assert contents(tmp_path / "packed") == contents(tmp_path / "plain")
    assert contents(tmp_path / "packed")["made/tool"] == (b"#!/bin/sh", True)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), os.access(path, os.X_OK))
        for path in folder.rglob("*")
        if path.is_file()
    }
