"""Running the tree as it lies: wheels unpacked into a folder that every child has on its path."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
WHEELS = ROOT / "tests" / "gpu" / "wheels"


def unpack_wheels(wheels: Iterable[Path], site: Path) -> list[str]:
    """Unpack wheels into a folder; return their names. Nothing is compiled and nothing installed.

    All are unpacked, pure ones too: an extension module cannot be loaded out of a zip, and a
    namespace package such as ruamel is not found in one.
    """
    site.mkdir(parents=True, exist_ok=True)
    names = []
    for wheel in sorted(wheels):
        if wheel.suffix == ".whl":
            _unzip(wheel, site)
        else:
            with tarfile.open(wheel) as tar:
                tar.extractall(site, filter="data")
        names.append(wheel.name)
    return names


def _unzip(wheel: Path, site: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            path = Path(archive.extract(member, site))
            if (member.external_attr >> 16) & 0o111 and path.is_file():
                path.chmod(0o755)  # a compiler that a wheel brings along


def for_this_python(wheels: Iterable[Path]) -> list[Path]:
    """Return the wheels, or none of them where one is for another Python.

    Half of them would be worse than none: pydantic takes no other pydantic-core than its own.
    """
    found = sorted(wheels)
    this = f"cp{sys.version_info.major}{sys.version_info.minor}"
    tags = {wheel.name.removesuffix(".tar.xz").split("-")[-3] for wheel in found}
    return [] if {one for one in tags if one.startswith("cp")} - {this} else found


def name_the_tree(site: Path) -> None:
    """Let the tree be a distribution with a version, where it is not installed.

    Rows keep the version of the attnbench that measured; a source tree alone has none.
    """
    try:
        metadata.version("attnbench")
    except metadata.PackageNotFoundError:
        version = tree_version()
        folder = site / f"attnbench-{version}.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        text = f"Metadata-Version: 2.1\nName: attnbench\nVersion: {version}\n"
        (folder / "METADATA").write_text(text, encoding="utf-8")


def child_environment(site: Path, work: Path) -> dict[str, str]:
    """Return the environment of every child: the wheels, then the tree, then what was there."""
    path = [str(site), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": str(work / "cache"),  # measured ceilings come back with the rest
        "COLUMNS": "160",
        "NO_COLOR": "1",
    }


def tree_version() -> str:
    """Return the version in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def describe_tree() -> dict[str, str | bool | None]:
    """Say which tree this is: its commit where git knows it, and a digest of what measures.

    A copy without its history has no commit; the digest tells whether it is the one at home.
    """
    return {"version": tree_version(), "digest": _digest(), **_commit()}


def _digest() -> str:
    found = hashlib.blake2b(digest_size=8)
    for path in sorted([*ROOT.glob("attnbench/**/*.py"), *ROOT.glob("suites/*.yaml")]):
        found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _commit() -> dict[str, str | bool | None]:
    def git(*words: str) -> str:
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(
            command, capture_output=True, check=True, text=True, timeout=20
        ).stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
