"""attnbench: a measuring instrument for attention.

The public names below are imported when they are first used, so that ``import attnbench`` loads
neither torch, numpy nor pandas.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnbench.api import (
        ab,
        accept,
        advise,
        check,
        check_backend,
        compare,
        doctor,
        export,
        gate,
        head_variants,
        inspect,
        list_backends,
        list_devices,
        list_metrics,
        list_models,
        list_runs,
        list_suites,
        load_suite,
        merge,
        plan,
        profile,
        prove_gate,
        repair,
        report,
        report_figure,
        run,
        tune,
        tuning_candidates,
    )
    from attnbench.case import Case
    from attnbench.errors import (
        AttnbenchError,
        BackendImportError,
        DeviceMissing,
        EnvironmentProblem,
        InputError,
        Interrupted,
        NameTakenError,
        NotComparable,
        NothingSelected,
        OptionError,
        OutputError,
        ProblemError,
        ResultFileError,
        SuiteError,
        TorchMissing,
        Unsupported,
    )
    from attnbench.problem import Problem
    from attnbench.store import load
    from attnbench.suite import Suite

    __version__: str

__all__ = [
    "AttnbenchError",
    "BackendImportError",
    "Case",
    "DeviceMissing",
    "EnvironmentProblem",
    "InputError",
    "Interrupted",
    "NameTakenError",
    "NotComparable",
    "NothingSelected",
    "OptionError",
    "OutputError",
    "Problem",
    "ProblemError",
    "ResultFileError",
    "Suite",
    "SuiteError",
    "TorchMissing",
    "Unsupported",
    "ab",
    "accept",
    "advise",
    "check",
    "check_backend",
    "compare",
    "doctor",
    "export",
    "gate",
    "head_variants",
    "inspect",
    "list_backends",
    "list_devices",
    "list_metrics",
    "list_models",
    "list_runs",
    "list_suites",
    "load",
    "load_suite",
    "merge",
    "plan",
    "profile",
    "prove_gate",
    "repair",
    "report",
    "report_figure",
    "run",
    "tune",
    "tuning_candidates",
]

_ELSEWHERE = {"Case": "case", "Problem": "problem", "Suite": "suite", "load": "store"}


class _Package(ModuleType):
    """Keeps a public function where Python would put the subpackage of the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        # Importing attnbench.report or attnbench.profile binds that module as an attribute here.
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives."""
    if name == "__version__":
        value: Any = _version()
    elif name in __all__:
        is_error = name[0].isupper() and name not in _ELSEWHERE
        module = _ELSEWHERE.get(name, "errors" if is_error else "api")
        value = getattr(importlib.import_module(f"attnbench.{module}"), name)
    else:
        raise AttributeError(f"module 'attnbench' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def _version() -> str:
    """Return the distribution's version; ``unknown`` in a source tree that is not installed."""
    from importlib import metadata

    try:
        return metadata.version("attnbench")
    except metadata.PackageNotFoundError:
        return "unknown"
