"""``exclude``: maps that remove the cases which match every key, and how many each removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from attnbench.filter import Filter, check_condition, did_you_mean, from_map
from attnbench.suite.diagnostics import Diagnostic
from attnbench.suite.source import Source
from attnbench.suite.variants import Backends

# What a filter may name but a map that removes cases may not: it would change with them.
_NO_FIELDS = ("label", "case_label", "case_id", "problem_id", "weight")


@dataclass(slots=True)
class Exclusion:
    """One map; ``place`` is ``suites/decode.yaml:14``."""

    chosen: Filter
    place: str
    names_backend: bool
    removed: int = 0


@dataclass(slots=True)
class Exclusions:
    """Every map of a suite, in its order; the first that matches a case removes it."""

    ones: list[Exclusion] = field(default_factory=list)

    @property
    def name_backend(self) -> bool:
        """Whether any map asks for the backend or an option, and not for the problem alone."""
        return any(one.names_backend for one in self.ones)

    def remove(self, fields: Mapping[str, Any], count: int = 1) -> bool:
        """Whether cases with these fields are left out; ``count`` says how many they are."""
        for one in self.ones:
            if one.chosen.matches(fields):
                one.removed += count
                return True
        return False

    @property
    def removed(self) -> int:
        """How many cases they removed together."""
        return sum(one.removed for one in self.ones)

    def report(self) -> str:
        """Say which map removed how many cases, and where it stands."""
        lines = [(f"  {one.removed} by", one.chosen.text, one.place) for one in self.ones]
        wide = max((len(text) for _, text, _ in lines), default=0)
        return "\n".join(f"{how} {text:{wide}}   {place}" for how, text, place in lines)


def exclusions_of(
    source: Source,
    maps: Sequence[Mapping[str, Any]],
    backends: Backends,
    options: Iterable[str],
) -> tuple[Exclusions, list[Diagnostic]]:
    """Read the maps; ``options`` are the names that stand beside a problem's fields."""
    exclusions, faults = Exclusions(), []
    names = {*options, "backend", "backend_label"}
    for index, one in enumerate(maps):
        wrong = [
            fault
            for name, value in one.items()
            if (fault := _wrong(source, index, (name, value), backends, names))
        ]
        faults += wrong
        if wrong:
            continue
        place = source.value_place(("exclude", index))
        where = f"{place.name}:{place.line}"
        exclusions.ones.append(Exclusion(from_map(one), where, bool(names.intersection(one))))
    return exclusions, faults


def _wrong(
    source: Source, index: int, pair: tuple[str, Any], backends: Backends, names: set[str]
) -> Diagnostic | None:
    name, value = pair
    path = ("exclude", index, name)
    if name in _NO_FIELDS:
        message = f"exclude goes by fields, not by {name}"
        return Diagnostic(message, source.key_place(path), "name the fields that it has")
    if wrong := check_condition(name, value, extra=names):
        message, advice, is_key = wrong
        if is_key and backends.faults:
            return None  # it may be an option of a backend that is not known yet
        return Diagnostic(
            message, source.key_place(path) if is_key else source.value_place(path), advice
        )
    if name not in ("backend", "backend_label") or backends.faults:
        return None
    known = {one.name if name == "backend" else one.label for one in backends.variants}
    for at, text in enumerate(value if isinstance(value, list) else [value]):
        word = str(text).removeprefix("!").removeprefix("=")
        if word not in known:
            place = source.value_place((*path, at) if isinstance(value, list) else path)
            message = f"no {name} {word!r} in this suite"
            return Diagnostic(message, place, did_you_mean(word, known))
    return None
