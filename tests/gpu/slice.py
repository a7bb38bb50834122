"""Runs one slice of the work that needs a GPU: ``python tests/gpu/slice.py 1``.

Nothing is installed: the package runs from this tree, and the wheels that ``wheels.py`` laid into
``tests/gpu/wheels/`` are unpacked into a folder that every child process has on its path. One tar
in ``$OUT`` (``./out`` where that is not set) holds everything, whole after each step, also when the
slice is cut off. Without a CUDA device, or with ``--device cpu``, it is a rehearsal: the same steps
on tiny problems, into ``dry-run/``, and no figure of it is kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # ``slices`` lies beside this file and is part of no package

from slices import paths  # noqa: E402  found through the line above
from slices.plans import SLICES  # noqa: E402
from slices.runner import Place, Slice  # noqa: E402
from wheels import laid_out  # noqa: E402

if TYPE_CHECKING:
    from slices.step import Step

REHEARSAL = "ATTNBENCH_REHEARSAL"
_LIMIT_S = 540
_REHEARSAL_PATIENCE = 5  # a CPU that others use as well; nothing of it is a result
_VERBS = "from attnbench.cli.app import VERBS; print(*VERBS)"
_SEES_CUDA = "import torch; torch.cuda.init()"  # where it sees none, this says why


def main(argv: Sequence[str] | None = None) -> int:
    """Run the slices that were asked for, one after another; return the worst exit code."""
    asked = _parser().parse_args(argv)
    if asked.list:
        _list()
        return 0
    numbers = asked.number or [1]
    if unknown := [one for one in numbers if one not in SLICES]:
        raise SystemExit(f"no slice {unknown[0]}; there are {', '.join(map(str, SLICES))}")
    out = Path(asked.out or os.environ.get("OUT") or "out").resolve()
    codes = []
    with tempfile.TemporaryDirectory(prefix="attnbench-site-") as folder:
        site = Path(folder)
        found = laid_out(asked.wheels)
        wheels = paths.unpack_wheels(paths.for_this_python(found), site)
        if found and not wheels:
            _say(f"!! the wheels in {asked.wheels} are for another Python and are left alone")
        paths.name_the_tree(site)
        sys.path.insert(1, str(site))
        for number in numbers:
            codes.append(_run(number, asked, out, site, wheels))
            if codes[-1] not in (0, 1):  # it was stopped
                break
    return max(codes)


def _run(number: int, asked: argparse.Namespace, out: Path, site: Path, wheels: list[str]) -> int:
    work = Path(tempfile.mkdtemp(prefix=f"attnbench-slice-{number}-"))
    environment = paths.child_environment(site, work)
    dry = asked.device == "cpu" or _why_no_cuda(environment) is not None
    steps = _chosen(SLICES[number](dry=dry), asked.only)
    patience = _REHEARSAL_PATIENCE if dry else 1
    steps = [replace(one, limit_s=patience * one.limit_s) for one in steps]
    name = f"slice-{number}"
    if dry:
        environment[REHEARSAL] = "1"
        out, name = out / "dry-run", f"{name}.dry-run"
        _say("DRY RUN: no CUDA device is used; nothing here is a result of a GPU")
    for folder in ("results", "junit", "tuned"):
        (work / folder).mkdir()
    place = Place(
        work=work,
        tar=out / f"{name}.tar.gz",
        environment=environment,
        device="cpu" if dry else asked.device,
        limit_bytes=asked.limit_bytes,
        verbs=_verbs(environment),
    )
    description = {
        "slice": number,
        "dry_run": dry,
        "device": place.device,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tree": paths.describe_tree(),
        "wheels": wheels,
    }
    try:
        running = Slice(
            steps=steps,
            place=place,
            description=description,
            limit_s=asked.limit or patience * _LIMIT_S,
        )
        code = running.run()
        _summary(running, place.tar, dry=dry)
        return code
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("number", nargs="*", type=int, help=f"of {', '.join(map(str, SLICES))}")
    parser.add_argument("--limit", type=float, help=f"seconds of each slice, {_LIMIT_S} on a GPU")
    parser.add_argument("--only", help="these steps alone, by name: decode,targets")
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu for a rehearsal")
    parser.add_argument("--out", help="the folder of the tar, instead of $OUT")
    parser.add_argument("--wheels", type=Path, default=paths.WHEELS, help="the folder of wheels")
    parser.add_argument(
        "--limit-bytes", type=int, default=15_000_000, help="what the tar may grow to"
    )
    parser.add_argument("--list", action="store_true", help="print the steps and run nothing")
    return parser


def _chosen(steps: list[Step], only: str | None) -> list[Step]:
    if only is None:
        return steps
    words = only.split(",")
    if unknown := [one for one in words if one not in {step.name for step in steps}]:
        there = ", ".join(step.name for step in steps)
        raise SystemExit(f"no step {', '.join(unknown)} in this slice; it has {there}")
    return [one for one in steps if one.name in words]


def _why_no_cuda(environment: dict[str, str]) -> str | None:
    """Ask a child, so that no CUDA context stays here; where a driver is, it must be seen.

    On a machine that was had for its GPU a rehearsal would waste the minutes.
    """
    done = subprocess.run(
        [sys.executable, "-c", _SEES_CUDA],
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode == 0:
        return None
    reason = (done.stderr.strip().splitlines() or ["torch gives no reason"])[-1]
    if shutil.which("nvidia-smi"):
        raise SystemExit(f"nvidia-smi is here, but torch sees no CUDA device: {reason}")
    return reason


def _verbs(environment: dict[str, str]) -> frozenset[str]:
    done = subprocess.run(
        [sys.executable, "-c", _VERBS],
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode:
        _say(f"!! attnbench cannot be imported here:\n{done.stderr[-2000:]}")
    return frozenset(done.stdout.split())


def _summary(running: Slice, tar: Path, *, dry: bool) -> None:
    _say("")
    for one in running.outcomes:
        seconds = "" if one.seconds is None else f"{one.seconds:6.0f} s"
        _say(f"{one.state:<12} {one.name:<14} {seconds:>8}  {one.reason or one.answers}")
    size = tar.stat().st_size if tar.exists() else 0
    _say(f"{'DRY RUN, no results: ' if dry else ''}{tar} ({size:,} bytes)")


def _list() -> None:
    for number, plan in SLICES.items():
        _say(f"{number}  {plan.__doc__.splitlines()[0]}")
        for one in plan(dry=False):
            _say(f"     {one.name:<14} {one.limit_s:4.0f} s  {one.answers}")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  a program


if __name__ == "__main__":
    sys.exit(main())
