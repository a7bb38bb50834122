"""Where the code of a side comes from: a commit of a repository (git:REF), another Python.

A commit's files are laid out in a git worktree that is removed afterwards. The repository is the
user's: nothing in it changes but the entry of the worktree under ``.git``, no hook runs, and what a
killed run left there is removed by the next.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from attnbench.errors import EnvironmentProblem, InputError
from attnbench.filter import did_you_mean

_PREFIX = "attnbench-ab-"
_LOCK = "lock"
_GIT_LIMIT_S = 300
# Set by git for its hooks; they would lead it to another repository than the file's.
_STRAY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
_NO_REF = re.compile(r"[\x00-\x20\x7f?*\[\\:]|\.\.|^-|^$")
OLDEST = (3, 11)
_PACKAGE = Path(__file__).resolve().parents[2]
_PYTHON_LIMIT_S = 60
_ASK = "import sys; print('attnbench', *sys.version_info[:2])"


class _GitError(Exception):
    """What git said."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A commit's files under ``path``; ``top`` is where the repository has its own."""

    top: Path
    path: Path
    commit: str

    def moved(self, file: Path) -> Path:
        """Where a file of the repository lies in this commit."""
        return self.path / file.resolve().relative_to(self.top)


def check_ref(ref: str, flag: str) -> None:
    """Refuse what no commit can be called.

    Raises:
        InputError: it says why.

    """
    if _NO_REF.search(ref):
        said = f"{ref!r} is no name of a commit" if ref else "it needs the name of a commit"
        raise InputError(f"{flag}: {said}", hint="such as git:main, git:v1.2, git:HEAD~1")


def repository_of(file: Path, flag: str) -> Path:
    """Return the folder at the top of the repository that a backend's file lies in.

    Raises:
        InputError: it lies in none.
        EnvironmentProblem: there is no git here.

    """
    try:
        return Path(_git(file.resolve().parent, "rev-parse", "--show-toplevel"))
    except _GitError as error:
        raise InputError(
            f"{flag}: {file} lies in no git repository that can be read: {error}",
            hint="name another file instead: a path ending in .py",
        ) from None


@contextmanager
def checkout(top: Path, ref: str, flag: str) -> Iterator[Checkout]:
    """Hand out a commit's files for a block.

    Raises:
        InputError: no such commit.
        EnvironmentProblem: git cannot lay its files out.

    """
    commit = _commit_of(top, ref, flag)
    _sweep(top)
    holder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = _held(holder / _LOCK)
    path = holder / "tree"
    try:
        try:
            _git(top, "worktree", "add", "--detach", "--quiet", str(path), commit)
        except _GitError as error:
            raise EnvironmentProblem(
                f"{flag}: git cannot lay out {commit[:12]} of {top}: {error}"
            ) from None
        yield Checkout(top, path, commit)
    finally:
        _remove(top, holder)
        os.close(lock)


def _commit_of(top: Path, ref: str, flag: str) -> str:
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    try:
        return _git(top, *words)
    except _GitError:
        pass
    hint = (
        f"fetch it: git -C {top} fetch origin {ref}; a shallow clone has only its newest commit "
        "(fetch-depth: 0)"
    )
    if ref.endswith("-dirty"):
        hint = "changes that are in no commit: leave --new away, which takes the files as they are"
    else:
        with suppress(_GitError):
            names = _git(top, "for-each-ref", "--format=%(refname:short)").split()
            hint = did_you_mean(ref, names) or hint
    raise InputError(f"{flag}: no commit {ref!r} in {top}", hint=hint)


def _sweep(top: Path) -> None:
    """Remove the worktrees of runs that were killed: those whose lock nobody holds."""
    with suppress(_GitError):
        for line in _git(top, "worktree", "list", "--porcelain").splitlines():
            holder = Path(line.removeprefix("worktree ")).parent
            if not line.startswith("worktree ") or not holder.name.startswith(_PREFIX):
                continue
            with suppress(OSError):
                os.close(_held(holder / _LOCK))
                _remove(top, holder)


