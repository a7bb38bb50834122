"""attnbench: a measuring instrument for attention.

The public names below are imported when they are first asked for, so that ``import attnbench``
costs nothing: neither torch, numpy nor pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnbench.analysis.advise import advise
    from attnbench.analysis.compare import compare
    from attnbench.analysis.gate import gate
    from attnbench.api import ab, plan, run
    from attnbench.case import Case
    from attnbench.errors import (
        AttnbenchError,
        BackendImportError,
        DeviceMissing,
        EnvironmentProblem,
        InputError,
        Interrupted,
        NameTakenError,
        NoOkRow,
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
    from attnbench.report import report
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
    "NoOkRow",
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
    "advise",
    "compare",
    "gate",
    "load",
    "plan",
    "report",
    "run",
]

_ELSEWHERE = {
    "Case": "case",
    "Problem": "problem",
    "Suite": "suite",
    "advise": "analysis.advise",
    "ab": "api",
    "compare": "analysis.compare",
    "gate": "analysis.gate",
    "load": "store",
    "plan": "api",
    "report": "report",
    "run": "api",
}


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives."""
    if name == "__version__":
        value: Any = _version()
    elif name in __all__:
        module = importlib.import_module(f"attnbench.{_ELSEWHERE.get(name, 'errors')}")
        value = getattr(module, name)
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
