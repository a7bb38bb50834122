"""Takes what a slice brought home into the repository: ``python tests/gpu/collect.py TAR...``.

Result files go to ``results/<device>/``, with what ncu, the other timers and the tuning left beside
them; a run that was cut off is rebuilt from its journal. Commands, printed as they run, make the
report in ``reports/samples/`` and list the GPU tests that ran in ``docs/trust.md``. The tar of a
rehearsal is refused.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))  # ``slices`` lies beside this file and is part of no package

from slices.paths import describe_tree  # noqa: E402  found through the line above

import attnbench  # noqa: E402  after what is ours here, as everywhere

TRUST = Path("docs/trust.md")
HEAD = "| GPU tests | device, driver | when |"
NONE = "| none | | |"
# Folders of a tar that are kept beside the runs, and which of their files; the runs that other
# timers were compared with are in their tables.
_BESIDE = {
    "crosscheck": (".md", ".json"),
    "dram": (".json", ".csv"),
    "tuned": (".json", ".md", ".csv", ".yaml", ".parquet"),
}


class NotKept(Exception):
    """What this tar holds is no result; the message says why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Collect every tar; return 2 where one is refused or a file would be overwritten."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("tars", nargs="+", type=Path, metavar="TAR")
    parser.add_argument("--into", type=Path, default=ROOT, help="the repository")
    parser.add_argument("--replace", action="store_true", help="over files that are there")
    asked = parser.parse_args(argv)
    try:
        folders = {collect(tar, asked.into, over=asked.replace) for tar in asked.tars}
    except NotKept as refused:
        _say(f"error: {refused}")
        return 2
    for folder in sorted(folders):
        _report(folder, asked.into)
    return 0


def collect(tar: Path, root: Path, *, over: bool = False) -> Path:
    """Unpack one tar into the repository and return the folder of its device.

    Raises:
        NotKept: it is a rehearsal's, it names no GPU, or a file of that name is there already.

    """
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        with tarfile.open(tar) as archive:
            archive.extractall(work, filter="data")
        manifest = json.loads((work / "manifest.json").read_text(encoding="utf-8"))
        device = _device(tar, manifest, work)
        folder = root / "results" / device_word(device["name"])
        _say(f"{tar.name}: slice {manifest['slice']}, {device['name']}, {manifest['started_at']}")
        _tell_tree(manifest["tree"], describe_tree())
        for one in manifest["steps"]:
            _say(f"  {one['state']:<12} {one['name']:<14} {one['reason'] or ''}")
        for name in ("results", "tuned"):
            _repair(work / name)
        _check_device(work / "results", device["name"])
        summary = work / f"slice-{manifest['slice']}.json"
        summary.write_text(_summary(manifest, device), encoding="utf-8")
        kept = [*_kept(work, folder), (summary, folder / summary.name)]
        if there := [target for _, target in kept if target.exists() and not over]:
            raise NotKept(f"{there[0]} is there already; --replace writes over it")
        for source, target in kept:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            _say(f"  kept {target.relative_to(root)}")
        _note_gpu_tests(root / TRUST, gpu_tests(work / "junit"), device, manifest)
    return folder


def device_word(name: str) -> str:
    """A folder's name for a device: h200."""
    plain = name.removeprefix("NVIDIA ").split()[0]
    return "".join(c if c.isalnum() else "-" for c in plain.lower())


