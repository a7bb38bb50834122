"""The table of planted defects names a test for every number, and each of those tests exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDER = Path(__file__).parent
NUMBERS = {1, *range(5, 13), *range(17, 25), 28, 30}


def rows():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for line in text.splitlines():
        if match := re.fullmatch(r"\| (\d+) \| .* \| .* \| (.*) \|", line):
            yield int(match[1]), match[2]


def names_in(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_number_of_the_list_has_one_row():
    assert sorted(number for number, _ in rows()) == sorted(NUMBERS)


def test_every_row_names_a_test_that_exists():
    for _, named in rows():
        file, _, name = named.strip("`").partition("::")
        assert name.startswith("test_"), named
        assert name in names_in(FOLDER / file), named
