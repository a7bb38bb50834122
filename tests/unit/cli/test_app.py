"""Finding the verb, and what becomes of everything that a verb raises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from attnbench import errors
from attnbench.cli import app


def test_without_a_verb_six_lines_say_what_there_is(attnbench, golden):
    result = attnbench()

    assert result.code == 0
    assert len(result.out.splitlines()) == 6
    golden("welcome", result.out)


def test_the_help_names_every_verb_in_a_line(attnbench, golden):
    result = attnbench("--help")

    assert result.code == 0
    golden("help", result.out)


@pytest.mark.parametrize("verb", app.VERBS)
def test_a_verb_is_a_command_with_a_help(attnbench, verb):
    result = attnbench(verb, "--help")

    assert app.cli.get_command(click.Context(app.cli), verb).name == verb
    assert result.code == 0
    assert result.out.startswith(f"Usage: attnbench {verb}")


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("rnu",), "no such command 'rnu', did you mean 'run'?"),
        (("--vresion",), "no such option --vresion, did you mean '--version'?"),
        (("run", "--devcie", "cpu"), "no such option --devcie, did you mean '--device'?"),
        (("run", "--redo", "fialed"), "got 'fialed', did you mean 'failed'?"),
        (("run", "--budget", "soon"), "'soon' is not a duration such as 90s, 10m or 1h"),
        (("list", "modles"), "got 'modles', did you mean 'models'?"),
        (("merge",), "missing argument 'RUN...'"),
    ],
)
def test_what_is_typed_wrong_is_answered_with_the_right_word(attnbench, words, advice):
    result = attnbench(*words)

    assert result.code == 2
    assert result.err.startswith("error: ")
    assert advice in result.err
    assert result.out == ""


def _all_errors():
    found = [errors.AttnbenchError]
    for one in found:
        found += one.__subclasses__()
    return found[1:]


@pytest.mark.parametrize("kind", _all_errors(), ids=lambda kind: kind.__name__)
def test_an_error_of_ours_is_a_message_and_its_exit_code(attnbench, fake_run, kind):
    if kind is errors.SuiteError:
        fake_run.error = kind(["where: what"])
    elif kind is errors.ProblemError:
        fake_run.error = kind("where: what", field="batch")
    else:
        fake_run.error = kind("where: what", hint="type this")

    result = attnbench("run")

    assert result.code == kind.exit_code
    assert "error: where: what\n" in result.err
    assert "Traceback" not in result.err


def test_a_bug_is_kept_in_a_file_that_is_named(attnbench, fake_run, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fake_run.error = KeyError("latency")

    result = attnbench("run")

    assert result.code == 70
    assert "Traceback" not in result.err
    path = Path(re.search(r"traceback is in (\S+?):", result.err)[1])
    assert "KeyError: 'latency'" in path.read_text(encoding="utf-8")


def test_a_bug_is_printed_where_no_file_can_be_written(attnbench, fake_run, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")
    fake_run.error = KeyError("latency")

    result = attnbench("run")

    assert result.code == 70
    assert "Traceback" in result.err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()], ids=["ctrl-c", "abort"])
def test_an_interrupt_outside_a_run_is_130(attnbench, fake_run, error):
    fake_run.error = error

    assert attnbench("run").code == 130


def test_a_warning_is_a_line_without_its_place_in_the_code(attnbench, monkeypatch):
    import warnings

    from attnbench.cli import list as list_verb

    def warn():
        warnings.warn("the run goes on", stacklevel=2)
        return list_verb.Listing([("a",)], [], "nothing")

    monkeypatch.setitem(list_verb.KINDS, "runs", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        result = attnbench("list", "runs")

    assert result.err == "warning: the run goes on\nnothing\n"


def python(*words, **environ):
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
    )


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["list", "models"], ["list", "metrics"], ["list", "suites"]]
)
def test_what_must_start_fast_imports_nothing_heavy(words):
    program = f"""
import sys
from attnbench.cli.app import main
assert main({words}) == 0
heavy = {{"torch", "triton", "numpy", "pandas", "pyarrow", "pydantic", "scipy", "matplotlib"}}
print("heavy:", sorted(heavy & set(sys.modules)))
"""

    done = python("-c", program)

    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("heavy: []\n")


def test_the_package_is_a_command_too():
    done = python("-m", "attnbench", "rnu")

    assert done.returncode == 2
    assert "did you mean 'run'?" in done.stderr


def test_a_terminal_without_utf_8_gets_ascii():
    done = python("-m", "attnbench", "list", "metrics", PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert done.returncode == 0
    assert "latency             us" in done.stdout


def test_a_reader_that_leaves_is_no_error():
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m attnbench list models | head -1"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0
    assert done.stderr == ""
