"""Above a comparison: who is compared, and what differs beside the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attnbench.analysis.dollars import NO_PRICES, dollars_text, unpriced
from attnbench.cli.screen import laid_out
from attnbench.cli.summary import counted, shown_path

if TYPE_CHECKING:
    from attnbench.analysis.compare import RunComparison
    from attnbench.analysis.sides import Side


def heading(one: RunComparison) -> Iterator[str]:
    """Name both sides, and what they differ in beside their numbers."""
    yield from side_lines([one.base, one.new])
    for side in (one.base, one.new):
        yield from pool_notes(side)
    yield from notes(one)


def side_lines(sides: Sequence[Side]) -> list[str]:
    """Name the sides, the base first."""
    return laid_out(
        [("new" if number else "base", *_side_texts(side)) for number, side in enumerate(sides)]
    )


def pool_notes(side: Side) -> Iterator[str]:
    """Warn of what varies inside a side that stands for several runs, and is not seen there."""
    from attnbench.analysis.comparability import varying

    if found := varying(side):
        runs = counted(len(side.runs[1]), "run")
        yield f"note  {side.name} pools {runs} that vary in {'; '.join(found)}"
    for remark in side.remarks:
        yield f"note  {remark}"


def notes(one: RunComparison) -> Iterator[str]:
    """What both sides differ in beside their numbers."""
    for kind, word in (("chip", "another chip"), ("state", "state differs")):
        if texts := [what.text for what in one.differing if what.kind == kind]:
            yield f"note  {word}: {'; '.join(texts)}"
    if texts := [what.text for what in one.differing if what.kind == "software"]:
        yield f"note  software differs: {'; '.join(texts)}"
    if one.ratios_only:
        texts = [what.text for what in one.differing if what.kind == "device"]
        yield f"note  different devices, so ratios and no verdicts: {'; '.join(texts)}"
        for what in one.ceilings:
            ratio = f"({what.ratio:.2f}x)"
            yield f"note  measured {what.name} {what.base:.4g} -> {what.new:.4g} {ratio}"
    yield from _price_notes(one)


def _price_notes(one: RunComparison) -> Iterator[str]:
    """What an hour costs, or why that says nothing here."""
    prices = one.prices
    if prices == NO_PRICES:
        return
    if not one.ratios_only:
        yield "note  one kind of device on both sides: work a dollar changes as latency does"
    elif prices.base is not None and prices.new is not None:
        ratio = f"({prices.ratio:.2f}x)"
        told = f"{dollars_text(prices.base)} -> {dollars_text(prices.new)}"
        yield f"note  an hour of a device, as given: {told} {ratio}"
    for name in unpriced([one]) if one.ratios_only else ():
        yield f"note  {name} has no price, so there is no work a dollar: --price '{name}=DOLLARS'"


def _side_texts(side: Side) -> tuple[str, ...]:
    moments = side.values("started_at")
    commits = [str(one)[:7] for one in side.values("git_commit")]
    runs = "" if len(side.runs[1]) == 1 else counted(len(side.runs[1]), "run")
    # A side that was cut out of several files does not know which of them its rows are from.
    own = side.paths if len(side.paths) <= len(side.runs[1]) else ()
    files = ", ".join(shown_path(path) for path in own[:2])
    same = side.paths and side.name == side.paths[0].name.removesuffix(".parquet")
    return (
        side.name,
        runs or ("" if same else files),
        f"{max(moments):%Y-%m-%d %H:%M}" if moments else "",
        ", ".join(commits[:2]),
        ", ".join(map(str, side.values("device_name")[:2])),
    )
