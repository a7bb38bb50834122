"""Lays wheels beside the slices, for a machine with torch that nothing can be installed on.

    python tests/gpu/wheels.py                        what attnbench needs, and two timers beside
    python tests/gpu/wheels.py --add NAME==VERSION    other libraries, without what they need

They go to ``tests/gpu/wheels/``, which git ignores, for CPython 3.12 on x86-64 Linux by
default; ``slice.py`` unpacks whatever lies there. Versions are those of ``constraints.txt``. With
``--pack`` wheels above 10 MB are packed anew with xz, a third to a half of the size for what is
mostly code, which takes minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "gpu" / "wheels"

# What attnbench imports beside torch, numpy, scipy, pandas, pyarrow and matplotlib, which are large
# and part of every machine that is made for torch; click and rich too, whose versions matter.
CORE = (
    "annotated-types",
    "click",
    "filelock",
    "jinja2",
    "junitparser",
    "markdown-it-py",
    "markupsafe",
    "mdurl",
    "nvidia-ml-py",
    "pydantic",
    "pydantic-core",
    "pygments",
    "rich",
    "ruamel.yaml",
    "seaborn",
    "typing-extensions",
    "typing-inspection",
)
# Other people's timers. CUPTI's bindings belong to one major version of CUDA and load the library
# of the machine's own toolkit: the oldest of 13 asks for the least.
RULERS = ("cuda-bench==0.3.0", "cupti-python==13.0.1")
_PACKED_BYTES = 10_000_000
_GLIBC = (39, 35, 34, 31, 28, 27, 24, 17)


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch the wheels and say what they weigh; return pip's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--add", nargs="+", default=[], metavar="NAME", help="these too")
    parser.add_argument("--python", default="3.12", help="the python of that machine")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--max-mb", type=float, default=60, help="fail where they weigh more")
    parser.add_argument("--pack", action="store_true", help="pack large wheels anew, with xz")
    asked = parser.parse_args(argv)
    asked.folder.mkdir(parents=True, exist_ok=True)
    code = _fetch([*_pinned(CORE), *RULERS, *asked.add], asked.python, asked.folder)
    if asked.pack:
        for wheel in asked.folder.glob("*.whl"):
            if wheel.stat().st_size > _PACKED_BYTES:
                pack(wheel)
    return code or _weigh(asked.folder, asked.max_mb)


def pack(wheel: Path) -> Path:
    """Replace a wheel by a tar.xz of what is in it, under the wheel's name."""
    packed, unfinished = wheel.with_suffix(".tar.xz"), wheel.with_suffix(".part")
    with zipfile.ZipFile(wheel) as archive, tarfile.open(unfinished, "w:xz", preset=3) as tar:
        for one in archive.infolist():
            member = tarfile.TarInfo(one.filename)
            member.size, member.mode = one.file_size, (one.external_attr >> 16) & 0o777 or 0o644
            if not one.is_dir():
                with archive.open(one) as data:
                    tar.addfile(member, data)
    unfinished.replace(packed)
    wheel.unlink()
    return packed


def laid_out(folder: Path) -> list[Path]:
    """Every wheel of a folder, packed anew or as it came."""
    return sorted([*folder.glob("*.whl"), *folder.glob("*.tar.xz")])


def _fetch(names: Sequence[str], python: str, folder: Path) -> int:
    platforms = [f"--platform=manylinux_2_{one}_x86_64" for one in _GLIBC]
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--pre"),
        *("--only-binary=:all:", "--implementation=cp", f"--python-version={python}"),
        *(*platforms, "--platform=manylinux2014_x86_64", "--dest", str(folder), *names),
    ]
    return subprocess.run(command, check=False).returncode


def _pinned(names: Sequence[str]) -> list[str]:
    """Return the names with their versions in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    known = dict(one.split("==") for one in lines if "==" in one and not one.startswith("#"))
    return [f"{name}=={known[name]}" for name in names]


def _weigh(folder: Path, max_mb: float) -> int:
    """Name each library once: two versions of one would be unpacked over each other."""
    versions: dict[str, list[str]] = {}
    found = laid_out(folder)
    for wheel in found:
        versions.setdefault(wheel.name.split("-")[0].lower(), []).append(wheel.name)
        _say(f"{wheel.stat().st_size / 1e6:8.1f} MB  {wheel.name}")
    total = sum(wheel.stat().st_size for wheel in found) / 1e6
    _say(f"{total:8.1f} MB  in {folder}")
    for several in versions.values():
        if len(several) > 1:
            _say(f"two versions of one library; remove one of {', '.join(several)}")
            return 1
    if total > max_mb:
        _say(f"more than --max-mb {max_mb:g}")
        return 1
    return 0


def _say(text: str) -> None:
    print(text)  # noqa: T201  a program


if __name__ == "__main__":
    sys.exit(main())
