"""Two sides case by case: latencies, the change with its interval, a verdict, and what is missing.

Rows of one run are compared process by process (backends of one problem run side by side in the
same process). Rows of different runs were measured in different sessions, and what moves between
sessions is part of their error (``attnbench.stats.history``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from attnbench.analysis import comparability
from attnbench.analysis.cases import ABSENT
from attnbench.analysis.comparability import Ceiling, Differing
from attnbench.analysis.comparison import (
    BY_CASE,
    MISSING,
    CaseComparison,
    Matched,
    common_cases,
    comparisons_of,
    facts,
    matched,
)
from attnbench.analysis.running_cost import NO_PRICES, Prices, price_of, prices_by_device
from attnbench.analysis.sides import Side, joined, load_sides, split
from attnbench.errors import InputError, NothingSelected
from attnbench.problem import FIELDS
from attnbench.stats.difference import Array, Difference, bootstrap_interval, paired
from attnbench.stats.history import Against, against_baselines
from attnbench.stats.latency import FEWEST_PROCESSES, MeanRatio, mean_ratio

__all__ = ["CaseComparison", "RunComparison", "compare", "compare_sides", "sides_of"]

THRESHOLD = 0.02
BY = {"gpu": "device_name", "backend": "backend_label", "commit": "git_commit"}

Source = str | Path
Limits = Callable[[Sequence[Mapping[str, Any]]], Array]
_FACTS = (
    *("case_id", "case_label", "problem_id", "backend_label", "method_id", "timer", "l2"),
    *("reason", "bound", "dtype"),
)
# Fields that may vary inside a group without being shown.
_TELLING = (*FIELDS, "backend_label", "timer", "l2")
_WITH_ALL_FACTS = 2_000  # cases; of more, a fact that nobody asked for costs too much


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """Two sides, all their cases, and what the numbers must be read with.

    ``ratios_only`` is set where the devices differ; ``paired`` where both sides are of one run.
    ``difference``, ``against`` and ``processes`` (log latencies of both sides, [case, process]) are
    what the comparisons were made from, in their order; ``prices`` are what the user said that an
    hour of either device costs.
    """

    base: Side
    new: Side
    comparisons: tuple[CaseComparison, ...]
    differing: tuple[Differing, ...]
    ceilings: tuple[Ceiling, ...]
    mean: MeanRatio
    paired: bool
    ratios_only: bool
    difference: Difference
    against: Against | None
    processes: tuple[Array, Array]
    prices: Prices = NO_PRICES

    @property
    def verdicts(self) -> Counter[str]:
        """How many cases have each verdict."""
        return Counter(one.verdict for one in self.comparisons if one.verdict)

    def changed_status(self) -> dict[str, list[CaseComparison]]:
        """Cases that cannot be compared, by why: ``newly oom``, ``fixed``, ``only in base``, …."""
        found: dict[str, list[CaseComparison]] = {}
        for one in self.comparisons:
            if word := _section(one):
                found.setdefault(word, []).append(one)
        return found

    def resampled(self, row: int) -> tuple[float, float] | None:
        """Bootstrap interval of the ratio of one comparison, as a second opinion on its processes.

        Of runs of different sessions it knows only processes, so it is narrower than the truth.
        """
        base, new = (side[row] for side in self.processes)
        width = min(len(base), len(new))
        both = np.isfinite(base[:width]) & np.isfinite(new[:width])
        pair = (
            (base[:width][both], new[:width][both])
            if self.paired
            else (base[np.isfinite(base)], new[np.isfinite(new)])
        )
        return bootstrap_interval(*(np.exp(one).tolist() for one in pair), paired=self.paired)

    def ceiling_of(self, case: CaseComparison) -> float | None:
        """New over base of the measured ceiling that bounds this case."""
        bound, ratios = case.facts.get("bound"), {what.name: what.ratio for what in self.ceilings}
        name = "bandwidth" if bound == "memory" else f"{case.facts.get('dtype')} FLOPs"
        return ratios.get(name) if bound in ("memory", "compute") else None

    @property
    def kernels_changed(self) -> list[CaseComparison]:
        """Cases whose executed kernels have other names than in the base."""
        return [one for one in self.comparisons if one.kernels_changed]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseGroup:
    """The cases that agree in a few fields; ``mean`` is over those that both sides finished.

    ``varying`` names the fields that differ between them, with their values.
    """

    values: tuple[str, ...]
    comparisons: tuple[CaseComparison, ...]
    mean: MeanRatio
    varying: tuple[tuple[str, tuple[str, ...]], ...]


def compare(
    base: Source,
    *new: Source,
    by: str | None = None,
    against: str | None = None,
    filter: str | None = None,
    threshold: float = THRESHOLD,
    fields: Sequence[str] = (),
    prices: Mapping[str, float] | None = None,
) -> list[RunComparison]:
    """Compare each of ``new`` with ``base``, or what ``by`` tells apart inside all of them.

    ``by`` is gpu, backend, commit or a column; the base is then its value ``against``, or the
    first. ``threshold`` is the share within which a change does not matter. ``fields`` are columns
    that ``Comparison.facts`` shall have for certain. ``prices`` are dollars for an hour of one
    device, such as ``{"H200": 3.80}``.

    Raises:
        InputError: a file, filter, column or price that cannot be used.
        NotComparable: no case was timed by the same method on both sides.
        NothingSelected: the filter picks nothing, or there is no common case.

    """
    sides, column = sides_of([base, *new], by=by, against=against, filter=filter, fields=fields)
    names = dict.fromkeys(str(name) for side in sides for name in side.values("device_name"))
    by_device = prices_by_device(prices or {}, list(names))
    pairs = [
        compare_sides(sides[0], other, column=column, limit=threshold, fields=fields)
        for other in sides[1:]
    ]
    return priced(pairs, by_device)


def priced(pairs: Sequence[RunComparison], by_device: Mapping[str, float]) -> list[RunComparison]:
    """Return the comparisons with what was asked for an hour of each side's device."""
    return [
        replace(
            one, prices=Prices(base=price_of(one.base, by_device), new=price_of(one.new, by_device))
        )
        for one in pairs
    ]


