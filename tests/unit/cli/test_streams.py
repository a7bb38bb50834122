"""Who reads stdout and stderr, and how long, changes nothing of what a verb does."""

from __future__ import annotations

import subprocess
import sys

import pytest

WRONG = """\
from attnbench.plugin import Capabilities

capabilities = Capabilities()


def prepare(inputs):
    return lambda: inputs.q * 2
"""
SUITE = """\
suite: s
problem: {q_len: 4, q_heads: 1, head_dim: 8, dtype: fp32}
backends: {./wrong.py: }
"""


def left_early(folder, *words, streams=("stdout",)):
    """Run attnbench where nobody reads these streams, as under ``| head -0``; its exit code."""
    pipes = {name: subprocess.PIPE if name in streams else None for name in ("stdout", "stderr")}
    with subprocess.Popen([sys.executable, "-m", "attnbench", *words], cwd=folder, **pipes) as one:
        for name in streams:
            getattr(one, name).close()
        return one.wait()


@pytest.mark.parametrize("streams", [("stdout",), ("stderr",), ("stdout", "stderr")])
@pytest.mark.parametrize(("words", "code"), [(("list", "models"), 0), (("lsit",), 2)])
def test_an_exit_code_is_that_of_the_verb_whoever_has_left(tmp_path, words, code, streams):
    assert left_early(tmp_path, *words, streams=streams) == code


@pytest.mark.torch
@pytest.mark.parametrize(
    "words",
    [
        ("check", "wrong.py", "-k", "theme=dtypes"),
        ("run", "suite.yaml", "--launches", "1", "--out", "out.parquet", "--json"),
    ],
)
def test_a_wrong_case_is_exit_code_1_though_the_reader_has_left(tmp_path, words, capfd):
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "suite.yaml").write_text(SUITE)

    assert left_early(tmp_path, *words) == 1
    assert "Traceback" not in capfd.readouterr().err
    assert (tmp_path / "out.parquet").exists() == (words[0] == "run")


def test_a_process_without_a_stdout_works(tmp_path):
    command = f"{sys.executable} -m attnbench list models >&-"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
