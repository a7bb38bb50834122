"""docs/internals.md follows the code: its picture, its list of packages, the files it names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "attnbench"
PAGE = (ROOT / "docs" / "internals.md").read_text(encoding="utf-8")


def section(heading):
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_the_picture_is_what_the_code_draws():
    command = [sys.executable, str(ROOT / "docs" / "draw_internals.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, f"run: python docs/draw_internals.py\n{done.stderr}"


def test_every_package_has_one_line():
    packages = {
        path.stem
        for path in PACKAGE.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists())
        and not path.stem.startswith("__")
    }
    listed = re.findall(r"^\| `(\w+)` \| .+ \|$", section("Packages"), re.MULTILINE)

    assert sorted(listed) == sorted(packages)


def test_the_files_that_a_change_touches_exist():
    named = re.findall(r"`([\w/]+\.py)`", section("Where do I change …"))
    folders = [path.removesuffix("NAME.py") for path in named]

    assert len(folders) > 15
    assert [path for path in folders if not (PACKAGE / path).exists()] == []


def test_the_tables_that_a_change_touches_exist():
    text = section("Where do I change …")
    named = re.findall(r"`(_?[A-Z_]{3,})` of `([\w/]+\.py)`", text)

    assert named
    for table, path in named:
        code = (PACKAGE / path).read_text(encoding="utf-8")
        assert re.search(rf"^{table}\b", code, re.MULTILINE), (table, path)
