"""The exit codes, each in one place; docs/metrics.md explains them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attnbench.measurement import BAD_STATUSES

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
    """Tell the exit code of a run from how many cases carry each status."""
    if interrupted:
        return INTERRUPTED
    if any(counts.get(status) for status in BAD_STATUSES):
        return BAD_CASE
    return DONE if counts.get("ok") else ENVIRONMENT


def highest(codes: Iterable[int]) -> int:
    """Return the code that outranks the others."""
    found = set(codes)
    return next((code for code in _WORST_FIRST if code in found), max(found, default=DONE))
