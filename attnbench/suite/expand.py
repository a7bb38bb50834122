"""From ``problem`` and ``sweep`` to cases.

``--set F=a,b`` replaces a field by an axis of its own, after the file's axes. The axes multiply to
a grid; each combination is one problem (with a model, one for each kind of layer), and each problem
is measured with every backend.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path
from typing import Any

from attnbench import models
from attnbench.case import Case
from attnbench.errors import InputError, ProblemError
from attnbench.filter import did_you_mean, plain_fields
from attnbench.models import GIVEN
from attnbench.problem import DEFAULTS, REQUIRED, Problem
from attnbench.problem.batch import Request, parse_requests
from attnbench.suite.diagnostics import Diagnostic, Place
from attnbench.suite.fields import PROBLEM, FieldSpec, ValueFault
from attnbench.suite.source import KeyPath, Source
from attnbench.suite.variants import Exclusions, Variant

_FLAG = "--set "


@dataclass(frozen=True, slots=True)
class Override:
    """One ``--set``, its values read and each with its place."""

    field: str
    values: tuple[Any, ...]
    places: tuple[Place, ...]
    place: Place


def read_overrides(words: Iterable[str]) -> tuple[list[Override], list[Diagnostic]]:
    """Read every ``--set``."""
    overrides: list[Override] = []
    faults: list[Diagnostic] = []
    for word in words:
        field, equals, rest = word.partition("=")
        place = _place(word, 0, len(field))
        if not equals or not rest:
            faults.append(Diagnostic(f"{word!r} sets nothing", place, "write --set kv_len=1k,4k"))
        elif field not in PROBLEM:
            advice = did_you_mean(field, PROBLEM)
            faults.append(Diagnostic(f"unknown field {field!r}", place, advice))
        elif any(one.field == field for one in overrides):
            faults.append(Diagnostic(f"{field} is set twice", place, f"write --set {field}=a,b"))
        else:
            override, wrong = _read_override(word, field, rest)
            overrides.append(override)
            faults += wrong
    return overrides, faults


def _read_override(word: str, field: str, rest: str) -> tuple[Override, list[Diagnostic]]:
    values, places, faults = [], [], []
    start = len(field) + 1
    for text in rest.split(","):
        place = _place(word, start, len(text))
        start += len(text) + 1
        try:
            values.append(PROBLEM[field](_typed(PROBLEM[field], text.strip())))
            places.append(place)
        except ValueFault as fault:
            faults.append(Diagnostic(fault.message, place, fault.advice))
    return Override(field, tuple(values), tuple(places), _place(word, 0, len(field))), faults


def _typed(leaf: FieldSpec, text: str) -> Any:
    """Read a word of the command line as the kind of value that a file would hold."""
    kind = leaf.schema.get("type")
    if kind == "boolean":
        return {"true": True, "false": False}.get(text, text)
    if kind == "number":
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _place(word: str, start: int, width: int) -> Place:
    return Place("command line", None, len(_FLAG) + start, width, f"{_FLAG}{word}")


# More problems than any machine measures; a slip of a digit must not fill the memory.
MOST_PROBLEMS = 100_000

Fields = Mapping[str, Any]
Choice = tuple[int, ...]  # which entry of each axis


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

    def combinations(self) -> Iterator[tuple[Choice, dict[str, Any]]]:
        """Yield every combination with the entry it takes of each axis, the first outermost."""
        for picks in product(*(range(len(axis.entries)) for axis in self.axes)):
            fields = dict(self.base)
            for axis, pick in zip(self.axes, picks, strict=True):
                fields.update(axis.entries[pick])
            yield picks, fields

    def axis_of(self, field: str) -> int | None:
        """Return which axis sets a field."""
        return next((i for i, axis in enumerate(self.axes) if field in axis.fields), None)

    def place(self, field: str, picks: Choice) -> Place:
        """Return where a combination has a field from; the nearest right place if nowhere."""
        index = self.axis_of(field)
        if index is not None and field in self.axes[index].entries[picks[index]]:
            axis = self.axes[index]
            if axis.places:
                return axis.places[picks[index]]
            path: KeyPath = ("sweep", axis.name, picks[index])
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
        for name in one.fields:
            if name in other.fields:
                message = f"{name} stands in two axes, {one.name} and {other.name}"
                places = [_field_place(source, axis, name) for axis in (one, other)]
                yield Diagnostic(message, places[1], "keep one", also=(places[0], "and here"))


def _field_place(source: Source, axis: Axis, field: str) -> Place:
    if axis.name == field:
        return axis.place
    index = next(i for i, entry in enumerate(axis.entries) if field in entry)
    return source.key_place(("sweep", axis.name, index, field))


# How many different messages of one fault are shown.
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Member:
    """What a problem belongs to: a model, how it is divided, how many of its layers."""

    model: str | None = None
    tp: int | None = None
    weight: float | None = None


@dataclass(slots=True)
class Expansion:
    """The cases of a suite, what models were derived to, and what is wrong."""

    cases: list[Case] = field(default_factory=list)
    derived: dict[str, str] = field(default_factory=dict)
    faults: list[Diagnostic] = field(default_factory=list)
    total: int = 0


@dataclass(slots=True)
class _Trouble:
    """One kind of fault, of all the cases that have it."""

    messages: dict[str, str | None] = field(default_factory=dict)
    places: dict[Place, None] = field(default_factory=dict)
    cases: int = 0


def expand(
    grid: Grid, variants: Sequence[Variant], exclusions: Exclusions, folder: Path
) -> Expansion:
    """Make the cases, in the order of the grid and then of the backends."""
    return _Expander(grid, variants, exclusions, folder).run()


class _Expander:
    def __init__(
        self, grid: Grid, variants: Sequence[Variant], exclusions: Exclusions, folder: Path
    ) -> None:
        self.grid = grid
        self.variants = variants
        self.exclusions = exclusions
        self.folder = folder
        self.models: dict[str, models.Model | InputError] = {}
        self.kept: dict[Problem, list[dict[Member, None]]] = {}
        self.troubles: dict[tuple[str, int | None], _Trouble] = {}
        self.result = Expansion()

    def run(self) -> Expansion:
        for picks, given in self.grid.combinations():
            try:
                for problem, member in self.problems(given):
                    self.result.total += len(self.variants)
                    self.keep(problem, member)
            except ProblemError as error:
                self.result.total += len(self.variants)
                self.trouble(error, picks, given)
        self.result.cases = [
            _case(problem, variant, list(members))
            for problem, each in self.kept.items()
            for variant, members in zip(self.variants, each, strict=True)
            if members
        ]
        self.result.faults = [self.fault(*one) for one in self.troubles.items()]
        return self.result

    def problems(self, given: dict[str, Any]) -> Iterator[tuple[Problem, Member]]:
        """Make the problem of a combination, or those of its model's layers."""
        reference = given.get("model")
        if reference is None:
            if "tp" in given:
                raise ProblemError("tp divides the heads of a model; there is none", field="tp")
            yield _problem(given), Member()
            return
        model = self.model(reference)
        beside = next((name for name in models.GIVEN if name in given), None)
        if beside is not None:
            raise ProblemError(f"{beside} comes from the model; give one of them", field=beside)
        tp, phase = given.get("tp", 1), _phase(given)
        common = {k: v for k, v in given.items() if k not in ("model", "tp")}
        if model.dtype is not None:
            common.setdefault("dtype", model.dtype)
        for group in _groups(model, phase, tp):
            from_model = group.fields(phase)
            if group.window is None and "mask" in given:
                from_model["mask"] = given["mask"]
            weight = None if group.layers is None else float(group.layers)
            yield _problem({**common, **from_model}), Member(model.name, tp, weight)

    def model(self, reference: str) -> models.Model:
        if reference not in self.models:
            try:
                self.models[reference] = models.find(reference, folder=self.folder)
            except InputError as error:
                self.models[reference] = error
        found = self.models[reference]
        if isinstance(found, InputError):
            raise ProblemError(found.message, field="model", hint=found.hint)
        self.result.derived[reference] = found.derived
        return found

    def keep(self, problem: Problem, member: Member) -> None:
        """Add a problem for every backend for which it is not excluded."""
        common: dict[str, Any] = {}
        if self.exclusions.ones:
            common = plain_fields(problem, "", {}, member.model, member.tp)
            if not self.exclusions.name_backend:
                if self.exclusions.remove(common, len(self.variants)):
                    return
                common = {}
        each = self.kept.setdefault(problem, [{} for _ in self.variants])
        for variant, members in zip(self.variants, each, strict=True):
            if not (common and self.exclusions.remove(_with(variant, common))):
                members[member] = None

    def trouble(self, error: ProblemError, picks: Choice, given: dict[str, Any]) -> None:
        """Note a fault, unless every case of the combination is excluded anyway."""
        fields = {**DEFAULTS, **_filled(given)}
        model = self.models.get(given.get("model", ""))
        if isinstance(model, models.Model):
            fields["model"] = model.name
        left = [one for one in self.variants if not self.exclusions.remove(_with(one, fields))]
        if self.variants and not left:
            return
        name = error.field
        if name not in given and "model" in given:
            name = "model"
        trouble = self.troubles.setdefault((name, self.grid.axis_of(name)), _Trouble())
        trouble.messages.setdefault(error.message, error.hint)
        trouble.places.setdefault(self.grid.place(name, picks))
        trouble.cases += len(left)

    def fault(self, key: tuple[str, int | None], trouble: _Trouble) -> Diagnostic:
        """Make one fault of one kind of trouble, however many cases have it."""
        (first, hint), *others = trouble.messages.items()
        place, *more_places = trouble.places
        axis = key[1]
        if more_places and axis is not None:
            place = self.grid.axes[axis].place
        more = [f"also: {message}" for message, _ in others[:_SHOWN]]
        if len(others) > _SHOWN:
            more.append(f"and {len(others) - _SHOWN} more like it")
        total = self.result.total
        affects = f"{trouble.cases} of {total} cases" if total > 1 else ""
        advice = hint if hint is not None and hint.startswith("did you mean") else ""
        if hint and not advice:
            more.insert(0, hint)
        return Diagnostic(first, place, advice, affects=affects, more=tuple(more))


