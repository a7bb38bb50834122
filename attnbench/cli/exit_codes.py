"""The exit codes, each in one place; docs/metrics.md explains them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from attnbench.measurement import BAD_STATUSES

if TYPE_CHECKING:
    from attnbench.analysis.gate import Ruling

DONE = 0
BAD_CASE = 1
INPUT = 2
INCONCLUSIVE = 3
ENVIRONMENT = 4
NOTHING = 5
BUG = 70
INTERRUPTED = 130

# Where several runs or several causes meet, the first of these that occurred is the exit code.
_WORST_FIRST = (INTERRUPTED, BUG, ENVIRONMENT, BAD_CASE)


def of_counts(counts: Mapping[str, int], *, interrupted: bool = False) -> int:
    """Return the exit code of a run from its number of cases by status."""
    if interrupted:
        return INTERRUPTED
    if any(counts.get(status) for status in BAD_STATUSES):
        return BAD_CASE
    return DONE if counts.get("ok") else ENVIRONMENT


def of_ruling(ruling: Ruling) -> int:
    """Return the exit code of a ruling."""
    if ruling.outcome == "fail":
        return BAD_CASE
    is_open = ruling.outcome == "inconclusive" and ruling.rule.inconclusive == "fail"
    return INCONCLUSIVE if is_open else DONE


def highest(codes: Iterable[int]) -> int:
    """Return the exit code that outranks the others."""
    found = set(codes)
    return next((code for code in _WORST_FIRST if code in found), max(found, default=DONE))
