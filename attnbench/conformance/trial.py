"""A trial: one case of the conformance kit, and how its inputs lie in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnbench.case import BUILT_IN, Case, Options
from attnbench.filter import case_fields
from attnbench.problem import Problem

# How the inputs of a trial are laid out and what is in them; docs/conformance.md explains each.
WAYS = {
    "guarded": "every tensor contiguous, between NaN",
    "strided": "views with gaps, tokens outermost; NaN in the gaps",
    "high": "guarded, and every score near +120",
    "low": "guarded, and every score near -120",
}
# What every trial also looks at, whatever its theme: the word of a fault, and what is right.
BEHAVIOURS = {
    "calls": "two calls agree",
    "inputs": "inputs left alone",
    "answers": "answers to a new q",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One problem that a backend has to get right, under the theme that it stands for."""

    theme: str
    case: Case
    way: str = "guarded"

    @property
    def label(self) -> str:
        """``prefill 2q65 4/2x64 fp32 causal · strided``; the way only where it is a special one."""
        label = self.case.problem.label
        return label if self.way == "guarded" else f"{label} · {self.way}"

    @property
    def filter(self) -> str:
        """The FILTER that picks this trial alone."""
        return f"{self.case.id} way={self.way}"


def subject(backend: str, options: Options = (), source: str = BUILT_IN) -> Case:
    """A backend to be put to trial: a case whose problem does not matter yet."""
    anything = Problem(q_len=1, q_heads=1, head_dim=1, dtype="fp32")
    return Case(problem=anything, backend=backend, options=options, source=source)


def trial_fields(trial: Trial) -> Mapping[str, Any]:
    """Every field of a trial that a filter may name: those of its case, its theme and its way."""
    return {**case_fields(trial.case), "theme": trial.theme, "way": trial.way}
