"""``show --kernels``: what each backend really ran, and on how many of its cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnbench.analysis.cases import CaseResult

_BARE = "none seen"


def kernel_rows(cases: Sequence[CaseResult]) -> Iterator[tuple[str, ...]]:
    """A line for each backend and set of kernels; one name may stand for several.

    What a library chooses by itself (sdpa's fused kernel or its plain one) shows as several lines
    of one backend.
    """
    seen: dict[str, Counter[tuple[str, ...]]] = {}
    for one in cases:
        names = {short(name) for row in one.rows for name in row["kernels"] or ()}
        if one.latency is not None:
            seen.setdefault(one.backend, Counter())[tuple(sorted(names))] += 1
    yield ("backend", "cases", "kernels")
    for backend, sets in seen.items():
        for number, (ran, count) in enumerate(sets.most_common()):
            yield ("" if number else backend, str(count), ", ".join(ran) or _BARE)


def short(name: str) -> str:
    """A kernel's name without its template and its arguments, which differ from shape to shape."""
    bare = name.removeprefix("void ")
    for mark in ("<", "("):
        head = bare.partition(mark)[0]
        bare = head or bare
    return bare.strip()
