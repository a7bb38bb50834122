"""The comparisons of a report: which runs are compared, and one sentence about each pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from attnbench.analysis.compare import THRESHOLD, RunComparison, compare_sides, priced, sides_of
from attnbench.analysis.sides import Side
from attnbench.errors import NotComparable, NothingSelected, ResultFileError
from attnbench.render.comparison import verdict_line
from attnbench.render.values import ratio_text
from attnbench.units import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparisons:
    """Each pair of a base and another side, and why other pairs were refused."""

    pairs: tuple[RunComparison, ...] = ()
    refused: tuple[str, ...] = ()
    threshold: float = THRESHOLD

    @property
    def judged(self) -> list[RunComparison]:
        """The pairs on one kind of device, which have verdicts."""
        return [one for one in self.pairs if not one.ratios_only]

    @property
    def across(self) -> list[RunComparison]:
        """The pairs of different devices, which have only ratios."""
        return [one for one in self.pairs if one.ratios_only]

    @property
    def lines(self) -> tuple[str, ...]:
        """One sentence per pair: the sides and the outcome."""
        return tuple(_sentence(one, self.threshold) for one in self.pairs)


def comparisons(
    files: Sequence[Path],
    *,
    devices: int = 1,
    filter: str | None = None,
    by: str | None = None,
    against: str | None = None,
    threshold: float = THRESHOLD,
    prices: Mapping[str, float] | None = None,
) -> Comparisons:
    """Compare the first file with each other one, or the values of the column ``by``.

    A single file is compared with itself only where it holds several devices, as a merged file
    does. Pairs that cannot be compared are refused with a reason.

    Args:
        files: result files, the base first.
        devices: number of distinct devices in the files.
        filter: keep only the cases that match.
        by: column whose values are the sides; None makes each file a side.
        against: the base among the values of ``by``.
        threshold: change that matters, as a share.
        prices: dollars per hour by device name.

    Raises:
        InputError: a file, filter or column cannot be used.
        NothingSelected: ``by`` was given and leaves only one side.

    """
    if by is None and len(files) == 1:
        if devices < 2:  # noqa: PLR2004  nothing to compare
            return Comparisons(threshold=threshold)
        by = "gpu"
    try:
        sides, column = sides_of(files, by=by, against=against, filter=filter)
    except (NothingSelected, ResultFileError) as error:
        if by is not None and len(files) > 1:
            raise
        return Comparisons(refused=(error.message,), threshold=threshold)
    sides = _named(sides) if by is None else sides
    pairs, refused = [], []
    for other in sides[1:]:
        try:
            pairs.append(compare_sides(sides[0], other, column=column, limit=threshold))
        except (NotComparable, NothingSelected) as error:
            refused.append(" ".join(error.message.split()))
    found = tuple(priced(pairs, prices or {}))
    return Comparisons(pairs=found, refused=tuple(refused), threshold=threshold)


def _named(sides: Sequence[Side]) -> list[Side]:
    """Name the sides as the page names their runs, if those names are distinct."""
    for column in ("device_name", "run_name"):
        names = [side.values(column) for side in sides]
        unique = [str(one[0]) for one in names if len(one) == 1]
        if len(set(unique)) == len(sides):
            return [replace(side, name=name) for side, name in zip(sides, unique, strict=True)]
    return list(sides)


def _sentence(one: RunComparison, threshold: float) -> str:
    counts = verdict_line(one, threshold)
    mean = ""
    if one.mean.ratio is not None:
        what = (
            f"{ratio_text(1 / one.mean.ratio)} as fast"
            if one.ratios_only
            else f"{100 * (one.mean.ratio - 1):+.1f} %"
        )
        if (work := one.prices.work(one.mean.ratio)) is not None and one.ratios_only:
            what += f" and {ratio_text(work)} the work per dollar"
        mean = f"; geometric mean {what} over {counted(one.mean.n, 'case')}"
    why = "; different devices have ratios but no verdicts" if one.ratios_only else ""
    return f"{one.new.name} against {one.base.name}: {counts}{mean}{why}"
