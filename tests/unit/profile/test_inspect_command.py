from __future__ import annotations

import json
from dataclasses import replace

import pytest

from attnbench.cli import exit_codes
from attnbench.cli.inspect import command
from attnbench.profile import inspect as inspecting
from attnbench.profile.inspect import Inspected, to_json
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
    options={"splits": 2},
    tile={"BLOCK_M": 16, "BLOCK_N": 64},
    resources=RESOURCES,
)
BROKEN = replace(ROW, kernel="other", resources=None, fault="it is too large")


@pytest.fixture
def finds(monkeypatch):
    """Let inspect find these rows; nothing is compiled."""

    def found(*rows):
        monkeypatch.setattr(inspecting, "inspect", lambda *_: list(rows))

    return found


def run(*arguments):
    return command.main(list(arguments), standalone_mode=False)


def test_the_table_has_a_line_a_kernel(finds, capsys):
    finds(ROW)

    assert run("triton_decode") == exit_codes.DONE
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == [
        *("arch", "problem", "kernel", "tile", "warps", "regs", "spills", "shared", "fits"),
        *("tensor", "16", "B", "other"),
    ]
    assert line.split()[-9:] == ["16x64", "4", "80", "0", "71680", "3", "32", "49", "6"]


def test_a_kernel_that_does_not_compile_is_exit_1_and_a_reason(finds, capsys):
    finds(ROW, BROKEN)

    assert run("triton_decode") == exit_codes.BAD_CASE
    assert "does not compile: it is too large" in capsys.readouterr().out


def test_json_is_the_document_that_serves_as_a_baseline(finds, capsys):
    finds(ROW)

    assert run("triton_decode", "--json") == exit_codes.DONE
    assert json.loads(capsys.readouterr().out)["kernels"] == [ROW.to_dict()]


@pytest.mark.parametrize(
    ("stack", "code", "words"),
    [(0, exit_codes.DONE, "0 faults"), (8, exit_codes.BAD_CASE, "1 fault")],
)
def test_a_baseline_rules(finds, capsys, tmp_path, stack, code, words):
    baseline = tmp_path / "baseline.json"
    baseline.write_text(to_json([ROW]))
    finds(replace(ROW, resources=replace(RESOURCES, stack_bytes=stack)))

    assert run("triton_decode", "--baseline", str(baseline)) == code
    assert f"1 kernel, {words} against" in capsys.readouterr().err
