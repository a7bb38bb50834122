"""The child process of ``inspect``: compiles a backend's kernels and reports their resources.

``python -m attnbench.profile.compiler`` reads one JSON object from stdin and writes one per kernel
to stdout. It is a separate process because a compiler may crash, and so that several can share the
work.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from attnbench.environment import arch_number
from attnbench.errors import InputError
from attnbench.kernels.launch import Launch, assumed_target, compile_launch
from attnbench.measure.inputs import make_inputs
from attnbench.problem import Problem
from attnbench.profile.resources import read_resources
from attnbench.registry import Registry

Row = dict[str, Any]


def compile_share(request: Row) -> Iterator[Row]:
    """Compile every n-th (case, architecture) of a backend; yield one row per kernel.

    Without ``cases`` in the request, the backend's own cases are compiled. ``index`` in a row is
    the index of its case.
    """
    registry = Registry()
    backend = registry.describe(request["reference"], folder=Path(request["folder"]))
    module = registry.load(backend)
    part, parts = request["share"]
    cases = inspected_cases(module)
    if "cases" in request:
        cases = [(Problem(**one["problem"]), one["options"]) for one in request["cases"]]
    wanted = [(case, arch) for case in enumerate(cases) for arch in request["archs"]]
    for (index, (problem, options)), arch in wanted[part::parts]:
        for row in _rows(module, problem, options, arch):
            yield {**row, "index": index}


def inspected_cases(module: ModuleType) -> list[tuple[Problem, dict[str, Any]]]:
    """Return the (problem, options) that represent what a backend ships.

    Raises:
        InputError: the backend has no Triton kernels to show.

    """
    for name in ("inspected", "plan"):
        if not callable(getattr(module, name, None)):
            raise InputError(
                f"{module.__name__} has no Triton kernels to inspect: it has no function {name}",
                hint="docs/kernels.md says what inspect asks a backend for",
            )
    return list(module.inspected())


def _rows(
    module: ModuleType, problem: Problem, options: dict[str, Any], arch: str
) -> Iterator[Row]:
    number = arch_number(arch)
    assert number is not None
    inputs = make_inputs(problem, "cpu", poison=False)
    launches: list[Launch] = module.plan(inputs, assumed_target(number), **options).make()[0]
    for launch, name in zip(launches, numbered([one.name for one in launches]), strict=True):
        row: Row = {
            "arch": arch,
            "problem": problem.label,
            "options": options,
            "kernel": name,
            "tile": {
                **{name: one for name, one in launch.arguments.items() if name.startswith("BLOCK")},
                **launch.options,
            },
        }
        try:
            made = compile_launch(launch, number)
        except Exception as error:  # noqa: BLE001  a kernel that does not compile is a row
            message = f"{type(error).__name__}: {error}".strip().splitlines()
            yield {**row, "fault": " ".join(message)[-400:], "resources": None}
            continue
        resources = read_resources(
            made.cubin, arch=number, dynamic_shared=made.dynamic_shared_bytes, warps=made.warps
        )
        yield {**row, "fault": None, "resources": asdict(resources)}


def numbered(names: Sequence[str]) -> list[str]:
    """Number repeated launches of one kernel, because a baseline knows each by its name."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return found


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    try:
        for row in compile_share(request):
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()
    except InputError as error:
        sys.stdout.write(json.dumps({"error": error.message, "hint": error.hint}) + "\n")


if __name__ == "__main__":
    main()