def unpriced(pairs: Sequence[RunComparison]) -> list[str]:
    """The devices without a price, where another one has one."""
    sides = [
        side for one in pairs for side in ((one.base, one.prices.base), (one.new, one.prices.new))
    ]
    if all(price is None for _, price in sides):
        return []
    return list(
        dict.fromkeys(
            str(name)
            for side, price in sides
            if price is None
            for name in side.values("device_name")
        )
    )


def sides_of(
    sources: Sequence[Source],
    *,
    by: str | None = None,
    against: str | None = None,
    filter: str | None = None,
    fields: Sequence[str] = (),
) -> tuple[list[Side], str]:
    """Read the sides that are to be compared, the base first, and the column that sets them apart.

    ``fields`` are columns that the sides shall have for certain.

    Raises:
        InputError: a file, filter or column that cannot be used.
        NothingSelected: the filter picks nothing, or there is only one side.

    """
    # Cases that one column sets apart are matched by all the others.
    columns = tuple(fields) if by is None else None
    loaded = [side.selected(filter) for side in load_sides(sources, filter=filter, columns=columns)]
    if by is None:
        if len(loaded) == 1:
            raise NothingSelected(
                "one run has nothing to be compared with",
                hint="name another run, or compare inside it: --by backend",
            )
        return loaded, BY_CASE
    column = BY.get(by, by)
    sides = split(joined(loaded), column)
    if len(sides) == 1:
        raise NothingSelected(f"there is only one {by}: {sides[0].name}")
    if against is not None:
        sides = _base_first(sides, against, by)
    return sides, BY_CASE if _of_a_run(column) else column


def compare_sides(
    base: Side,
    new: Side,
    *,
    column: str = BY_CASE,
    limit: float | Limits = THRESHOLD,
    fields: Sequence[str] = (),
) -> RunComparison:
    """Compare two sides; see ``compare``. ``limit`` may say it for each case from its facts."""
    one, other = matched([base, new], column)
    differing = comparability.differences(base, new)
    _require_common(one, other)
    texts = _texts(one, other, fields)
    limits = limit(texts) if callable(limit) else np.full(len(texts), limit)
    ratios_only = "device" in comparability.kinds(differing)
    same_run = base.runs[1] == new.runs[1] and len(base.runs[1]) == 1
    against = None if same_run else against_baselines(one.centres(), other.centre())
    if against is None:
        difference = _enough(paired(_gaps(one, other)), one, other)
    else:
        difference = _enough(against.difference, one, other)
    comparisons = comparisons_of(one, other, texts, difference, limits, ratios_only=ratios_only)
    return RunComparison(
        base=base,
        new=new,
        comparisons=comparisons,
        differing=differing,
        ceilings=comparability.ceilings(base, new),
        mean=mean_ratio([one.base for one in comparisons], [one.new for one in comparisons]),
        paired=same_run,
        ratios_only=ratios_only,
        difference=difference,
        against=against,
        processes=(one.processes(), other.processes()),
    )


