"""DRAM bytes that Nsight Compute counts, for a few cases: ``python tests/gpu/dram.py FOLDER``.

Each goes through ``attnbench profile``. ncu sets the clocks of the card by itself by
default, and a card may be other people's as well: where the command that attnbench would run lacks
``--clock-control none``, nothing is run. ``--tests FILE`` runs the profilers' own tests behind the
same guard, ``--rehearse`` takes torch's profiler instead of ncu.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# (name, suite, filter that leaves one case); the same with small lengths where it is rehearsed.
CASES = (
    ("decode", "decode", "batch=8 kv_len=4k kv_heads=8 backend=triton_decode"),
    (
        "paged",
        "kv_cache",
        "page_size=16 page_order=shuffled kv_dtype=bf16 batch=32 backend=triton_decode",
    ),
    ("int8", "kv_cache", "kv_layout=contiguous kv_dtype=int8 batch=32 backend=triton_decode"),
)
REHEARSED = (("decode", "decode", "batch=1 kv_len=256 kv_heads=8 backend=sdpa"),)
TESTS = Path(__file__).with_name("test_profile.py")
_TIMEOUT_S = 60


def main(argv: Sequence[str] | None = None) -> int:
    """Profile each case into the folder; return 1 where one failed or would touch the clocks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--tests", type=Path, help="run the profilers' tests; their JUnit file")
    asked = parser.parse_args(argv)
    asked.folder.mkdir(parents=True, exist_ok=True)
    tool = "torch" if asked.rehearse else "ncu"
    cases = REHEARSED if asked.rehearse else CASES
    shown = _attnbench(*_words(*cases[0][1:], tool, asked.folder / "shown"), "--show-command")
    if tool == "ncu" and not leaves_clocks_alone(shown.stdout):
        _say(f"ncu would set the clocks: {shown.stdout[:400]}{shown.stderr[-400:]}")
        return 1
    if asked.tests is not None:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default"]
        command += [str(TESTS), "-m", "gpu", f"--junitxml={asked.tests}"]
        return subprocess.run(command, check=False).returncode
    failed = 0
    for name, suite, select in cases:
        done = _attnbench(*_words(suite, select, tool, asked.folder / name), "--json")
        (asked.folder / f"{name}.json").write_text(done.stdout, encoding="utf-8")
        _say(f"{name}: exit code {done.returncode}\n{done.stderr[-1500:]}")
        failed += done.returncode != 0
    return int(failed > 0)


def leaves_clocks_alone(command: str) -> bool:
    """Whether this command line of ncu leaves the clocks as they are."""
    return "--clock-control none" in command or "--clock-control=none" in command


def _words(suite: str, select: str, tool: str, out: Path) -> list[str]:
    device = ["--device", "cpu"] if tool == "torch" else []
    ending = {"ncu": ".ncu.csv", "torch": ".trace.json"}[tool]
    return [suite, "-k", select, *device, "--tool", tool, "--out", f"{out}{ending}"]


def _attnbench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "attnbench", "profile", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  a program


if __name__ == "__main__":
    sys.exit(main())
