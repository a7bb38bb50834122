"""The table of two devices: speed-ups beside the ceilings and, at given prices, by the dollar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attnbench.analysis.dollars import NO_PRICES, dollars_a_million, dollars_text
from attnbench.cli.change_words import problem_of, reading_text

if TYPE_CHECKING:
    from attnbench.analysis.compare import RunComparison
    from attnbench.analysis.comparison import CaseComparison
    from attnbench.stats.latency import Latency

Rows = list[tuple[str, ...]]

DOLLARS_LEGEND = (
    "per dollar: how many times the calls the same money pays for, of a device that does nothing "
    "else; $/M, where there is room: what a million calls cost"
)


def ratio_tables(one: RunComparison, cases: Sequence[CaseComparison]) -> Iterator[tuple[Rows, str]]:
    """Yield the table with all its columns, then with ever fewer, and which stand to the right.

    What a million calls cost follows from the other columns and goes first, then how processes
    differ; what limits a case is in the ceiling that it has.
    """
    has_prices = one.prices != NO_PRICES
    if has_prices:
        yield _table(one, cases, spread=True, costs=True)
    yield _table(one, cases, spread=True)
    yield _table(one, cases)
    if has_prices:
        yield _table(one, cases, bound=False)


def gain_text(one: RunComparison, ratio: float | None = None) -> str:
    """``0.71x as fast, 1.08x the work a dollar``, of a ratio of latencies or of the mean."""
    ratio = one.mean.ratio if ratio is None else ratio
    if ratio is None:
        return ""
    work = one.prices.work(ratio)
    return f"{1 / ratio:.2f}x as fast" + (f", {work:.2f}x the work a dollar" if work else "")


def _table(
    one: RunComparison,
    cases: Sequence[CaseComparison],
    *,
    spread: bool = False,
    costs: bool = False,
    bound: bool = True,
) -> tuple[Rows, str]:
    base, new, prices = one.base.name, one.new.name, one.prices
    columns = [
        ("problem", " ", [problem_of(case) for case in cases]),
        ("backend", " ", [case.backend for case in cases]),
        (base, "r", [reading_text(case.base, spread=spread) for case in cases]),
        (new, "r", [reading_text(case.new, spread=spread) for case in cases]),
        ("speed-up", "r", [_times(1 / case.ratio if case.ratio else None) for case in cases]),
    ]
    if prices != NO_PRICES:
        columns.append(("per dollar", "r", [_times(prices.work(case.ratio)) for case in cases]))
    if costs:
        sides = [(case.base, case.new) for case in cases]
        columns.append((f"{base} $/M", "r", [_cost(old, prices.base) for old, _ in sides]))
        columns.append((f"{new} $/M", "r", [_cost(now, prices.new) for _, now in sides]))
    columns.append(("ceiling", "r", [_times(one.ceiling_of(case)) for case in cases]))
    if bound:
        columns.append(("bound", " ", [case.facts.get("bound") or "" for case in cases]))
    rows = list(zip(*((name, *texts) for name, _, texts in columns), strict=True))
    return rows, "".join(place for _, place, _ in columns)


def _cost(reading: Latency | None, price: float | None) -> str:
    cost = dollars_a_million(reading, price)
    return "" if cost is None else dollars_text(cost)


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}x"
