"""From a grid to cases: every combination a problem (of a model: several), times the backends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnbench import models
from attnbench.case import Case
from attnbench.errors import InputError, ProblemError
from attnbench.filter import plain_fields
from attnbench.problem import DEFAULTS, REQUIRED, Problem
from attnbench.problem.batch import Request, parse_requests
from attnbench.suite.diagnostics import Diagnostic, Place
from attnbench.suite.exclusions import Exclusions
from attnbench.suite.grid import Grid, Picks
from attnbench.suite.variants import Variant

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

    def trouble(self, error: ProblemError, picks: Picks, given: dict[str, Any]) -> None:
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
