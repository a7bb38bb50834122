from __future__ import annotations

from dataclasses import replace

import pytest

from attnbench.errors import InputError, OptionError
from attnbench.problem import Problem
from attnbench.profile.inspect import (
    Inspected,
    faults_against,
    inspect,
    inspect_cases,
    missing_from,
    read_baseline,
    to_json,
)
from attnbench.profile.resources import Resources

RESOURCES = Resources(
    registers=80,
    stack_bytes=0,
    spill_instructions=0,
    static_shared_bytes=0,
    dynamic_shared_bytes=71_680,
    warps=4,
    resident=3,
    tensor_core_instructions=32,
    wide_loads=49,
    narrow_loads=6,
    instructions=1040,
)
ROW = Inspected(
    arch="sm_90",
    problem="decode q1s4k 32/8x128 bf16",
    kernel="decode",
    options={},
    tile={"BLOCK_N": 64},
    resources=RESOURCES,
)


def changed(**fields):
    return replace(ROW, resources=replace(RESOURCES, **fields))


def test_a_baseline_is_what_was_printed(tmp_path):
    path = tmp_path / "baseline.json"
    rows = [ROW, replace(ROW, arch="sm_80", options={"splits": 2})]
    path.write_text(to_json(rows))

    assert read_baseline(path) == rows


def test_nothing_is_worse_than_itself():
    assert faults_against([ROW], [ROW]) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"stack_bytes": 8}, "stack 8 B a thread, was 0"),
        ({"spill_instructions": 5}, "5 spill instructions, were 0"),
        ({"resident": 2}, "an SM holds 2 programs, held 3"),
        ({"tensor_core_instructions": 0}, "no tensor core instructions any more"),
        ({"wide_loads": 0}, "no 16 byte loads any more"),
    ],
)
def test_what_makes_a_kernel_slower_is_a_fault(fields, words):
    assert faults_against([ROW], [changed(**fields)]) == [
        f"sm_90 decode q1s4k 32/8x128 bf16 decode: {words}"
    ]


@pytest.mark.parametrize("fields", [{"registers": 81}, {"instructions": 2000}, {"resident": 4}])
def test_what_may_not_is_none(fields):
    assert faults_against([ROW], [changed(**fields)]) == []


def test_a_kernel_that_does_not_compile_is_a_fault_with_or_without_a_baseline():
    broken = replace(ROW, resources=None, fault="OutOfResources: shared memory")

    assert len(faults_against([], [broken])) == 1
    assert "does not compile: OutOfResources" in faults_against([ROW], [broken])[0]


def test_kernels_that_are_gone_are_named_for_the_architectures_looked_at():
    other = replace(ROW, kernel="combine_splits")
    elsewhere = replace(ROW, arch="sm_80")

    assert missing_from([ROW], [ROW, other, elsewhere]) == [other.key]


@pytest.mark.parametrize("arch", ["sm_75", "h200", "", "sm_"])
def test_an_architecture_without_tensor_cores_for_triton_is_refused(arch):
    with pytest.raises(OptionError, match="no architecture"):
        inspect("triton_decode", [arch])


@pytest.mark.parametrize("text", ["", "[]", '{"kernels": [{}]}', '{"kernels": 3}'])
def test_what_is_no_baseline_is_said_with_how_to_make_one(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)

    with pytest.raises(InputError, match="no baseline") as caught:
        read_baseline(path)
    assert "--json" in str(caught.value)


def test_a_missing_baseline_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_baseline(tmp_path / "none.json")


@pytest.mark.torch
def test_a_backend_without_kernels_says_so(tmp_path):
    file = tmp_path / "plain.py"
    file.write_text(
        '"""Nothing of Triton."""\n'
        "from attnbench.plugin import Capabilities\n"
        "capabilities = Capabilities()\n"
        "def prepare(inputs):\n    return None\n"
    )

    with pytest.raises(InputError, match="no Triton kernels to inspect"):
        inspect("./plain.py", ["sm_90"], folder=tmp_path, jobs=1)


@pytest.mark.torch
def test_cases_are_compiled_with_their_options_in_order():
    problem = Problem(q_len=1, kv_len=64, q_heads=8, kv_heads=2, head_dim=64, dtype="bf16")
    tiles = ("32-w4-s2-p1", "128-w8-s2-p1")

    found = inspect_cases("triton_decode", "sm_90", [(problem, {"tile": one}) for one in tiles])

    decode = [next(one for one in rows if one.kernel == "decode") for rows in found]
    assert [one.options["tile"] for one in decode] == list(tiles)
    assert [(one.tile["BLOCK_N"], one.resources.warps) for one in decode] == [(32, 4), (128, 8)]
