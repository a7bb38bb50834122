"""Compile a backend's Triton kernels without a GPU, and compare them with a baseline.

A kernel that starts to spill registers, or fits fewer times on an SM, is slower on every GPU. That
much can be known on a laptop; how fast the kernel is cannot.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from attnbench.environment import arch_number
from attnbench.errors import EnvironmentProblem, InputError, OptionError
from attnbench.problem import Problem
from attnbench.profile.resources import Resources

DEFAULT_ARCHS = ("sm_80", "sm_90", "sm_100")
_OLDEST = 80
_TOOL = "attnbench inspect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """One kernel of one case on one architecture; ``fault`` is why it does not compile."""

    arch: str
    problem: str
    kernel: str
    options: Mapping[str, Any]
    tile: Mapping[str, int]
    resources: Resources | None
    fault: str | None = None

    @property
    def key(self) -> str:
        """The name of this kernel in a baseline."""
        options = ",".join(f"{name}={one}" for name, one in sorted(self.options.items()))
        bracket = f"[{options}]" if options else ""
        return f"{self.arch} {self.problem}{bracket} {self.kernel}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Inspected:
        """Rebuild what ``to_dict`` returned."""
        resources = plain["resources"]
        return cls(
            arch=plain["arch"],
            problem=plain["problem"],
            kernel=plain["kernel"],
            options=plain["options"],
            tile=plain["tile"],
            resources=None if resources is None else Resources(**resources),
            fault=plain.get("fault"),
        )


def inspect_cases(
    backend: str, arch: str, cases: Sequence[tuple[Problem, Mapping[str, Any]]]
) -> list[list[Inspected]]:
    """Compile these problems with these options; return the kernels of each, in order.

    Raises:
        OptionError, InputError, EnvironmentProblem: as ``inspect``.

    """
    check_archs([arch])
    plain = [{"problem": one.fields(), "options": dict(options)} for one, options in cases]
    request = {"reference": backend, "folder": str(Path.cwd()), "archs": [arch], "cases": plain}
    found: list[list[Inspected]] = [[] for _ in cases]
    for row in _answers(request, None):
        found[row["index"]].append(Inspected.from_dict(row))
    return found


def inspect(
    backend: str,
    archs: Sequence[str] = DEFAULT_ARCHS,
    *,
    folder: Path | None = None,
    jobs: int | None = None,
) -> list[Inspected]:
    """Compile what a backend ships for each architecture; sorted by architecture, then problem.

    Args:
        backend: a name, or ``./file.py`` seen from ``folder`` (the working directory).
        archs: such as ``sm_90``; the GPUs need not be here.
        folder: where to look for a file.
        jobs: worker processes; None means one per core.

    Raises:
        OptionError: Triton does not compile for an architecture, or there is no such backend.
        InputError: a backend without Triton kernels.
        EnvironmentProblem: triton is not installed, or a worker died.

    """
    check_archs(archs)
    request = {"reference": backend, "folder": str(folder or Path.cwd()), "archs": list(archs)}
    rows = [Inspected.from_dict(row) for row in _answers(request, jobs)]
    return sorted(rows, key=lambda one: one.key)


def check_archs(archs: Sequence[str]) -> None:
    """Check that Triton compiles for these architectures.

    Raises:
        OptionError: it does not compile for one of them.

    """
    for arch in archs:
        if (arch_number(arch) or 0) < _OLDEST:
            raise OptionError(
                f"no architecture {arch!r} to compile for", hint="write sm_80, sm_90 or sm_100"
            )


def _answers(request: dict[str, Any], jobs: int | None) -> list[dict[str, Any]]:
    """Distribute the work over processes and collect their rows."""
    parts = max(1, jobs or os.cpu_count() or 1)
    workers = [_start({**request, "share": [part, parts]}) for part in range(parts)]
    return [row for worker in workers for row in _rows_of(worker)]


def _start(request: dict[str, Any]) -> subprocess.Popen[str]:
    # Interpreted kernels cannot be compiled, whatever the shell says.
    environment = {name: one for name, one in os.environ.items() if name != "TRITON_INTERPRET"}
    worker = subprocess.Popen(
        [sys.executable, "-m", "attnbench.profile.compiler"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(request))
    worker.stdin.close()
    worker.stdin = None  # communicate() must not flush what is closed
    return worker


def _rows_of(worker: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    said, complained = worker.communicate()
    if worker.returncode:
        last = complained.strip().splitlines()[-1:] or ["it said nothing"]
        raise EnvironmentProblem(f"the compiling worker failed: {last[0]}")
    for line in said.splitlines():
        row = json.loads(line)
        if "error" in row:
            raise InputError(row["error"], hint=row["hint"])
        yield row


def to_json(rows: Iterable[Inspected]) -> str:
    """Return the rows as a JSON document, usable as a baseline: one line per kernel, for diffs."""
    lines = ",\n".join(json.dumps(one.to_dict(), sort_keys=True) for one in rows)
    return f'{{"made_by": "{_TOOL}", "kernels": [\n{lines}\n]}}\n'


def read_baseline(path: Path) -> list[Inspected]:
    """Read a document that ``attnbench inspect --json`` printed.

    Raises:
        InputError: there is no such file, or it is not such a document.

    """
    hint = f"write one: {_TOOL} BACKEND --json > {path}"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [Inspected.from_dict(one) for one in document["kernels"]]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint=hint) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no baseline of {_TOOL}", hint=hint) from error


def faults_against(baseline: Iterable[Inspected], rows: Sequence[Inspected]) -> list[str]:
    """Return what got worse, one line per fault; kernels that only one side has are skipped.

    A kernel is worse if it no longer compiles, spills more, fits fewer times on an SM, or lost its
    tensor core instructions or 16 byte loads. An additional register or instruction is not worse.
    """
    before = {one.key: one.resources for one in baseline}
    faults = []
    for row in rows:
        old = before.get(row.key)
        if row.fault is not None:
            faults.append(f"{row.key}: does not compile: {row.fault}")
        elif old is not None and row.resources is not None:
            faults += [f"{row.key}: {words}" for words in _worse(old, row.resources)]
    return faults


def missing_from(rows: Sequence[Inspected], baseline: Iterable[Inspected]) -> list[str]:
    """Return the baseline's keys, for the inspected architectures, that have disappeared."""
    archs, keys = {one.arch for one in rows}, {one.key for one in rows}
    return sorted(one.key for one in baseline if one.arch in archs and one.key not in keys)


def _worse(old: Resources, new: Resources) -> Iterator[str]:
    if new.stack_bytes > old.stack_bytes:
        yield f"stack {new.stack_bytes} B a thread, was {old.stack_bytes}"
    if new.spill_instructions > old.spill_instructions:
        yield f"{new.spill_instructions} spill instructions, were {old.spill_instructions}"
    if new.resident < old.resident:
        yield f"an SM holds {new.resident} programs, held {old.resident}"
    if old.tensor_core_instructions and not new.tensor_core_instructions:
        yield "no tensor core instructions any more"
    if old.wide_loads and not new.wide_loads:
        yield "no 16 byte loads any more"
