"""Interpreted kernels run in a process of their own, which answers one case after another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).with_name("interpreted.py")


@pytest.fixture(scope="session")
def interpreter():
    """The process: cases ``[backend, fields, options]`` in, what is wrong or '' out."""
    # numpy warns of -inf - -inf, which a GPU computes without a word and the kernels guard.
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(RUNNER)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def assert_all_right(interpreter):
    """Check that no case of a backend has a fault; a case is fields, and options under "with"."""

    def fault_of(backend: str, case: dict) -> str:
        fields = {"q_heads": 4, "kv_heads": 2, "head_dim": 64, "dtype": "fp32", **case}
        options = fields.pop("with", {})
        interpreter.stdin.write(json.dumps([backend, fields, options]) + "\n")
        interpreter.stdin.flush()
        answer = interpreter.stdout.readline()
        assert answer, f"the interpreter died over {case}"
        return json.loads(answer)

    def check(backend: str, cases: list[dict]) -> None:
        faults = [(case, fault_of(backend, case)) for case in cases]

        assert [(case, fault) for case, fault in faults if fault] == []

    return check
