"""Verbs about one backend: its conformance check, its compiled kernels, its tiles."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.api import catalogue
from attnbench.units import parse_duration

if TYPE_CHECKING:
    from attnbench.analysis.tuning import Choice
    from attnbench.case import Case
    from attnbench.execute.conformance import ConformanceEvent, ConformanceFinished
    from attnbench.execute.events import Listener, RunFinished
    from attnbench.execute.tune import Candidate, TuningRequest
    from attnbench.profile.inspect import Inspected
    from attnbench.suite import Suite

TUNING_SUITE = "tune"
_ASSUMED_ARCH = "sm_90"


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningResult:
    """The measured run and the choice for each slot; no choices if the run was interrupted."""

    run: RunFinished
    choices: tuple[Choice, ...]


def backend_cases(backends: Sequence[str]) -> list[Case]:
    """Look up backends, each as a placeholder case for ``check_backend``.

    Args:
        backends: Names, labels such as ``sdpa[kernel=math]``, or files, relative to the working
            directory.

    Raises:
        SuiteError: A backend or an option does not exist; the nearest one is named.

    """
    from attnbench.conformance import placeholder_case
    from attnbench.errors import SuiteError
    from attnbench.registry import Registry
    from attnbench.suite.diagnostics import rendered
    from attnbench.suite.variants import Backends, from_words

    found = from_words(backends, Backends(), Registry(), Path.cwd())
    if found.faults:
        raise SuiteError(rendered(found.faults))
    return [placeholder_case(one.name, one.options, one.source) for one in found.variants]


def check_backend(
    backend: str | Path | Case,
    *,
    device: str = "auto",
    filter: str | None = None,
    budget: str | float | None = None,
    listener: Callable[[ConformanceEvent], None] | None = None,
) -> ConformanceFinished:
    """Run the conformance check: about 100 small problems that cover the declared features.

    Args:
        backend: A name, a label, a file, or one of ``backend_cases``.
        device: auto, cpu or cuda:N.
        filter: Only matching trials, which have ``theme`` and ``way`` besides a case's fields.
        budget: A duration (``10m`` or seconds) after which no trial begins.
        listener: Is called with every event.

    Raises:
        AttnbenchError: See ``attnbench.errors`` for the tree.

    """
    from attnbench.execute.conformance import examine

    if isinstance(backend, str | Path):
        (backend,) = backend_cases([str(backend)])
    seconds = parse_duration(budget) if isinstance(budget, str) else budget
    return examine(backend, device, filter=filter, budget_s=seconds, listener=listener or silent)


def inspect(backend: str, archs: Sequence[str] | None = None) -> list[Inspected]:
    """Compile a backend's Triton kernels without a GPU.

    Args:
        backend: A name, or ``./file.py`` relative to the working directory.
        archs: Architectures such as ``sm_90``; Ampere, Hopper and Blackwell by default.

    Returns:
        A row for each kernel and architecture: registers, spills, shared memory, occupancy.

    Raises:
        OptionError: Triton does not compile for an architecture, or there is no such backend.
        InputError: The backend has no Triton kernels.
        EnvironmentProblem: Triton is not installed here, or a compiler process died.

    """
    from attnbench.profile.inspect import DEFAULT_ARCHS
    from attnbench.profile.inspect import inspect as inspect_kernels

    return inspect_kernels(backend, archs or DEFAULT_ARCHS)


def tuning_candidates(
    backend: str,
    suite: str | Path | Suite = TUNING_SUITE,
    *,
    overrides: Sequence[str] = (),
    filter: str | None = None,
    arch: str = _ASSUMED_ARCH,
) -> list[Candidate]:
    """Return the tiles that ``tune`` would measure, compiled without a GPU.

    Args:
        backend: A built-in Triton backend with tunable tiles.
        suite: The suite whose problems are tuned for.
        overrides: Fields of the suite to replace, such as ``kv_len=1k,4k``.
        filter: Only matching cases.
        arch: The architecture to compile for, such as ``sm_90``.

    Raises:
        OptionError: The backend has no tunable tiles, or the architecture is unknown.
        NothingSelected: No case of the suite uses a tile of this backend.
        EnvironmentProblem: Triton is not installed here.

    """
    from attnbench.execute import tune as tuning

    tuning.tunable_module(backend)
    loaded = catalogue.load_suite(suite, backends=[backend], overrides=overrides, filter=filter)
    device = tuning.device_like(arch)
    return tuning.compiled(
        backend, tuning.candidates_of(backend, loaded.cases, device), device.arch
    )


def tune(  # noqa: PLR0913  as many as the command line has flags
    backend: str,
    suite: str | Path | Suite = TUNING_SUITE,
    *,
    out: str | Path,
    overrides: Sequence[str] = (),
    filter: str | None = None,
    device: str = "auto",
    arch: str | None = None,
    processes: int = 5,
    resume: bool = False,
    listener: Listener | None = None,
) -> TuningResult:
    """Measure other tiles of a Triton backend, and write a table of the fastest.

    A tile replaces the shipped one only where it is certainly faster. The measured run is written
    beside the table, with the suffix .parquet.

    Args:
        backend: A built-in Triton backend with tunable tiles.
        suite: The suite whose problems are tuned for.
        out: The table to write; it must not exist.
        overrides: Fields of the suite to replace, such as ``kv_len=1k,4k``.
        filter: Only matching cases.
        device: auto or cuda:N.
        arch: The architecture that the device must have, such as ``sm_90``.
        processes: Fresh worker processes for each case.
        resume: Resume a run that was interrupted.
        listener: Is called with every event.

    Raises:
        AttnbenchError: See ``attnbench.errors`` for the tree.

    """
    from attnbench.execute import tune as tuning

    tuning.tunable_module(backend)
    loaded = catalogue.load_suite(suite, backends=[backend], overrides=overrides, filter=filter)
    found, _ = catalogue.device_rates(device)
    tuning.check_device(backend, found, arch)
    candidates = tuple(
        tuning.compiled(backend, tuning.candidates_of(backend, loaded.cases, found), found.arch)
    )
    labels = [part for x in tuning.suite_of(loaded, candidates).labels for part in ("--backend", x)]
    request = tuning.TuningRequest(
        suite=loaded,
        candidates=candidates,
        out=Path(out),
        device=device,
        processes=processes,
        resume=resume,
        repro=shlex.join(["attnbench", "run", str(suite), *labels]),
    )
    return measure_tiles(request, listener or silent)


def measure_tiles(request: TuningRequest, listener: Listener) -> TuningResult:
    """Measure every trial, choose a tile for each slot, and write the table.

    Raises:
        AttnbenchError: As ``execute.runner.run``.
        NameTakenError: The table exists.

    """
    from attnbench.analysis.cases import rows_of
    from attnbench.analysis.tuning import choices_of, source_of, table_with
    from attnbench.execute.tune import measure_trials
    from attnbench.kernels.tile_table import table_of
    from attnbench.store import atomic, read

    finished = measure_trials(request, listener)
    if finished.interrupted:
        return TuningResult(run=finished, choices=())
    frame = read(finished.out).frame
    choices = choices_of(frame, request.candidates)
    name, source = source_of(rows_of(frame.head(1))[0], finished.run_name)
    atomic.write_text(request.out, table_with(table_of(), choices, name, source).text())
    return TuningResult(run=finished, choices=tuple(choices))


def silent(event: object) -> None:
    """Ignore an event."""
