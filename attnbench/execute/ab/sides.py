"""What a SIDE stands for: cases, the python that measures them, and what must be said of it.

::

    sdpa, sdpa[kernel=math]   one backend on the suite's problems
    ./my_attn.py              one backend in a file
    git:REF                   the suite's file backends as they were in a commit
    python:PATH               the suite's backends in another python
    None                      the suite's backends as they are
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from attnbench.case import BUILT_IN, Case, backend_label
from attnbench.errors import InputError
from attnbench.execute.ab.sources import (
    Checkout,
    check_ref,
    checkout,
    harness_alone,
    interpreter,
    repository_of,
)
from attnbench.plugin import BackendDescription, OptionSpec
from attnbench.registry import Registry
from attnbench.suite import Suite, load

BASE, NEW = "base", "new"
ROLES = (BASE, NEW)
AS_IT_IS = "the suite as it is"

BackendOptions = Mapping[str, Mapping[str, OptionSpec]]


@dataclass(slots=True)
class RecordingCatalogue:
    """A ``plugin.Catalogue`` that keeps what it was asked, by the backend's name."""

    known: dict[str, BackendDescription] = field(default_factory=dict)

    def describe(
        self, reference: str, *, folder: Path, name: str | None = None
    ) -> BackendDescription:
        """Look a backend up; see ``Registry.describe``."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of ``ab``.

    ``whole`` is true where it stands for the suite's own backends, each of which pairs with itself,
    and false for one backend. ``options`` has the options of each backend. ``stored`` maps the
    source of a case to what its rows say instead: a worktree is gone when they are read. ``tops``
    are the folders of which a commit's worker may import nothing: there lies what is new.
    """

    role: str
    words: str
    suite: Suite
    cases: tuple[Case, ...]
    options: BackendOptions
    whole: bool
    python: str | None = None
    search: tuple[str, ...] = ()
    commit: str | None = None
    tops: tuple[str, ...] = ()
    stored: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the suite both sides share: its file, and what ``--set`` replaces in it."""

    path: Path
    overrides: tuple[str, ...] = ()

    def suite(
        self,
        catalogue: RecordingCatalogue | CommitCatalogue,
        words: Sequence[str] = (),
        flag: str = "",
    ) -> Suite:
        """Read the suite with the backends that a side sees."""
        return load(
            self.path, catalogue, overrides=self.overrides, backends=words, flag=flag or "--backend"
        )


def resolve(word: str | None, role: str, asked: Asked, stack: ExitStack) -> Side:
    """Find out what a SIDE stands for; what must be undone afterwards is left to ``stack``.

    Raises:
        InputError: it stands for nothing; says what to type.
        EnvironmentProblem: git or the other python cannot do it.

    """
    if word is None:
        return _as_it_is(role, asked)
    kind, colon, rest = word.partition(":")
    if colon and kind == "git":
        return _of_commit(rest, role, asked, stack)
    if colon and kind == "python":
        return _of_python(rest, role, asked, stack)
    return _of_backend(word, role, asked)


def _as_it_is(role: str, asked: Asked) -> Side:
    catalogue = RecordingCatalogue()
    suite = asked.suite(catalogue)
    return Side(
        role=role,
        words=AS_IT_IS,
        suite=suite,
        cases=suite.cases,
        options=catalogue.options(),
        whole=True,
    )


def _of_backend(word: str, role: str, asked: Asked) -> Side:
    """One backend: all that the suite has of it, or the label or file that was typed."""
    catalogue = RecordingCatalogue()
    suite = asked.suite(catalogue, _variants(word, asked), f"--{role}")
    return Side(
        role=role,
        words=word,
        suite=suite,
        cases=suite.cases,
        options=catalogue.options(),
        whole=False,
    )


def _variants(word: str, asked: Asked) -> list[str]:
    """A file gets the options that the suite gives a backend of its name, as far as it has them."""
    if not word.endswith(".py"):
        return [word]
    name, catalogue = Path(word).stem, RecordingCatalogue()
    own = [case for case in asked.suite(catalogue).cases if case.backend == name]
    try:
        there = catalogue.describe(word, folder=Path.cwd()).options
    except InputError:
        return [word]  # the suite's reader says the same, with its place
    labels = (
        backend_label(word, {key: value for key, value in case.options if key in there})
        for case in own
    )
    return list(dict.fromkeys(labels)) or [word]


def _of_python(word: str, role: str, asked: Asked, stack: ExitStack) -> Side:
    python = interpreter(word, f"--{role} python:{word}")
    search = (stack.enter_context(harness_alone()),)
    words = f"python:{word}"
    return replace(_as_it_is(role, asked), words=words, python=python, search=search)


def _of_commit(ref: str, role: str, asked: Asked, stack: ExitStack) -> Side:
    flag = f"--{role} git:{ref}"
    check_ref(ref, flag)
    now = _as_it_is(role, asked)
    files = sorted({case.source for case in now.cases if case.source.endswith(".py")})
    if not files:
        raise InputError(
            f"{flag}: no backend of {now.suite.name} is a file, so a commit changes none",
            hint="name the file in the suite: backends: {./my_attn.py: }",
        )
    tops = {file: repository_of(Path(file), flag) for file in files}
    trees = {top: stack.enter_context(checkout(top, ref, flag)) for top in set(tops.values())}
    places = {file: trees[top].moved(Path(file)) for file, top in tops.items()}
    catalogue = CommitCatalogue(places)
    suite = asked.suite(catalogue)
    cases, remarks = _there_then(suite, catalogue, ref)
    if not cases:
        missing = ", ".join(files)
        raise InputError(f"{flag}: that commit has nothing of {missing}")
    commits = sorted({tree.commit for tree in trees.values()})
    return Side(
        role=role,
        words=f"git:{ref}",
        suite=suite,
        cases=cases,
        options=catalogue.options(),
        whole=True,
        search=_search(list(trees.values()), stack),
        tops=tuple(sorted(map(str, trees))),
        commit=commits[0] if len(commits) == 1 else None,
        stored={
            str(place): f"{file}@{trees[tops[file]].commit[:12]}" for file, place in places.items()
        },
        remarks=remarks,
    )


def _there_then(
    suite: Suite, catalogue: CommitCatalogue, ref: str
) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """The cases of file backends that a commit has, and words for those that it has not."""
    kept, lacking = [], dict[str, None]()
    for case in suite.cases:
        if case.source == BUILT_IN or not case.source.endswith(".py"):
            continue
        if (lack := catalogue.lacks(case)) is None:
            kept.append(case)
        else:
            lacking[f"{case.backend_label}: git:{ref} has not {lack}, so there is no pair"] = None
    return tuple(kept), tuple(lacking)


def _search(trees: Sequence[Checkout], stack: ExitStack) -> tuple[str, ...]:
    """What a commit's worker imports from: this harness, then the commit's own folders.

    A file backend may import a package of its repository that is installed in place; its folder is
    on this python's path, and the commit's must come before it.
    """
    own = [
        tree.moved(Path(entry))
        for tree in trees
        for entry in sys.path
        if entry and Path(entry).resolve().is_relative_to(tree.top)
    ]
    there = dict.fromkeys(str(place) for place in own if place.is_dir())
    return (stack.enter_context(harness_alone()), *there) if there else ()
