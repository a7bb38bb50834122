"""How long a person waits: commands that compute nothing, beside python's own start."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMANDS = {
    "python itself": ["-c", "pass"],
    "--help": ["-m", "attnbench", "--help"],
    "list suites": ["-m", "attnbench", "list", "suites"],
    "list models": ["-m", "attnbench", "list", "models"],
    "list metrics": ["-m", "attnbench", "list", "metrics"],
    "list backends": ["-m", "attnbench", "list", "backends"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_start(benchmark, name):
    def start():
        return subprocess.run([sys.executable, *COMMANDS[name]], capture_output=True, check=False)

    done = benchmark.pedantic(start, rounds=7, warmup_rounds=1)

    assert done.returncode == 0, done.stderr
