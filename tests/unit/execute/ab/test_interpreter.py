"""Another python: which one is meant, and what it gets to import."""

from __future__ import annotations

import subprocess
import sys

import pytest
from attnbench.execute.ab.interpreter import harness_alone, interpreter

import attnbench
from attnbench.errors import EnvironmentProblem, InputError
from attnbench.execute.ab import interpreter as module

FLAG = "--new python:x"


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_file_a_folder_of_a_venv_and_a_command_are_interpreters(tmp_path, monkeypatch):
    link = tmp_path / "venv" / "bin" / "python"
    link.parent.mkdir(parents=True)
    link.symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(link.parent))
    monkeypatch.chdir(tmp_path)

    assert interpreter(str(link), FLAG) == str(link)  # a venv's python is a link: not followed
    assert interpreter("venv", FLAG) == str(link)
    assert interpreter("./venv/bin/python", FLAG) == str(link)
    assert interpreter("python", FLAG) == str(link)


@pytest.mark.parametrize("word", ["", "/no/such/python", "nopython", "./gone"])
def test_what_is_not_there_is_told(word):
    with pytest.raises(InputError, match="no such interpreter"):
        interpreter(word, FLAG)


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho hello\n", "no program\n"])
def test_what_is_no_python_is_told(tmp_path, text):
    path = script(tmp_path / "python", text)

    with pytest.raises(InputError, match="does not answer as a python does"):
        interpreter(str(path), FLAG)


def test_a_python_that_is_too_old_cannot_run_a_worker(tmp_path):
    path = script(tmp_path / "python", "#!/bin/sh\necho attnbench 3 9\n")

    with pytest.raises(EnvironmentProblem, match=r"it is Python 3\.9, and a worker needs 3\.11"):
        interpreter(str(path), FLAG)


def test_one_that_does_not_answer_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LIMIT_S", 0.1)
    path = script(tmp_path / "python", "#!/bin/sh\nsleep 60\n")

    with pytest.raises(InputError, match="does not answer"):
        interpreter(str(path), FLAG)


def test_the_harness_comes_alone_and_knows_its_version():
    program = (
        "import attnbench, importlib.util as u; "
        "print(attnbench.__version__, u.find_spec('numpy'), u.find_spec('click'))"
    )
    with harness_alone() as folder:
        done = subprocess.run(
            [
                sys.executable,
                "-I",
                "-S",
                "-c",
                f"import sys; sys.path.insert(0, {folder!r}); {program}",
            ],
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.stdout.split() == [attnbench.__version__, "None", "None"], done.stderr
