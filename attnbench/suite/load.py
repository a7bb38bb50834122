"""From a suite file to a Suite: every fault of the file at once, or every case of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attnbench.errors import InputError, NothingSelected, SuiteError
from attnbench.filter import did_you_mean, find_mistake, parse
from attnbench.method import Measure
from attnbench.plugin import Catalogue
from attnbench.suite import source as yaml
from attnbench.suite.diagnostics import Diagnostic, rendered
from attnbench.suite.expand import Expansion, expand, grid_of, read_overrides
from attnbench.suite.values import Gate, Limit, Published, Suite
from attnbench.suite.variants import Backends, Exclusions, exclusions_of, from_file, from_words

_LISTED = {"timer": "timers", "l2": "l2_states"}


def load(
    path: str | Path,
    catalogue: Catalogue,
    *,
    overrides: Sequence[str] = (),
    backends: Sequence[str] = (),
    flag: str = "--backend",
) -> Suite:
    """Read a suite file and expand it to cases.

    Args:
        path: the file.
        catalogue: what looks backends up, such as ``registry.Registry()``.
        overrides: ``--set`` words such as ``kv_len=1k,4k``.
        backends: ``--backend`` words (names, labels, files) that stand for the file's backends.
        flag: what such a word was typed after, for the faults in it.

    Raises:
        InputError: the file cannot be read.
        SuiteError: faults in the file or in the words, all of them.
        NothingSelected: ``exclude`` leaves no case.

    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        if path.read_bytes().startswith(b"PAR1"):
            message = f"{path} is not a suite; it looks like Parquet"
            raise InputError(message, hint=f"try attnbench show {path}") from None
        raise InputError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise InputError(f"cannot read the suite {path}: {error.strerror}") from None
    read = _Loader(text, str(path), path.parent, catalogue)
    read.flag = flag
    return read.suite(overrides, backends, path)


def loads(
    text: str,
    name: str,
    folder: Path,
    catalogue: Catalogue,
    *,
    overrides: Sequence[str] = (),
    backends: Sequence[str] = (),
) -> Suite:
    """Expand the text of a suite, as ``load`` does; ``name`` stands in faults instead of a path."""
    return _Loader(text, name, folder, catalogue).suite(overrides, backends, None)