def group_cases(comparisons: Sequence[CaseComparison], fields: Sequence[str]) -> list[CaseGroup]:
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
        CaseGroup(
            values=tuple(_value_text(value) for value in values),
            comparisons=tuple(found),
            mean=mean_ratio([one.base for one in found], [one.new for one in found]),
            varying=_varying(found, fields),
        )
        for values, found in sorted(groups.items(), key=lambda pair: _value_order(pair[0]))
    ]


def _base_first(sides: list[Side], against: str, by: str) -> list[Side]:
    names = [side.name for side in sides]
    if against not in names:
        from attnbench.filter import did_you_mean

        raise InputError(
            f"no {by} is {against!r}: there are {', '.join(names)}",
            hint=did_you_mean(against, names) or None,
        )
    return sorted(sides, key=lambda side: side.name != against)


def _of_a_run(column: str) -> bool:
    """Whether a column says something of a whole run, so that cases stay what they are."""
    from attnbench.store.columns import BY_NAME

    return BY_NAME[column].group in ("identity", "environment", "method")


def _require_common(one: Matched, other: Matched) -> None:
    if np.any((one.status != ABSENT) & (other.status != ABSENT)):
        return
    if common_cases(one.side, other.side):
        comparability.refuse_methods(one.side, other.side)
    raise NothingSelected(
        f"{one.side.name} and {other.side.name} have no case in common",
        hint=f"such as {_example(one)!r} against {_example(other)!r}",
    )


def _example(one: Matched) -> str:
    return str(one.side.table["case_label"][0].as_py() or one.side.table["case_id"][0].as_py())


def _gaps(one: Matched, other: Matched) -> Array:
    """Differences of the same processes of one run."""
    base, new = one.log[0], other.log[0]
    width = min(base.shape[1], new.shape[1])
    return new[:, :width] - base[:, :width]


def _enough(difference: Difference, one: Matched, other: Matched) -> Difference:
    """Drop the intervals of cases with fewer than three processes on a side."""
    counts = [np.isfinite(side.processes()).sum(axis=1) for side in (one, other)]
    few = (counts[0] < FEWEST_PROCESSES) | (counts[1] < FEWEST_PROCESSES)
    return difference.without(few)


def _texts(one: Matched, other: Matched, fields: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """What is known of each case: from the new side, else from the base."""
    there = one.side.table.column_names
    wanted = [name for name in dict.fromkeys((*_FACTS, *fields)) if name in there]
    if len(one.status) <= _WITH_ALL_FACTS:
        wanted = [name for name in there if name not in ("notes", "kernels")]
    return facts(one, other, wanted)


def _section(one: CaseComparison) -> str:
    """Name what keeps a case from being compared; nothing where both sides are ok."""
    base, new = one.base_status, one.new_status
    if base == new == "ok":
        return ""
    if MISSING in (base, new):
        return "only in new" if base == MISSING else "only in base"
    if base == "ok":
        return f"newly {new}"
    return "fixed" if new == "ok" else "ok on neither side"


def _varying(
    found: Sequence[CaseComparison], shown: Sequence[str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    listed = []
    for name in _TELLING:
        values = list(dict.fromkeys(_value_text(one.facts.get(name)) for one in found))
        if name not in shown and len(values) > 1:
            listed.append((name, tuple(values)))
    return tuple(listed)


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "none" if value is None else str(value)


def _value_order(values: tuple[Any, ...]) -> tuple[tuple[bool, bool, Any], ...]:
    """Numbers as numbers before words, missing values last."""
    return tuple(
        (value is None, isinstance(value, str), 0 if value is None else value) for value in values
    )
