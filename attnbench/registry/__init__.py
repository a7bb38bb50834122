"""Names to backends: the built-in table, entry points, and ``./file.py``.

What a backend is called, which options it has and what they may be is read from its source as text:
nothing of a third party is imported but by ``load``, which only a worker calls.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from attnbench.case import BUILT_IN
from attnbench.errors import BackendImportError, InputError, OptionError
from attnbench.filter import did_you_mean
from attnbench.library import Library
from attnbench.plugin import BackendDescription, Capabilities, OptionSpec
from attnbench.registry.source import Source, read_source
from attnbench.store.committed import recorded_gpus

BUILT_INS = {
    "naive": "attnbench.backends.naive",
    "sdpa": "attnbench.backends.sdpa",
    "flex": "attnbench.backends.flex",
    "linear": "attnbench.backends.linear",
    "torch_mha": "attnbench.backends.torch_mha",
    "triton_flash": "attnbench.backends.triton_flash",
    "triton_decode": "attnbench.backends.triton_decode",
    "triton_block_sparse": "attnbench.backends.triton_block_sparse",
    "flash_attn": "attnbench.backends.flash_attn",
    "flash_attn_3": "attnbench.backends.flash_attn_3",
    "flash_attn_4": "attnbench.backends.flash_attn_4",
    "flashinfer": "attnbench.backends.flashinfer",
    "cudnn": "attnbench.backends.cudnn",
}
ENTRY_POINTS = "attnbench.backends"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_READY, _NOT_PROBED = "ready", "not probed"
_NEVER_RUN = "not yet run on a GPU"
_NO_TORCH = 'torch is not installed: python -m pip install "attnbench[torch]"'

Probe = Callable[[list[BackendDescription]], Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedBackend:
    """A row of ``list backends``: ``state`` in words, ``fault`` where it cannot be used here.

    ``gpus`` are those of the committed runs that used it; asked of adapters alone.
    """

    name: str
    source: str
    state: str
    fault: str | None = None
    version: str | None = None
    about: str = ""
    options: Mapping[str, OptionSpec] = field(default_factory=dict)
    capabilities: Capabilities | None = None
    library: Library | None = None
    gpus: tuple[str, ...] = ()


class Registry:
    """Looks backends up; a ``plugin.Catalogue``.

    ``entry_points`` stands instead of the installed distributions' (for tests).
    """

    def __init__(self, entry_points: Iterable[metadata.EntryPoint] | None = None) -> None:
        self._given = None if entry_points is None else list(entry_points)

    def describe(
        self, reference: str, *, folder: Path, name: str | None = None
    ) -> BackendDescription:
        """Say what is known of a backend without importing it.

        Args:
            reference: a name, or the path of a file, seen from ``folder``.
            folder: where the suite lies, or the working directory.
            name: what a file's backend is called instead of the file's stem.

        Raises:
            OptionError: no such backend, with the nearest right name in the hint.
            InputError: no such file, or one that is no backend; it says where and why.

        """
        if _is_file(reference):
            return _facts_of_file(folder / Path(reference).expanduser(), name)
        if name not in (None, reference):
            raise InputError(
                f"name: {name} renames a file's backend; {reference!r} is no file",
                hint="leave name away, or write ./file.py",
            )
        found = [point for point in self._points() if point.name == reference]
        if len(found) + (reference in BUILT_INS) > 1:
            raise InputError(_two_of_one_name(reference, found), hint="uninstall one of them")
        if reference in BUILT_INS:
            return _facts_of_built_in(reference)
        if found:
            return _facts_of_entry_point(found[0])
        names = sorted({*BUILT_INS, *(point.name for point in self._points())})
        near = did_you_mean(reference, names)
        hint = f"{near} there are {', '.join(names)}; a file is written ./{reference}.py".strip()
        raise OptionError(f"no backend {reference!r}", hint=hint)

    def load(self, facts: BackendDescription) -> ModuleType:
        """Import a backend; only a worker does.

        Raises:
            BackendImportError: it cannot be imported, or lacks what a backend is.

        """
        try:
            module = self._import(facts)
        except (Exception, SystemExit) as error:
            raise _import_fault(facts, error) from error
        if not isinstance(getattr(module, "capabilities", None), Capabilities):
            raise BackendImportError(
                f"{facts.name} ({facts.source}): capabilities is no attnbench.plugin.Capabilities"
            )
        if not callable(getattr(module, "prepare", None)):
            raise BackendImportError(f"{facts.name} ({facts.source}): prepare is no function")
        return module

    def listed(self, probe: Probe | None = None) -> list[ListedBackend]:
        """Every backend, built-in ones first; a broken one is a row with a fault.

        Args:
            probe: asks third-party backends in a worker, such as ``execute.doctor.probe``; without
                it they are "not probed", and an adapter's library is only known to be installed.

        """
        known, rows = {}, []
        for point in sorted(self._points(), key=lambda one: one.name):
            try:
                facts = self.describe(point.name, folder=Path())
            except InputError as error:
                source = _distribution_of(point)
                state = f"broken: {error.message}"
                rows.append(
                    ListedBackend(name=point.name, source=source, state=state, fault=error.message)
                )
                continue
            known[facts.name] = facts
        built_in = {name: _facts_of_built_in(name) for name in BUILT_INS}
        asked = [one for one in built_in.values() if one.library and one.library.version()]
        asked += known.values()
        answers = probe(asked) if probe is not None and asked else {}
        gpus = recorded_gpus()
        rows += [_listed_plugin(facts, answers.get(name)) for name, facts in known.items()]
        return [
            *(_listed_built_in(facts, gpus, answers) for facts in built_in.values()),
            *sorted(rows, key=lambda one: one.name),
        ]

    def _points(self) -> list[metadata.EntryPoint]:
        if self._given is None:
            self._given = list(metadata.entry_points(group=ENTRY_POINTS))
        return self._given

    def _import(self, facts: BackendDescription) -> ModuleType:
        if facts.source == BUILT_IN:
            return importlib.import_module(BUILT_INS[facts.name])
        if _is_file(facts.source):
            return _import_file(Path(facts.source), facts.name)
        point = next(one for one in self._points() if one.name == facts.name)
        return importlib.import_module(point.module)


def _is_file(reference: str) -> bool:
    return reference.endswith(".py") or reference.startswith(("./", "../", "/", "~"))


def _facts_of_built_in(name: str) -> BackendDescription:
    """Built-in modules import without torch, so their capabilities are at hand."""
    import attnbench

    module = importlib.import_module(BUILT_INS[name])
    source = read_source(Path(str(module.__file__)))
    found = BackendDescription(
        name=name,
        source=BUILT_IN,
        version=attnbench.__version__,
        options=source.options,
        library=getattr(module, "library", None),
        about=source.about,
    )
    return found.with_rules_of(module)


def _facts_of_file(path: Path, name: str | None) -> BackendDescription:
    path = path.absolute()
    name = path.stem if name is None else name
    if not path.is_file():
        raise InputError(
            f"no backend file {path}",
            hint="a suite's files are seen from its folder, the command line's from where you are",
        )
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is no name for a backend: small letters, digits and _, a letter first",
            hint=f"give {path.name} a name: of its own",
        )
    source = read_source(path)
    version = hashlib.blake2b(path.read_bytes(), digest_size=6).hexdigest()
    return BackendDescription(
        name=name, source=str(path), version=version, options=source.options, about=source.about
    )


def _facts_of_entry_point(point: metadata.EntryPoint) -> BackendDescription:
    path = _file_of_entry_point(point)
    # A compiled module cannot be read: its options are known to its worker alone.
    source = read_source(path) if path is not None else Source()
    return BackendDescription(
        name=point.name,
        source=_distribution_of(point),
        version=None if point.dist is None else point.dist.version,
        options=source.options,
        about=source.about,
    )


def _distribution_of(point: metadata.EntryPoint) -> str:
    return point.module if point.dist is None else point.dist.name


def _two_of_one_name(name: str, points: list[metadata.EntryPoint]) -> str:
    sources = [BUILT_IN] if name in BUILT_INS else []
    sources += [_distribution_of(point) for point in points]
    return f"{len(sources)} backends have the name {name!r}: {', '.join(sources)}"


def _file_of_entry_point(point: metadata.EntryPoint) -> Path | None:
    """Find a module's source without importing it or its parents."""
    parts = point.module.split(".")
    spec = importlib.util.find_spec(parts[0])
    if spec is None:
        return None
    if len(parts) == 1:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for place in spec.submodule_search_locations or ():
        base = Path(place).joinpath(*parts[1:])
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return path
    return None