def _held(path: Path) -> int:
    """Take a lock that the system gives back when this process dies; return its descriptor.

    Raises:
        OSError: another process holds it, or there is no such folder.

    """
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove(top: Path, holder: Path) -> None:
    with suppress(_GitError, EnvironmentProblem):
        _git(top, "worktree", "remove", "--force", str(holder / "tree"))
    shutil.rmtree(holder, ignore_errors=True)
    with suppress(_GitError, EnvironmentProblem):
        _git(top, "worktree", "prune")


def _git(folder: Path, *words: str) -> str:
    """Run git and return what it printed.

    Raises:
        _GitError: it failed; the message is its own.
        EnvironmentProblem: there is no git here.

    """
    environment = {name: value for name, value in os.environ.items() if name not in _STRAY}
    try:
        done = subprocess.run(  # noqa: S603  fixed words, no shell; the ref was checked
            ["git", "-C", str(folder), "-c", "core.hooksPath=/dev/null", *words],  # noqa: S607
            capture_output=True,
            check=False,
            env=environment,
            start_new_session=True,  # Ctrl-C is ours to hear: a worktree is not left half made
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_GIT_LIMIT_S,
        )
    except FileNotFoundError:
        raise EnvironmentProblem("git is not installed, and a side is git:REF") from None
    except subprocess.TimeoutExpired:
        raise _GitError(f"git {words[0]} did not end within {_GIT_LIMIT_S} s") from None
    if done.returncode:
        raise _GitError((done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1])
    return done.stdout.strip()


def interpreter(word: str, flag: str) -> str:
    """Return the interpreter that ``python:PATH`` names: a file, a folder of a venv, or a command.

    Raises:
        InputError: there is none, or it is no python.
        EnvironmentProblem: it is too old.

    """
    path = _located(word)
    if path is None:
        raise InputError(
            f"{flag}: no such interpreter",
            hint="write python:/path/to/venv/bin/python",
        )
    answer = _answer(path)
    if answer is None:
        raise InputError(f"{flag}: {path} does not answer as a python does")
    if answer < OLDEST:
        is_one, needs = (".".join(map(str, version)) for version in (answer, OLDEST))
        raise EnvironmentProblem(f"{flag}: it is Python {is_one}, and a worker needs {needs}")
    return path


@contextmanager
def harness_alone() -> Iterator[str]:
    """Hand out a folder that holds this package and no other, for the path of another python.

    The folder that the package lies in may hold a whole environment: its torch would hide the
    other python's own.
    """
    with tempfile.TemporaryDirectory(prefix="attnbench-harness-") as folder:
        Path(folder, _PACKAGE.name).symlink_to(_PACKAGE, target_is_directory=True)
        if (facts := _distribution()) is not None:  # it tells the version
            Path(folder, facts.name).symlink_to(facts, target_is_directory=True)
        yield folder


def _located(word: str) -> str | None:
    """An absolute path; links are not followed, because a venv's python is one."""
    path = Path(word).expanduser().absolute()
    if path.is_dir():
        path = path / "bin" / "python"
    if path.is_file():
        return str(path)
    return shutil.which(word) if word and "/" not in word else None


def _answer(python: str) -> tuple[int, int] | None:
    try:
        done = subprocess.run(  # noqa: S603  what the user named, no shell
            [python, "-c", _ASK],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_PYTHON_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    words = done.stdout.split()
    if done.returncode or len(words) != 3 or words[0] != "attnbench":  # noqa: PLR2004  as asked
        return None
    return int(words[1]), int(words[2])


def _distribution() -> Path | None:
    try:
        found = metadata.distribution("attnbench")
    except metadata.PackageNotFoundError:
        return None
    path = getattr(found, "_path", None)
    return path if isinstance(path, Path) and path.is_dir() else None
