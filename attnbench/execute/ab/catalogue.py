"""Backends as one side sees them: looked up as ever, or as they were in a commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from attnbench.case import Case
from attnbench.plugin import BackendDescription, OptionSpec
from attnbench.registry import Registry


@dataclass(slots=True)
class RecordingCatalogue:
    """A ``plugin.Catalogue`` that keeps what it was asked, by the backend's name."""

    known: dict[str, BackendDescription] = field(default_factory=dict)

    def describe(
        self, reference: str, *, folder: Path, name: str | None = None
    ) -> BackendDescription:
        """Look a backend up; see ``Registry.facts``."""
        found = Registry().describe(reference, folder=folder, name=name)
        self.known[found.name] = found
        return found

    def options(self) -> dict[str, Mapping[str, OptionSpec]]:
        """The options of each backend."""
        return {name: one.options for name, one in self.known.items()}


@dataclass(slots=True)
class CommitCatalogue:
    """The same, with each file where ``places`` says that a commit has it.

    A suite may set options and choices that the commit does not know yet. They are let through
    here, so that the suite can be read, and ``lacks`` says which cases cannot be measured for it.
    """

    places: Mapping[str, Path]
    known: dict[str, BackendDescription] = field(default_factory=dict)

    def describe(
        self, reference: str, *, folder: Path, name: str | None = None
    ) -> BackendDescription:
        """Look a backend up; a file's options are the commit's, and what came later beside them."""
        now = Registry().describe(reference, folder=folder, name=name)
        place = self.places.get(now.source)
        if place is None or not place.is_file():
            return now
        then = Registry().describe(str(place), folder=folder, name=now.name)
        self.known[then.name] = then
        options = {key: _wide(then.options.get(key), one) for key, one in now.options.items()}
        return replace(then, options={**then.options, **options})

    def options(self) -> dict[str, Mapping[str, OptionSpec]]:
        """The options of each file backend as the commit has them."""
        return {name: one.options for name, one in self.known.items()}

    def lacks(self, case: Case) -> str | None:
        """Say what of a case the commit does not have; None where it has all."""
        then = self.known.get(case.backend)
        if then is None:
            return "the file"
        for name, value in case.options:
            option = then.options.get(name)
            if option is None:
                return f"option {name}"
            if option.choices is not None and value not in option.choices:
                return f"{name}={value}"
        return None


def _wide(then: OptionSpec | None, now: OptionSpec) -> OptionSpec:
    """An option of both times: its default is the commit's, its choices are those of either."""
    if then is None:
        return now
    if then.choices is None or now.choices is None:
        return then
    return replace(then, choices=tuple(dict.fromkeys((*then.choices, *now.choices))))