def _groups(model: models.Model, phase: str, tp: int) -> tuple[models.LayerGroup, ...]:
    try:
        return model.layer_groups(phase, tp)
    except ProblemError as error:
        raise ProblemError(f"{model.name}: {error.message}", field=error.field) from None


def _problem(given: Mapping[str, Any]) -> Problem:
    missing = [name for name in REQUIRED if name not in given]
    if "q_len" not in given and "requests" not in given:
        missing.append("q_len, or requests")
    if missing:
        raise ProblemError(f"a problem needs {' and '.join(missing)}", field=missing[0])
    return Problem(**given)


def _phase(given: Mapping[str, Any]) -> str:
    """Tell the phase before there is a problem: MLA's layers depend on it."""
    if (requests := given.get("requests")) is not None:
        phases = {one.phase for one in parse_requests(requests)}
        return phases.pop() if len(phases) == 1 else "mixed"
    q_len = given.get("q_len", 1)
    return Request(q_len, given.get("kv_len", q_len)).phase


def _filled(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the lengths and heads that follow from others, where no problem could be made."""
    filled = dict(given)
    for name, source in (("kv_len", "q_len"), ("kv_heads", "q_heads"), ("v_head_dim", "head_dim")):
        if source in given:
            filled.setdefault(name, given[source])
    filled.setdefault("batch", 1)
    return filled


def _with(variant: Variant, fields: Mapping[str, Any]) -> dict[str, Any]:
    named = {"backend": variant.name, "backend_label": variant.label}
    return {**variant.settings, **fields, **named}


def _case(problem: Problem, variant: Variant, members: Sequence[Member]) -> Case:
    """Make a case; what several models share has all their names, and what they agree on."""
    names = dict.fromkeys(one.model for one in members if one.model is not None)
    first = members[0]
    return Case(
        problem=problem,
        backend=variant.name,
        options=variant.options,
        source=variant.source,
        model=", ".join(names) or None,
        tp=first.tp if all(one.tp == first.tp for one in members) else None,
        weight=first.weight if all(one.weight == first.weight for one in members) else None,
    )