def _import_file(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"attnbench_file_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Where its dataclasses and pickles look for it; and its neighbours can be imported.
    sys.modules[spec.name] = module
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec.loader.exec_module(module)
    return module


def _import_fault(facts: BackendDescription, error: BaseException) -> BackendImportError:
    """Say where the import failed: in the innermost frame that is not the import system's."""
    system = ("<frozen", __file__, importlib.__file__)
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if not one.filename.startswith(system)]
    place = f"{own[-1].filename}:{own[-1].lineno}: " if own else ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}:{error.lineno}: "
    hint = None
    if isinstance(error, ModuleNotFoundError) and error.name:
        hint = f"install the package that has {error.name}"
    return BackendImportError(
        f"{facts.name} cannot be imported: {place}{type(error).__name__}: {error}", hint=hint
    )


def _listed_built_in(
    facts: BackendDescription,
    gpus: Mapping[str, tuple[str, ...]],
    answers: Mapping[str, Mapping[str, Any]],
) -> ListedBackend:
    fault = None if importlib.util.find_spec("torch") else _NO_TORCH
    if facts.library is None:
        return _row(facts, fault or _READY, fault)
    fault = fault or facts.library.why_not() or answers.get(facts.name, {}).get("error")
    devices = gpus.get(facts.name, ())
    ran = f"run on {', '.join(devices)}" if devices else _NEVER_RUN
    row = _row(facts, f"{fault or _installed(facts.library)}; {ran}", fault)
    return replace(row, version=facts.library.version(), library=facts.library, gpus=devices)


def _installed(library: Library) -> str:
    """``flash-attn 2.8.3``, and which version's signatures are known where that is another."""
    version = library.version()
    other = "" if version == library.checked else f" (written for {library.checked})"
    return f"{library.distribution} {version}{other}"


def _listed_plugin(facts: BackendDescription, answer: Mapping[str, Any] | None) -> ListedBackend:
    if answer is None:
        return _row(facts, _NOT_PROBED, None)
    if "error" in answer:
        return _row(facts, f"broken: {answer['error']}", str(answer["error"]))
    return _row(facts, _READY, None, Capabilities(**answer["capabilities"]))


def _row(
    facts: BackendDescription, state: str, fault: str | None, found: Capabilities | None = None
) -> ListedBackend:
    return ListedBackend(
        name=facts.name,
        source=facts.source,
        state=state,
        fault=fault,
        version=facts.version,
        about=facts.about,
        options=facts.options,
        capabilities=found or facts.capabilities,
    )
