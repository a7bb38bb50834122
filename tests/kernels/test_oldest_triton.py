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


def every_function() -> list[tuple[str, ast.FunctionDef]]:
    """Each function that Triton compiles, with its file."""
    return [
        (file, one)
        for file, tree in TREES.items()
        for one in tree.body
        if isinstance(one, ast.FunctionDef)
        and any("triton.jit" in ast.unparse(decorator) for decorator in one.decorator_list)
    ]


def returns_of(function: ast.FunctionDef) -> list[ast.expr]:
    """What each ``return`` gives; one without a value leaves the kernel, as it may."""
    found = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    return [one for one in found if one is not None]


def returned_values(function: ast.FunctionDef) -> list[ast.expr]:
    return [one for value in returns_of(function) for one in getattr(value, "elts", [value])]


def returned_names() -> set[tuple[str, str, str]]:
    return {
        (file, function.name, one.id)
        for file, function in every_function()
        for one in returned_values(function)
        if isinstance(one, ast.Name)
    }


def names_in(value: ast.expr) -> set[str]:
    return {one.id for one in ast.walk(value) if isinstance(one, ast.Name)}


def constants_of(place: ast.FunctionDef | ast.Module) -> set[str]:
    """What is declared a constant in a function, its parameters included, or at a file's top."""
    nodes = ast.walk(place) if isinstance(place, ast.FunctionDef) else place.body
    found: set[str] = set()
    for node in nodes:
        name = getattr(node, "arg", None) or getattr(getattr(node, "target", None), "id", None)
        annotation = getattr(node, "annotation", None)
        if name and annotation is not None and ast.unparse(annotation) == "tl.constexpr":
            found.add(name)
    return found


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
    assert {one for one in returned_names() if one[2] in lacking} == set()


def test_no_function_of_a_kernel_returns_a_constant():
    """There it comes back as a tensor, which can make neither a shape nor a static `if`."""
    shared = {name for tree in TREES.values() for name in constants_of(tree)}
    values = [
        (file, function, value, shared | constants_of(function))
        for file, function in every_function()
        for value in returned_values(function)
    ]

    assert {"LOG2_E", "NONE"} <= shared
    assert any("BLOCK_N" in constants for *_, constants in values)
    assert {
        (file, function.name, ast.unparse(value))
        for file, function, value, constants in values
        if names_in(value) <= constants
    } == set()


def test_a_function_of_a_kernel_returns_in_one_place():
    """There two places must agree, even if a static `if` leaves one of them out of reach."""
    places = {
        (file, function.name): len(returns_of(function)) for file, function in every_function()
    }

    assert sum(places.values()) > 10
    assert {where: count for where, count in places.items() if count > 1} == {}
