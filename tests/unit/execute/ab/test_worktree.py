"""A commit's files: laid out, gone afterwards, and never left half made."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from attnbench.execute.ab.worktree import check_ref, checkout, repository_of

from attnbench.errors import EnvironmentProblem, InputError
from attnbench.execute.ab import worktree

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
FLAG = "--base git:x"


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


def test_a_commits_files_are_laid_out_and_gone_afterwards(repository):
    file = repository / "kernels" / "mine.py"

    with checkout(repository_of(file, FLAG), "v1", FLAG) as found:
        assert found.moved(file).read_text() == "then = 1\n"
        assert found.commit == git(repository, "rev-parse", "v1")
        assert len(trees_of(repository)) == 2

    assert len(trees_of(repository)) == 1
    assert not found.path.parent.exists()
    assert file.read_text() == "now = 2\n"
    assert git(repository, "status", "--porcelain") == "M kernels/mine.py"


def test_it_is_gone_after_an_error_too(repository):
    with pytest.raises(KeyboardInterrupt), checkout(repository, "main", FLAG) as found:
        raise KeyboardInterrupt

    assert len(trees_of(repository)) == 1
    assert not found.path.parent.exists()


def test_what_a_killed_run_left_is_removed_by_the_next_and_a_living_one_is_not(repository):
    with checkout(repository, "main", FLAG) as living:
        dead = living.path.parent.with_name("attnbench-ab-dead")
        git(repository, "worktree", "add", "-q", "--detach", str(dead / "tree"), "main")

        with checkout(repository, "v1", FLAG):
            assert not dead.exists()
            assert living.path.exists()
            assert len(trees_of(repository)) == 3


def test_no_hook_runs(repository, tmp_path):
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    hook.chmod(0o755)

    with checkout(repository, "v1", FLAG):
        pass

    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "ref", ["", "-q", "--all", "a b", "a\tb", "a..b", "main:x", "v[1]", "x\\y"]
)
def test_what_no_commit_is_called_is_refused(ref):
    with pytest.raises(InputError, match="name of a commit"):
        check_ref(ref, FLAG)


@pytest.mark.parametrize("ref", ["main", "HEAD~2", "v1^", "HEAD@{1}", "origin/main", "1a2b3c4"])
def test_what_a_commit_may_be_called_is_not(ref):
    check_ref(ref, FLAG)


@pytest.mark.parametrize(
    ("ref", "advice"),
    [
        ("mian", "did you mean 'main'?"),
        ("v9.9.9rc", "fetch it: git -C"),
        ("main-dirty", "leave --new away"),
    ],
)
def test_a_commit_that_is_not_there_is_told_with_what_to_do(repository, ref, advice):
    with pytest.raises(InputError) as raised, checkout(repository, ref, FLAG):
        pass

    assert f"no commit {ref!r}" in raised.value.message
    assert advice in raised.value.hint


def test_a_file_in_no_repository_is_told(tmp_path):
    with pytest.raises(InputError, match="lies in no git repository"):
        repository_of(tmp_path / "mine.py", FLAG)


def test_a_repository_is_found_inside_a_hook_of_another(repository, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))

    assert repository_of(repository / "kernels" / "mine.py", FLAG) == repository.resolve()


def test_without_git_it_is_said_what_is_missing(repository, monkeypatch):
    def absent(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(worktree.subprocess, "run", absent)

    with pytest.raises(EnvironmentProblem, match="git is not installed"):
        repository_of(repository / "kernels" / "mine.py", FLAG)
