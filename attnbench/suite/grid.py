"""The grid of a suite: what all its problems have in common, and the axes that multiply."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

from attnbench.models import GIVEN
from attnbench.suite.diagnostics import Diagnostic, Place
from attnbench.suite.fields import PROBLEM
from attnbench.suite.overrides import Override
from attnbench.suite.source import Path, Source

# More problems than any machine measures; a slip of a digit must not fill the memory.
MOST_PROBLEMS = 100_000

Fields = Mapping[str, Any]
Picks = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: each entry sets one field, or several that are tied.

    ``places`` has one for each entry of an override; what stands in the file is looked up there.
    """

    name: str
    entries: tuple[Fields, ...]
    place: Place
    places: tuple[Place, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that one of its entries sets."""
        return tuple(dict.fromkeys(name for entry in self.entries for name in entry))


@dataclass(frozen=True, slots=True)
class Grid:
    """What the problems have in common and what is varied; an axis wins over ``base``."""

    source: Source
    base: Fields
    axes: tuple[Axis, ...]

    @property
    def size(self) -> int:
        """How many combinations there are."""
        return math.prod(len(axis.entries) for axis in self.axes)

    def combinations(self) -> Iterator[tuple[Picks, dict[str, Any]]]:
        """Yield every combination with the entry it takes of each axis, the first outermost."""
        for picks in product(*(range(len(axis.entries)) for axis in self.axes)):
            fields = dict(self.base)
            for axis, pick in zip(self.axes, picks, strict=True):
                fields.update(axis.entries[pick])
            yield picks, fields

    def axis_of(self, field: str) -> int | None:
        """Return which axis sets a field."""
        return next((i for i, axis in enumerate(self.axes) if field in axis.fields), None)

    def place(self, field: str, picks: Picks) -> Place:
        """Return where a combination has a field from; the nearest right place if nowhere."""
        index = self.axis_of(field)
        if index is not None and field in self.axes[index].entries[picks[index]]:
            axis = self.axes[index]
            if axis.places:
                return axis.places[picks[index]]
            path: Path = ("sweep", axis.name, picks[index])
            tied = axis.name not in PROBLEM
            return self.source.value_place((*path, field) if tied else path)
        if field in self.base:
            return self.source.value_place(("problem", field))
        section = "problem" if "problem" in self.source.data else "sweep"
        return self.source.key_place((section,))


def grid_of(
    source: Source, sections: Mapping[str, Any], overrides: Sequence[Override]
) -> tuple[Grid, list[Diagnostic]]:
    """Make the grid of a file's ``problem`` and ``sweep``, and of ``--set``."""
    replaced = {one.field for one in overrides}
    if "model" in replaced:
        replaced.update(GIVEN)  # a model brings its own
    base = {k: v for k, v in sections.get("problem", {}).items() if k not in replaced}
    axes = list(_file_axes(source, sections.get("sweep", {}), replaced))
    for one in overrides:
        entries = tuple({one.field: value} for value in one.values)
        axes.append(Axis(one.field, entries, one.place, one.places))
    grid = Grid(source, base, tuple(axes))
    faults = list(_twice(source, axes))
    if grid.size > MOST_PROBLEMS:
        message = f"the sweep multiplies to {grid.size} problems, more than {MOST_PROBLEMS}"
        faults.append(Diagnostic(message, source.key_place(("sweep",))))
    return grid, faults


def _file_axes(source: Source, sweep: Mapping[str, Any], replaced: set[str]) -> Iterator[Axis]:
    """Yield the file's axes in its order, without the fields that ``--set`` replaces."""
    for name in source.data.get("sweep", {}):
        if name in replaced or name not in sweep:
            continue
        values = sweep[name]
        if name in PROBLEM:
            entries = [{name: value} for value in values]
        else:
            entries = [{k: v for k, v in one.items() if k not in replaced} for one in values]
        if not any(entries):
            continue
        yield Axis(name, tuple(entries), source.key_place(("sweep", name)))


def _twice(source: Source, axes: Sequence[Axis]) -> Iterator[Diagnostic]:
    """Find fields that two axes set."""
    for one, other in combinations(axes, 2):
        for field in one.fields:
            if field in other.fields:
                message = f"{field} stands in two axes, {one.name} and {other.name}"
                places = [_field_place(source, axis, field) for axis in (one, other)]
                yield Diagnostic(message, places[1], "keep one", also=(places[0], "and here"))


def _field_place(source: Source, axis: Axis, field: str) -> Place:
    if axis.name == field:
        return axis.place
    index = next(i for i, entry in enumerate(axis.entries) if field in entry)
    return source.key_place(("sweep", axis.name, index, field))
