"""Put backends to the conformance kit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.api.loading import silent
from attnbench.units import parse_duration

if TYPE_CHECKING:
    from attnbench.case import Case
    from attnbench.execute.conformance import ConformanceEvent, ConformanceFinished


def subjects(backends: Sequence[str]) -> list[Case]:
    """Look up backends by name, label or file, files seen from the working directory.

    Raises:
        SuiteError: a backend or an option that does not exist, with the nearest right one.

    """
    from attnbench.conformance import placeholder_case
    from attnbench.errors import SuiteError
    from attnbench.registry import Registry
    from attnbench.suite.diagnostics import rendered
    from attnbench.suite.variants import Backends, from_words

    found = from_words(backends, Backends(), Registry(), Path.cwd())
    if found.faults:
        raise SuiteError(rendered(found.faults))
    return [placeholder_case(one.name, one.options, one.source) for one in found.variants]


def conform(
    backend: Case,
    *,
    device: str = "auto",
    filter: str | None = None,
    budget: str | float | None = None,
    listener: Callable[[ConformanceEvent], None] | None = None,
) -> ConformanceFinished:
    """Put a backend (one of ``subjects``) to the conformance kit.

    ``filter`` is a filter over its trials, which have ``theme`` and ``way`` beside a case's fields;
    ``budget`` a duration after which no trial is begun.

    Raises:
        AttnbenchError: see ``attnbench.errors`` for the tree.

    """
    from attnbench.execute.conformance import examine

    seconds = parse_duration(budget) if isinstance(budget, str) else budget
    return examine(backend, device, filter=filter, budget_s=seconds, listener=listener or silent)