def gpu_tests(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Passed, failed and skipped tests of each module, from pytest's own records."""
    found: dict[str, tuple[int, int, int]] = {}
    for path in sorted(folder.glob("*.xml")):
        for suite in JUnitXml.fromfile(str(path)):
            for case in suite:
                module = case.classname.rsplit(".", maxsplit=1)[-1]
                failed = any(isinstance(one, Failure | Error) for one in case.result)
                skipped = any(isinstance(one, Skipped) for one in case.result)
                one = (int(not failed and not skipped), int(failed), int(skipped))
                before = found.get(module, (0, 0, 0))
                found[module] = tuple(map(sum, zip(before, one, strict=True)))
    return found


def with_gpu_tests(text: str, lines: Sequence[str]) -> str:
    """Put lines at the end of the table of GPU tests, in place of its ``none``.

    Raises:
        NotKept: the page has no such table.

    """
    if HEAD not in text:
        raise NotKept(f"{TRUST} has no table that begins {HEAD!r}")
    before, after = text.split(HEAD, maxsplit=1)
    rule, *rows = after.lstrip("\n").split("\n\n", maxsplit=1)[0].splitlines()
    rest = after.lstrip("\n").removeprefix("\n".join([rule, *rows]))
    there = [row for row in rows if row != NONE]
    fresh = [line for line in lines if line not in there]
    return before + "\n".join([HEAD, rule, *there, *fresh]) + rest


def _device(tar: Path, manifest: Mapping[str, Any], work: Path) -> dict[str, Any]:
    if manifest["dry_run"]:
        raise NotKept(f"{tar} is a rehearsal's: nothing in it is a result of a GPU")
    try:
        description = json.loads((work / "machine.json").read_text(encoding="utf-8"))["device"]
    except (OSError, ValueError, KeyError):
        description = {}
    if "name" not in description:
        raise NotKept(f"{tar} does not say which GPU it is from: its step machine did not run")
    return dict(description)


def _tell_tree(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    same = theirs["digest"] == ours["digest"]
    which = "this tree" if same else f"another tree than this ({theirs['commit'] or 'no commit'})"
    _say(f"  measured by {which}, attnbench {theirs['version']}, digest {theirs['digest']}")


def _repair(results: Path) -> None:
    """Make a result file of what a run had measured when it was cut off."""
    for journal in sorted(results.glob("*.journal")):
        if not journal.with_suffix(".parquet").exists():
            _attnbench("repair", str(journal))


def _check_device(results: Path, name: str) -> None:
    """A result file's own rows must come from the GPU that the tar is said to be from."""
    for run in sorted(results.glob("*.parquet")):
        found = set(attnbench.load(run)["device_name"].dropna())
        if found - {name}:
            raise NotKept(f"{run.name} was measured on {', '.join(sorted(found))}, not on {name}")


def _kept(work: Path, folder: Path) -> Iterator[tuple[Path, Path]]:
    for path in sorted((work / "results").glob("*.parquet")):
        yield path, folder / path.name
    for name, endings in _BESIDE.items():
        for path in sorted((work / name).rglob("*")):
            if path.is_file() and path.suffix in endings:
                yield path, folder / name / path.relative_to(work / name)


def _summary(manifest: Mapping[str, Any], device: Mapping[str, Any]) -> str:
    """What is worth keeping of a manifest: no paths, no names of the machine."""
    reported = ("name", "state", "reason", "seconds", "exit_code", "answers")
    steps = [{key: one[key] for key in reported} for one in manifest["steps"]]
    kept = {key: manifest[key] for key in ("slice", "started_at", "seconds", "tree", "wheels")}
    return json.dumps({**kept, "device": device, "steps": steps}, indent=1) + "\n"


def _note_gpu_tests(
    page: Path,
    found: Mapping[str, tuple[int, int, int]],
    device: Mapping[str, Any],
    manifest: Mapping[str, Any],
) -> None:
    where = f"{device['name']}, {device.get('driver', 'driver unknown')}"
    when = manifest["started_at"][:10]
    lines = [
        f"| `{module}`: {_counted(*counts)} | {where} | {when} |"
        for module, counts in found.items()
    ]
    if lines:
        page.write_text(with_gpu_tests(page.read_text(encoding="utf-8"), lines), encoding="utf-8")
        _say(f"  {len(lines)} lines in {TRUST}")


def _counted(passed: int, failed: int, skipped: int) -> str:
    words = [f"{passed} passed"]
    words += [f"{failed} failed"] if failed else []
    words += [f"{skipped} skipped"] if skipped else []
    return ", ".join(words)


def _report(folder: Path, root: Path) -> None:
    runs = [one for one in sorted(folder.glob("*.parquet")) if not one.name.startswith("noise-")]
    if runs:
        page = root / "reports" / "samples" / f"{folder.name}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.unlink(missing_ok=True)  # it is made anew from all runs of this device
        words = [str(one.relative_to(root)) for one in runs]
        _attnbench("report", *words, "-o", str(page.relative_to(root)), folder=root)


def _attnbench(*words: str, folder: Path = ROOT) -> None:
    _say(f"$ {shlex.join(['attnbench', *words])}")
    done = subprocess.run([sys.executable, "-m", "attnbench", *words], cwd=folder, check=False)
    if done.returncode:
        raise NotKept(f"attnbench {words[0]} ended with exit code {done.returncode}")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  a program


if __name__ == "__main__":
    sys.exit(main())
