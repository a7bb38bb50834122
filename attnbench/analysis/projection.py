"""A comparison seen by a few fields: which cases fall into one row, and what varies inside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.errors import InputError
from attnbench.problem import FIELDS
from attnbench.stats.latency import MeanRatio, mean_ratio

if TYPE_CHECKING:
    from attnbench.analysis.compare import CaseComparison

# What may vary inside a row without being seen there.
_TELLING = (*FIELDS, "backend_label", "timer", "l2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The cases of one row; ``mean`` is over those that both sides finished.

    ``varying`` names the fields that differ between them and are not in the row, with their values.
    """

    values: tuple[str, ...]
    comparisons: tuple[CaseComparison, ...]
    mean: MeanRatio
    varying: tuple[tuple[str, tuple[str, ...]], ...]


def projected(comparisons: Sequence[CaseComparison], fields: Sequence[str]) -> list[Row]:
    """Gather cases by fields, in the order in which they first appear.

    Raises:
        InputError: no case has such a field.

    """
    known = {name for one in comparisons for name in one.facts}
    for name in fields:
        if name not in known:
            from attnbench.filter import did_you_mean

            raise InputError(
                f"no case has a field {name!r}", hint=did_you_mean(name, known) or None
            )
    groups: dict[tuple[Any, ...], list[CaseComparison]] = {}
    for one in comparisons:
        groups.setdefault(tuple(one.facts.get(name) for name in fields), []).append(one)
    return [
        Row(
            values=tuple(_text(value) for value in values),
            comparisons=tuple(found),
            mean=mean_ratio([one.base for one in found], [one.new for one in found]),
            varying=_varying(found, fields),
        )
        for values, found in sorted(groups.items(), key=lambda pair: _order(pair[0]))
    ]


def _varying(
    found: Sequence[CaseComparison], shown: Sequence[str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    listed = []
    for name in _TELLING:
        values = list(dict.fromkeys(_text(one.facts.get(name)) for one in found))
        if name not in shown and len(values) > 1:
            listed.append((name, tuple(values)))
    return tuple(listed)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "none" if value is None else str(value)


def _order(values: tuple[Any, ...]) -> tuple[tuple[bool, bool, Any], ...]:
    """Numbers as numbers before words, missing values last."""
    return tuple(
        (value is None, isinstance(value, str), 0 if value is None else value) for value in values
    )
