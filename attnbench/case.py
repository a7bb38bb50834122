"""A case: problem + backend + options, the unit that is run, skipped or failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnbench.problem import Problem, digest

type_of_option = bool | int | float | str | None
Options = tuple[tuple[str, type_of_option], ...]

BUILT_IN = "built in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One backend on one problem.

    ``options`` holds only what differs from the backend's defaults, sorted by name. ``source`` (a
    path, a distribution, or "built in") says where the backend comes from; it and model, tp and
    weight (how many layers of the model look like this) are in no id.
    """

    problem: Problem
    backend: str
    options: Options = ()
    source: str = BUILT_IN
    model: str | None = None
    tp: int | None = None
    weight: float | None = None

    @property
    def id(self) -> str:
        """12 hex digits over the problem, the backend's name and its non-default options."""
        named = {"problem": self.problem.id, "backend": self.backend, "options": dict(self.options)}
        return digest(named)

    @property
    def backend_label(self) -> str:
        """``sdpa[kernel=flash]``: the name and what differs from its defaults."""
        return backend_label(self.backend, dict(self.options))

    @property
    def label(self) -> str:
        """``decode 16q1s4k 32/8x128 bf16 causal · sdpa[kernel=flash]``."""
        return f"{self.problem.label} · {self.backend_label}"

    def to_dict(self) -> dict[str, Any]:
        """Return what a worker needs of a case as plain JSON values."""
        return {
            "problem": self.problem.fields(),
            "backend": self.backend,
            "options": dict(self.options),
            "source": self.source,
        }

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Case:
        """Rebuild what ``facts`` wrote."""
        return cls(
            problem=Problem(**facts["problem"]),
            backend=facts["backend"],
            options=tuple(sorted(facts["options"].items())),
            source=facts["source"],
        )


def backend_label(name: str, options: Mapping[str, type_of_option]) -> str:
    """Write ``name`` or ``name[a=1,b=x]``, options sorted."""
    if not options:
        return name
    inside = ",".join(f"{key}={option_text(options[key])}" for key in sorted(options))
    return f"{name}[{inside}]"


def option_text(value: type_of_option) -> str:
    """Write an option's value the way a suite file does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else f"{value}"
