"""Backends with their options, and the ``exclude`` maps that remove cases.

Backends come from the file's ``backends`` and from ``--backend``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from attnbench.case import Options, backend_label, option_text
from attnbench.errors import InputError
from attnbench.filter import Filter, check_condition, did_you_mean, from_map
from attnbench.plugin import BackendDescription, Catalogue, OptionSpec
from attnbench.suite.diagnostics import Diagnostic, Place
from attnbench.suite.fields import ValueFault
from attnbench.suite.source import Source
from attnbench.units import parse_count

_LABEL = re.compile(r"(?P<reference>[^\[\]]+)(?:\[(?P<options>[^\[\]]*)\])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One backend with one choice of options.

    ``options`` holds what differs from the defaults, as a case does; ``settings`` holds all.
    """

    name: str
    source: str
    options: Options
    settings: Mapping[str, Any]

    @property
    def label(self) -> str:
        """``sdpa[kernel=flash]``."""
        return backend_label(self.name, dict(self.options))


@dataclass(slots=True)
class Backends:
    """The variants of a suite in its order, what is known of their backends, and the faults."""

    variants: list[Variant] = field(default_factory=list)
    facts: dict[str, BackendDescription] = field(default_factory=dict)
    faults: list[Diagnostic] = field(default_factory=list)

    @property
    def labels(self) -> tuple[str, ...]:
        """The variants' labels."""
        return tuple(one.label for one in self.variants)

    @property
    def options(self) -> tuple[str, ...]:
        """The names of all options, sorted."""
        return tuple(sorted({name for facts in self.facts.values() for name in facts.options}))

    def add(self, facts: BackendDescription, choices: Mapping[str, list[Any]]) -> None:
        """Add the product of the choices; what is there already is not added twice."""
        self.facts[facts.name] = facts
        for values in product(*choices.values()):
            settings = {name: one.default for name, one in facts.options.items()}
            settings |= dict(zip(choices, values, strict=True))
            differing = ((k, v) for k, v in settings.items() if not _same(v, facts.options[k]))
            variant = Variant(
                name=facts.name,
                source=facts.source,
                options=tuple(sorted(differing)),
                settings=settings,
            )
            if variant.label not in self.labels:
                self.variants.append(variant)


def from_file(
    source: Source, blocks: Mapping[str, Any], catalogue: Catalogue, folder: Path
) -> Backends:
    """Look up what the file names; files are seen from its folder."""
    backends = Backends()
    keys: dict[str, str] = {}
    for key, block in blocks.items():
        given = block or {}
        place = source.key_place(("backends", key))
        try:
            facts = catalogue.describe(key, folder=folder, name=given.get("name"))
        except InputError as error:
            backends.faults.append(_unknown(error, place))
            continue
        if facts.name in keys:
            first = source.key_place(("backends", keys[facts.name]))
            message = f"two backends have the name {facts.name!r}"
            also = (first, "give one of them a name: of its own")
            backends.faults.append(Diagnostic(message, place, also=also))
            continue
        keys[facts.name] = key
        choices: dict[str, list[Any]] = {}
        for name, raw in given.get("options", {}).items():
            choices[name] = _values(source, backends, facts, (key, name), raw)
        known = {name: values for name, values in choices.items() if name in facts.options}
        backends.add(facts, known)
    if not blocks:
        backends.faults.append(Diagnostic("backends names none", source.value_place(("backends",))))
    return backends


def _values(
    source: Source, backends: Backends, facts: BackendDescription, where: tuple[str, str], raw: Any
) -> list[Any]:
    """Check one option's value, or each of its list."""
    key, name = where
    path = ("backends", key, "options", name)
    if advice := _unknown_option(facts, name):
        message = f"{facts.name} has no option {name!r}"
        backends.faults.append(Diagnostic(message, source.key_place(path), advice))
        return []
    good = []
    for index, value in enumerate(raw if isinstance(raw, list) else [raw]):
        try:
            good.append(_checked(facts.options[name], value))
        except ValueFault as fault:
            at = source.value_place((*path, index) if isinstance(raw, list) else path)
            backends.faults.append(Diagnostic(fault.message, at, fault.advice))
    return good


def from_words(
    words: Iterable[str],
    file: Backends,
    catalogue: Catalogue,
    folder: Path,
    flag: str = "--backend",
) -> Backends:
    """Look up what ``--backend`` (or another flag) names; files are seen from ``folder``.

    The name of one of the suite's backends is all its variants there; a label is that alone.
    """
    backends = Backends(facts=dict(file.facts))
    for word in words:
        text = f"{flag} {word}"
        place = Place("command line", None, len(flag) + 1, len(word), text)
        match = _LABEL.fullmatch(word)
        if match is None:
            fault = Diagnostic(
                f"{word!r} is no backend", place, "write sdpa or 'sdpa[kernel=math]'"
            )
            backends.faults.append(fault)
            continue
        same = [one for one in file.variants if word in (one.name, one.label)]
        backends.variants += [one for one in same if one.label not in backends.labels]
        if same:
            continue
        try:
            reference = match["reference"]
            facts = file.facts.get(reference) or catalogue.describe(reference, folder=folder)
            backends.add(facts, _choices(facts, match["options"] or ""))
        except ValueFault as wrong:
            backends.faults.append(Diagnostic(wrong.message, place, wrong.advice))
        except InputError as error:
            backends.faults.append(_unknown(error, place))
    return backends


def _choices(facts: BackendDescription, text: str) -> dict[str, list[Any]]:
    """Read ``a=1,b=x`` of a label."""
    choices: dict[str, list[Any]] = {}
    for pair in filter(None, text.split(",")):
        name, equals, value = (one.strip() for one in pair.partition("="))
        if not equals:
            raise ValueFault(f"{pair!r} in the label sets nothing", "write option=value")
        if advice := _unknown_option(facts, name):
            raise ValueFault(f"{facts.name} has no option {name!r}", advice)
        option = facts.options[name]
        choices[name] = [_checked(option, _typed(option, value))]
    return choices


def _unknown(error: InputError, place: Place) -> Diagnostic:
    return Diagnostic(error.message, place, more=() if error.hint is None else (error.hint,))


def _unknown_option(facts: BackendDescription, name: str) -> str | None:
    """Return advice where the backend has no such option."""
    if name in facts.options:
        return None
    takes = ", ".join(facts.options) or "none"
    return did_you_mean(name, facts.options) or f"its options: {takes}"


def _same(value: Any, option: OptionSpec) -> bool:
    return value == option.default and isinstance(value, bool) == isinstance(option.default, bool)


def _checked(option: OptionSpec, value: Any) -> Any:
    """Return an option's value as its default's type.

    Raises:
        ValueFault: not one of its choices, or of another type.

    """
    got = repr(value) if isinstance(value, str) else option_text(value)
    if option.choices is not None:
        if not any(value == one and type(value) is type(one) for one in option.choices):
            words = [option_text(one) for one in option.choices]
            advice = did_you_mean(str(value), words)
            raise ValueFault(f"{option.name} is one of {', '.join(words)}; got {got}", advice)
        return value
    kind = type(option.default)
    if kind is float and type(value) is int:
        return float(value)
    if option.default is not None and type(value) is not kind:
        kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        raise ValueFault(f"{option.name} is {kinds[kind]}; got {got}")
    return value


def _typed(option: OptionSpec, text: str) -> Any:
    """Read an option's value from the command line, as its default's type if it can be."""
    words = {option_text(one): one for one in (True, False, None, *(option.choices or ()))}
    if isinstance(option.default, str):
        return text
    if text in words:
        return words[text]
    for read in (parse_count, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


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