class _Loader:
    """One reading of one text; gathers faults until it is known that there are none."""

    def __init__(self, text: str, name: str, folder: Path, catalogue: Catalogue) -> None:
        from attnbench.suite.schema import shape_of

        self.text = text
        self.flag = "--backend"
        self.folder = folder
        self.catalogue = catalogue
        self.source, self.faults = yaml.read(text, name)
        self.shape = shape_of(self.source)
        self.faults += self.shape.faults
        self.sections = self.shape.sections

    def suite(self, overrides: Sequence[str], words: Sequence[str], path: Path | None) -> Suite:
        """Make the suite, or raise all that is wrong with it."""
        file, backends = self.backends(words)
        options = tuple(sorted({*file.options, *backends.options}))
        exclusions = self.exclusions(file, options)
        self.check_filters(options)
        self.check_baseline(file)
        expansion = self.expand(overrides, backends, exclusions)
        if self.faults:
            raise SuiteError(rendered(self.faults))
        if not expansion.cases:
            raise NothingSelected(
                f"nothing to run: all {expansion.total} cases are excluded\n{exclusions.report()}"
            )
        return self.value(path, backends, options, exclusions, expansion)

    def value(
        self,
        path: Path | None,
        backends: Backends,
        options: tuple[str, ...],
        exclusions: Exclusions,
        expansion: Expansion,
    ) -> Suite:
        """Put the parts together; nothing can be wrong any more."""
        return Suite(
            name=self.sections["suite"],
            text=self.text,
            sha256=hashlib.sha256(self.text.encode()).hexdigest(),
            folder=self.folder,
            cases=tuple(expansion.cases),
            path=path,
            about=self.sections.get("about", ""),
            tags=tuple(self.sections.get("tags", ())),
            source=self.sections.get("source"),
            published=_published(self.sections.get("published", ()), options),
            labels=backends.labels,
            options=options,
            baseline=self.sections.get("baseline"),
            measure=_measure(self.sections.get("measure", {})),
            gate=_gate(self.sections.get("gate"), options),
            excluded=exclusions.removed,
            derived=tuple(expansion.derived.values()),
        )

    def backends(self, words: Sequence[str]) -> tuple[Backends, Backends]:
        """Return the file's backends, and those that are measured."""
        file = Backends()
        if self.shape.is_right("backends"):
            file = from_file(self.source, self.sections["backends"], self.catalogue, self.folder)
            self.faults += file.faults
        if not words:
            return file, file
        chosen = from_words(words, file, self.catalogue, Path.cwd(), self.flag)
        self.faults += chosen.faults
        return file, chosen

    def exclusions(self, file: Backends, options: Iterable[str]) -> Exclusions:
        maps = self.sections.get("exclude", ())
        if not self.shape.is_right("backends"):
            return Exclusions()
        exclusions, faults = exclusions_of(self.source, maps, file, options)
        self.faults += faults
        return exclusions

    def check_baseline(self, file: Backends) -> None:
        """The baseline is one of the file's labels."""
        baseline, labels = self.sections.get("baseline"), file.labels
        if baseline is None or baseline in labels or file.faults or not labels:
            return
        more = (f"labels here: {', '.join(labels)}",)
        place = self.source.value_place(("baseline",))
        advice = did_you_mean(baseline, labels)
        self.faults.append(
            Diagnostic(f"no backend {baseline!r} in this suite", place, advice, more=more)
        )

    def check_filters(self, options: Iterable[str]) -> None:
        """Every ``where`` reads, also in a section that has other faults."""
        for path, text in _filters(self.source.data):
            if mistake := find_mistake(text, extra=options):
                place = self.source.within(path, mistake.start, mistake.width)
                self.faults.append(Diagnostic(mistake.message, place, mistake.advice))

    def expand(self, words: Sequence[str], backends: Backends, exclusions: Exclusions) -> Expansion:
        """Make the cases, if what they are made of is right."""
        overrides, faults = read_overrides(words)
        self.faults += faults
        if faults or not self.shape.is_right("problem", "sweep"):
            return Expansion()
        grid, faults = grid_of(self.source, self.sections, overrides)
        self.faults += faults
        if faults:
            return Expansion()
        expansion = expand(grid, backends.variants, exclusions, self.folder)
        self.faults += expansion.faults
        return expansion


def _measure(block: Mapping[str, Any]) -> Measure:
    """Make the value of a ``measure`` block."""
    settings: dict[str, Any] = {}
    for key, value in block.items():
        if key in _LISTED:
            settings[_LISTED[key]] = tuple(dict.fromkeys(value))
        else:
            settings[key] = value
    return Measure(**settings)


def _gate(block: Mapping[str, Any] | None, options: Iterable[str]) -> Gate:
    """Make the value of a ``gate`` block."""
    if block is None:
        return Gate()
    limits = tuple(
        Limit(where=parse(one["where"], extra=options), max_slowdown=one["max_slowdown"])
        for one in block.get("limits", ())
    )
    return Gate(**{**block, "limits": limits}, given=True)


def _published(block: Iterable[Mapping[str, Any]], options: Iterable[str]) -> tuple[Published, ...]:
    """Make the values of a ``published`` list."""
    return tuple(Published(**{**one, "where": parse(one["where"], extra=options)}) for one in block)


def _filters(data: Mapping[str, Any]) -> Iterator[tuple[yaml.KeyPath, str]]:
    """Yield every filter of a file, as far as it is where filters stand."""
    gate = data.get("gate")
    lists: list[tuple[yaml.KeyPath, Any]] = [(("published",), data.get("published"))]
    if isinstance(gate, dict):
        lists.append((("gate", "limits"), gate.get("limits")))
    for path, values in lists:
        for index, one in enumerate(values if isinstance(values, list) else ()):
            if isinstance(one, dict) and isinstance(one.get("where"), str):
                yield (*path, index, "where"), one["where"]
