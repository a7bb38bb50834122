"""Another python as a side: what it must be, and how it comes by this harness and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from attnbench.errors import EnvironmentProblem, InputError

OLDEST = (3, 11)
_PACKAGE = Path(__file__).resolve().parents[2]
_LIMIT_S = 60
_ASK = "import sys; print('attnbench', *sys.version_info[:2])"


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
            timeout=_LIMIT_S,
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
