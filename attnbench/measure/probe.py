"""Import a backend in a worker, and ask what it supports."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from attnbench.case import Case
from attnbench.environment import Device
from attnbench.errors import AttnbenchError
from attnbench.plugin import BackendDescription
from attnbench.problem import Problem
from attnbench.registry import Registry

_STANDS_IN_FOR = "sm_90"


def backend_of(case: Case) -> BackendDescription:
    """Return the description of a case's backend, from where it came."""
    reference = case.source if case.source.endswith(".py") else case.backend
    return Registry().describe(reference, folder=Path("/"), name=case.backend)


def probe_backend(name: str, source: str) -> dict[str, Any]:
    """Import a backend and its library; return its capabilities, or the error in words."""
    registry = Registry()
    reference = source if source.endswith(".py") else name
    try:
        module = registry.load(registry.describe(reference, folder=Path("/"), name=name))
        if hasattr(module, "library"):
            module.library.load()
    except AttnbenchError as error:
        return {"error": error.message, "hint": error.hint}
    except Exception as error:  # noqa: BLE001  a broken plugin is a row, not a crash
        return {"error": f"{type(error).__name__}: {error}", "hint": None}
    return {
        "capabilities": module.capabilities.to_dict(),
        "is_triton": hasattr(module, "inspected"),
    }


def imported_below(folders: Iterable[str]) -> list[str]:
    """Return the files below these folders that this process has imported.

    Files of this package, and of a Python environment inside the folders, are left out.
    """
    below = [Path(folder) for folder in folders]
    prefixes = {Path(one).resolve() for one in (sys.prefix, sys.base_prefix)}
    environments = [one for one in prefixes if any(map(one.is_relative_to, below))]
    found = set()
    for name, module in [*sys.modules.items()]:
        file = Path(getattr(module, "__file__", None) or "")
        # Synthetic modules, such as torch.classes, have no real path.
        if not file.is_absolute() or name.partition(".")[0] == "attnbench":
            continue
        path = file.resolve()
        if any(map(path.is_relative_to, below)) and not any(map(path.is_relative_to, environments)):
            found.add(str(path))
    return sorted(found)


def why_not(
    module: ModuleType, problem: Problem, device: Device, options: dict[str, Any]
) -> str | None:
    """Return why a backend does not support a problem: by its capabilities, then its own rule.

    A worker with interpreted Triton stands in for a GPU, so a GPU's rules apply.
    """
    if is_interpreting():
        device = replace(device, kind="cuda", arch=_STANDS_IN_FOR)
    reason: str | None = module.capabilities.why_not(problem, device)
    if reason is None and hasattr(module, "why_not"):
        reason = module.why_not(problem, device, **options)
    return reason


def is_interpreting() -> bool:
    """Return whether this worker runs Triton kernels in the interpreter."""
    return os.environ.get("TRITON_INTERPRET") == "1"
