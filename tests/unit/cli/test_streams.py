"""Who reads stdout and stderr, and how long, changes nothing of what a verb does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from attnbench.cli.streams import guarded_stdio

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
def test_an_exit_code_is_that_of_the_verb_whatever_has_left(tmp_path, words, code, streams):
    assert left_early(tmp_path, *words, streams=streams) == code


@pytest.mark.torch
@pytest.mark.parametrize(
    "words",
    [
        ("check", "wrong.py", "-k", "theme=dtypes"),
        ("run", "suite.yaml", "--processes", "1", "--out", "out.parquet", "--json"),
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


def onto(command, folder, *words):
    """Run attnbench under a redirection of the shell."""
    line = f"{sys.executable} -m attnbench {' '.join(words)} {command}"
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("words", [("list", "models"), ("list", "suites", "--json"), ("--help",)])
def test_a_stdout_that_has_no_room_is_exit_code_4(tmp_path, words):
    done = onto(">/dev/full", tmp_path, *words)

    assert done.returncode == 4
    assert done.stderr == (
        "error: cannot write to stdout: No space left on device\n"
        "  the output is incomplete; free some space, or redirect stdout elsewhere\n"
    )


def test_a_verb_that_wrote_nothing_keeps_its_exit_code_on_a_full_disk(tmp_path):
    assert onto(">/dev/full", tmp_path, "lsit").returncode == 2


@pytest.mark.parametrize(("words", "code"), [(("list", "models"), 0), (("lsit",), 2)])
def test_talk_that_has_no_room_changes_no_exit_code(tmp_path, words, code):
    done = onto("2>/dev/full", tmp_path, *words)

    assert (done.returncode, "llama" in done.stdout) == (code, code == 0)


def test_a_verb_goes_on_where_stdout_has_no_room(monkeypatch):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with guarded_stdio() as losses:
            for _ in range(3):
                click.echo("a case" * 10_000)

            assert losses.error().exit_code == 4
