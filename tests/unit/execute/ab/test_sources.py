"""Where a side's code comes from: a commit's files, laid out and gone; another Python."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

import attnbench
from attnbench.errors import EnvironmentProblem, InputError
from attnbench.execute.ab import sources
from attnbench.execute.ab.sources import (
    check_ref,
    checkout,
    harness_alone,
    interpreter,
    repository_of,
)

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
GIT_FLAG, PYTHON_FLAG = "--base git:x", "--new python:x"


def git(folder, *words):
    command = ["git", "-C", str(folder), "-c", "user.email=a@b", "-c", "user.name=n", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    top = tmp_path / "theirs"
    (top / "kernels").mkdir(parents=True)
    git(top, "init", "-q", "-b", "main")
    (top / "kernels" / "mine.py").write_text("then = 1\n")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "one")
    git(top, "tag", "v1")
    (top / "kernels" / "mine.py").write_text("now = 2\n")
    return top


def trees_of(top):
    return git(top, "worktree", "list").splitlines()


@needs_git
def test_a_commits_files_are_laid_out_and_gone_afterwards(repository):
    file = repository / "kernels" / "mine.py"

    with checkout(repository_of(file, GIT_FLAG), "v1", GIT_FLAG) as found:
        assert found.moved(file).read_text() == "then = 1\n"
        assert found.commit == git(repository, "rev-parse", "v1")
        assert len(trees_of(repository)) == 2

    assert len(trees_of(repository)) == 1
    assert not found.path.parent.exists()
    assert file.read_text() == "now = 2\n"
    assert git(repository, "status", "--porcelain") == "M kernels/mine.py"


@needs_git
def test_it_is_gone_after_an_error_too(repository):
    with pytest.raises(KeyboardInterrupt), checkout(repository, "main", GIT_FLAG) as found:
        raise KeyboardInterrupt

    assert len(trees_of(repository)) == 1
    assert not found.path.parent.exists()


@needs_git
def test_what_a_killed_run_left_is_removed_by_the_next_and_a_living_one_is_not(repository):
    with checkout(repository, "main", GIT_FLAG) as living:
        dead = living.path.parent.with_name("attnbench-ab-dead")
        git(repository, "worktree", "add", "-q", "--detach", str(dead / "tree"), "main")

        with checkout(repository, "v1", GIT_FLAG):
            assert not dead.exists()
            assert living.path.exists()
            assert len(trees_of(repository)) == 3


@needs_git
def test_no_hook_runs(repository, tmp_path):
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    hook.chmod(0o755)

    with checkout(repository, "v1", GIT_FLAG):
        pass

    assert not (tmp_path / "ran").exists()


@needs_git
@pytest.mark.parametrize(
    "ref", ["", "-q", "--all", "a b", "a\tb", "a..b", "main:x", "v[1]", "x\\y"]
)
def test_what_no_commit_is_called_is_refused(ref):
    with pytest.raises(InputError, match="name of a commit"):
        check_ref(ref, GIT_FLAG)


@needs_git
@pytest.mark.parametrize("ref", ["main", "HEAD~2", "v1^", "HEAD@{1}", "origin/main", "1a2b3c4"])
def test_what_a_commit_may_be_called_is_not(ref):
    check_ref(ref, GIT_FLAG)


@pytest.mark.parametrize(
    ("ref", "advice"),
    [
        ("mian", "did you mean 'main'?"),
        ("v9.9.9rc", "fetch it: git -C"),
        ("main-dirty", "leave --new away"),
    ],
)
def test_a_commit_that_is_not_there_is_reported_with_what_to_do(repository, ref, advice):
    with pytest.raises(InputError) as raised, checkout(repository, ref, GIT_FLAG):
        pass

    assert f"no commit {ref!r}" in raised.value.message
    assert advice in raised.value.hint


@needs_git
def test_a_file_in_no_repository_is_refused(tmp_path):
    with pytest.raises(InputError, match="lies in no git repository"):
        repository_of(tmp_path / "mine.py", GIT_FLAG)


@needs_git
def test_a_repository_is_found_inside_a_hook_of_another(repository, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))

    assert repository_of(repository / "kernels" / "mine.py", GIT_FLAG) == repository.resolve()


@needs_git
def test_without_git_it_is_said_what_is_missing(repository, monkeypatch):
    def absent(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(sources.subprocess, "run", absent)

    with pytest.raises(EnvironmentProblem, match="git is not installed"):
        repository_of(repository / "kernels" / "mine.py", GIT_FLAG)


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

    assert interpreter(str(link), PYTHON_FLAG) == str(link)  # a link is not followed
    assert interpreter("venv", PYTHON_FLAG) == str(link)
    assert interpreter("./venv/bin/python", PYTHON_FLAG) == str(link)
    assert interpreter("python", PYTHON_FLAG) == str(link)


@pytest.mark.parametrize("word", ["", "/no/such/python", "nopython", "./gone"])
def test_an_interpreter_that_is_not_there_is_refused(word):
    with pytest.raises(InputError, match="no such interpreter"):
        interpreter(word, PYTHON_FLAG)


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho hello\n", "no program\n"])
def test_what_is_no_python_is_refused(tmp_path, text):
    path = script(tmp_path / "python", text)

    with pytest.raises(InputError, match="does not answer as a python does"):
        interpreter(str(path), PYTHON_FLAG)


def test_a_python_that_is_too_old_cannot_run_a_worker(tmp_path):
    path = script(tmp_path / "python", "#!/bin/sh\necho attnbench 3 9\n")

    with pytest.raises(EnvironmentProblem, match=r"it is Python 3\.9, and a worker needs 3\.11"):
        interpreter(str(path), PYTHON_FLAG)


def test_one_that_does_not_answer_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_PYTHON_LIMIT_S", 0.1)
    path = script(tmp_path / "python", "#!/bin/sh\nsleep 60\n")

    with pytest.raises(InputError, match="does not answer"):
        interpreter(str(path), PYTHON_FLAG)


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
