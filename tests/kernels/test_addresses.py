"""Offsets of heads in the kernels for long queries: 128 heads of 128k rows pass 2^31 elements."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from attnbench import kernels

STRIDES = ("stride_qh", "stride_kh", "stride_vh")  # elements; rows of o, dk and dv are fewer
WIDE = "tl.int64"


def assigned(function: ast.FunctionDef, name: str) -> list[str]:
    """What a name is given inside a function."""
    return [
        ast.unparse(node.value)
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    ]


@pytest.mark.parametrize("file", ["flash.py", "flash_backward.py", "block_sparse.py"])
def test_a_head_s_offset_is_counted_in_64_bits(file):
    path = Path(kernels.__file__).with_name(file)
    narrow, seen = [], 0
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.BinOp) and ast.unparse(node.right) in STRIDES:
                seen += 1
                head = ast.unparse(node.left)
                made = assigned(function, head) or [head]
                if WIDE not in head and not all(WIDE in one for one in made):
                    narrow.append((function.name, ast.unparse(node)))

    assert seen >= 3
    assert narrow == []
