"""What triton 3.6, the oldest that is supported, cannot compile, though the pinned one does."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from attnbench import kernels
from attnbench.backends import triton_decode, triton_flash
from attnbench.kernels.launch import assumed_target
from attnbench.measure.inputs import make_inputs
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

TREES = {
    path.name: ast.parse(path.read_text(encoding="utf-8"))
    for path in Path(kernels.__file__).parent.glob("*.py")
}
# Of `triton.language.__all__` in 3.6.0. A name is added only after a look into that version.
NAMES_OF_3_6 = frozenset(
    (
        *("abs", "arange", "atomic_add", "cast", "cdiv", "ceil", "constexpr", "div_rn", "dot"),
        *("exp2", "float16", "float32", "full", "inline_asm_elementwise", "int32", "int64"),
        *("load", "log2", "max", "maximum", "min", "minimum", "program_id", "range", "store"),
        *("sum", "trans", "where", "zeros", "split", "reshape", "interleave"),
    )
)
SMALL = Problem(q_len=1, kv_len=32, q_heads=2, kv_heads=1, head_dim=64, dtype="bf16")


def jitted(tree: ast.Module) -> list[ast.FunctionDef]:
    """The functions that Triton compiles."""
    found = [one for one in tree.body if isinstance(one, ast.FunctionDef)]
    return [one for one in found if any("triton.jit" in ast.unparse(d) for d in one.decorator_list)]


def test_the_kernels_use_no_name_that_triton_3_6_lacks():
    used = {
        (file, node.attr)
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "tl"
    }

    assert len(used) > 50
    assert {one for one in used if one[1] not in NAMES_OF_3_6} == set()


def test_no_function_of_a_kernel_returns_what_a_problem_may_lack():
    """There a None that is returned is `cannot convert None to tensor`, ROPE or no ROPE."""
    inputs = make_inputs(SMALL, "cpu")
    launches = [
        launch
        for module in (triton_decode, triton_flash)
        for launch in module.plan(inputs, assumed_target(90)).make()[0]
    ]
    lacking = {name for one in launches for name, value in one.arguments.items() if value is None}

    assert {"cos", "cu_q", "page_table"} <= lacking
    returned = {
        (file, function.name, name.id)
        for file, tree in TREES.items()
        for function in jitted(tree)
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and node.value is not None
        for name in getattr(node.value, "elts", [node.value])
        if isinstance(name, ast.Name)
    }
    assert {one for one in returned if one[2] in lacking} == set()
