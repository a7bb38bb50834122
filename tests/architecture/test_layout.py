"""Rules that no `noqa` lifts: sizes of files and functions, names, and the written layers."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "attnbench"
FILES = sorted(PACKAGE.rglob("*.py"))
IDS = [str(path.relative_to(ROOT)) for path in FILES]

each_file = pytest.mark.parametrize("path", FILES, ids=IDS)

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
MAY_PRINT = ("attnbench/cli/",)
# A kernel is one function, because Triton inlines nothing that Python could split.
MAY_BE_LONG = ("attnbench/kernels/",)


def test_the_package_is_where_these_tests_look():
    assert PACKAGE / "errors.py" in FILES


@each_file
def test_no_file_is_longer_than_a_reader_can_hold(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


@each_file
def test_no_function_is_longer_than_a_screen(path):
    if _relative(path).startswith(MAY_BE_LONG):
        return
    long = {
        f"{node.name}, line {node.lineno}": lines
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := _lines_of_code(node)) > MAX_FUNCTION_LINES
    }

    assert long == {}


def _lines_of_code(function):
    """Count a function's lines without its docstring, which describes every argument."""
    first = function.body[0]
    has_docstring = ast.get_docstring(function) is not None
    documented = (first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - documented


def test_contributing_lists_the_layers_that_the_import_contract_has():
    """Compare the numbered list of CONTRIBUTING with the first contract of pyproject.toml."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = pyproject["tool"]["importlinter"]["contracts"][0]["layers"]
    in_contract = [set(re.findall(r"\w+", layer)) for layer in reversed(contract)]
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("\n## Layers\n")[2].partition("\n## ")[0]
    written = [
        set(re.findall(r"`(\w+)`", line))
        for line in re.findall(r"^\d+\. .*", section, re.MULTILINE)
    ]

    assert written == in_contract[:-1]
    assert in_contract[-1] == {"__main__"}


def test_no_file_has_a_name_that_says_nothing():
    drawers = [
        str(path.relative_to(ROOT))
        for path in [*FILES, *(ROOT / "tests").rglob("*.py")]
        if re.fullmatch(r"_?(utils?|common|helpers?|misc)", path.stem)
        or path.parent.name in {"utils", "common", "helpers", "misc"}
    ]

    assert drawers == []


@each_file
def test_only_the_command_line_and_the_worker_print(path):
    if _relative(path).startswith(MAY_PRINT):
        return

    assert "print" not in _called_names(path)


@each_file
def test_logging_is_left_to_the_application(path):
    assert "logging.basicConfig" not in _called_names(path)


@each_file
def test_unfinished_work_is_not_left_in_comments(path):
    assert re.findall(r"\b(?:TODO|FIXME)\b", path.read_text(encoding="utf-8")) == []


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _called_names(path: Path) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(_tree(path)) if isinstance(node, ast.Call)}
