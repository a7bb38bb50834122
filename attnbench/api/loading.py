"""What every verb begins with: a suite, and somebody who listens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnbench.suite import Suite

QUICK = "quick"


def load_suite(
    suite: str | Path | Suite,
    *,
    backends: Sequence[str] = (),
    overrides: Sequence[str] = (),
    filter: str | None = None,
) -> Suite:
    """Read a suite by its path or shipped name, and keep the cases that ``filter`` picks.

    ``backends`` (names, labels or files) replace the suite's own; ``overrides`` are texts such as
    ``kv_len=1k,4k``.

    Raises:
        InputError: no such suite, or a filter that cannot be read.
        SuiteError: the file has faults; each is told with its place.
        NothingSelected: ``exclude`` or ``filter`` leaves no case.

    """
    from attnbench.registry import Registry
    from attnbench.suite import Suite, find, load

    if not isinstance(suite, Suite):
        suite = load(find(str(suite)), Registry(), overrides=overrides, backends=backends)
    return suite if filter is None else suite.select(filter)


def silent(event: object) -> None:
    """Listen to nothing."""
