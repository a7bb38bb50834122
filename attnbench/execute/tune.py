"""Measuring other tiles of our kernels: which, on which problems, and through the ordinary run.

A trial is a case whose option names a tile (``triton_flash[tile=128x64-w8-s3]``), beside the same
case without it, which is the shipped one. Trials are cases like any others: checked, timed, stored,
resumed. ``analysis.tuning`` chooses among them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from attnbench.case import BUILT_IN, Case, Options
from attnbench.environment import Device
from attnbench.errors import (
    EnvironmentProblem,
    InputError,
    NameTakenError,
    NothingSelected,
    OptionError,
)
from attnbench.execute.events import Listener, RunFinished
from attnbench.execute.request import RunRequest
from attnbench.execute.runner import run
from attnbench.kernels.search_space import search_space
from attnbench.kernels.tile_table import DecodeTile, Slot, Tile, TileRow
from attnbench.profile.inspect import Inspected, check_archs, inspect_cases
from attnbench.profile.resources import Resources
from attnbench.registry import BUILT_INS
from attnbench.suite import Suite


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A tile of a slot, tried through an option on some cases.

    ``dropped`` says why it is not measured; ``resources`` are those of the slot's kernel.
    """

    slot: Slot
    option: str
    tile: Tile
    is_shipped: bool
    cases: tuple[Case, ...]
    resources: Resources | None = None
    dropped: str | None = None

    @property
    def trials(self) -> tuple[Case, ...]:
        """The cases to measure: with the option, or for the shipped tile without it."""
        if self.is_shipped:
            return self.cases
        return tuple(with_option(one, self.option, str(self.tile)) for one in self.cases)


def tunable_module(backend: str) -> ModuleType:
    """Import a backend of ours that has tiles to choose; without torch.

    Raises:
        InputError: it has none.

    """
    module = importlib.import_module(BUILT_INS[backend]) if backend in BUILT_INS else None
    if module is None or not hasattr(module, "tunable"):
        known = [name for name in BUILT_INS if name.startswith("triton_")]
        raise InputError(f"{backend} has no tiles to tune", hint=f"there are {', '.join(known)}")
    return module


def device_like(arch: str) -> Device:
    """A GPU known only by its architecture, to list candidates for.

    Raises:
        OptionError: there is no such architecture to compile for.

    """
    check_archs([arch])
    return Device(kind="cuda", name=arch, arch=arch, memory_bytes=0, free_bytes=0)


def check_device(backend: str, device: Device, arch: str | None) -> None:
    """Say that tiles of this backend cannot be measured here.

    Raises:
        EnvironmentProblem: the backend does not run on this device.
        OptionError: ``arch`` is another device's.

    """
    kinds = tunable_module(backend).capabilities.devices
    if kinds is not None and device.kind not in kinds:
        raise EnvironmentProblem(
            f"{backend} is tuned by measuring on a GPU, and this is a {device.kind.upper()}",
            hint=f"what would be measured: attnbench tune {backend} --list --arch sm_90",
        )
    if arch not in (None, device.arch):
        raise OptionError(
            f"this device is {device.arch}, not {arch}", hint="--arch goes with --list"
        )


def candidates_of(backend: str, cases: Iterable[Case], device: Device) -> list[Candidate]:
    """List the tiles of every slot that the cases use, the shipped one first.

    Raises:
        NothingSelected: the backend does none of the cases, or they choose tiles themselves.

    """
    module, number = tunable_module(backend), device.compute_capability
    assert number is not None
    slots: dict[tuple[Slot, str], tuple[TileRow, list[Case]]] = {}
    for case in cases:
        options = dict(case.options)
        if case.backend != backend or case.source != BUILT_IN or _why_not(module, case, device):
            continue
        for option, tiling in module.tunable(case.problem, number, options).items():
            if option not in options and "tiles" not in options:
                slots.setdefault((tiling.slot, option), (tiling, []))[1].append(case)
    if not slots:
        raise NothingSelected(
            f"no case for {backend} with a tile to choose",
            hint=f"see why: attnbench plan SUITE --backend {backend} --all",
        )
    return [
        Candidate(
            slot=slot,
            option=option,
            tile=tile,
            is_shipped=tile == tiling.tile,
            cases=tuple(sharing),
        )
        for (slot, option), (tiling, sharing) in slots.items()
        for tile in (tiling.tile, *search_space(tiling))
    ]


def compiled(backend: str, candidates: Sequence[Candidate], arch: str) -> list[Candidate]:
    """Compile each candidate for the first of its cases; say what it takes, and drop what spills.

    Raises:
        EnvironmentProblem: no triton here, or a compiling worker that died.

    """
    wanted = [(one.trials[0].problem, dict(one.trials[0].options)) for one in candidates]
    found = inspect_cases(backend, arch, wanted)
    return [_judged(one, rows) for one, rows in zip(candidates, found, strict=True)]


def _judged(candidate: Candidate, kernels: Sequence[Inspected]) -> Candidate:
    """The shipped tile is never dropped: it is what all others are measured against."""
    name = "flash_dkdv" if candidate.slot.kernel == "flash_fused" else candidate.slot.kernel
    own = next(one for one in kernels if one.kernel.startswith(name))
    resources = own.resources
    if resources is None:
        return replace(candidate, dropped=None if candidate.is_shipped else "does not compile")
    tile, dropped = candidate.tile, None
    if isinstance(tile, DecodeTile) and not candidate.is_shipped:
        tile = replace(tile, resident=max(1, resources.resident))
    if resources.spill_instructions or resources.stack_bytes:
        dropped = "spills"
    elif resources.resident < 1:
        dropped = "does not fit an SM"
    dropped = None if candidate.is_shipped else dropped
    return replace(candidate, tile=tile, resources=resources, dropped=dropped)


def suite_of(suite: Suite, candidates: Iterable[Candidate]) -> Suite:
    """The suite with the trials of all candidates that are not dropped for its cases."""
    kept = [one for one in candidates if one.dropped is None]
    trials = dict.fromkeys(trial for one in kept for trial in one.trials)
    labels = dict.fromkeys(trial.backend_label for trial in trials)
    return replace(suite, cases=tuple(trials), labels=tuple(labels), baseline=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningRequest:
    """What to tune: a suite, its candidates, and the table to write.

    The measured run is written beside the table, with the suffix .parquet.
    """

    suite: Suite
    candidates: tuple[Candidate, ...]
    out: Path
    device: str = "auto"
    processes: int = 5
    resume: bool = False
    repro: str = ""


def measure_trials(request: TuningRequest, listener: Listener) -> RunFinished:
    """Measure the trials of all candidates in one ordinary run.

    Raises:
        AttnbenchError: As ``execute.runner.run``.
        NameTakenError: The table exists.

    """
    if request.out.exists():
        raise NameTakenError(f"{request.out} exists", hint="give the new table another name")
    return run(
        RunRequest(
            suite=suite_of(request.suite, request.candidates),
            device=request.device,
            out=request.out.with_suffix(".parquet"),
            processes=request.processes,
            resume=request.resume,
            repro=request.repro,
        ),
        listener,
    )


def with_option(case: Case, name: str, value: str) -> Case:
    """A case with one option more."""
    options: Options = tuple(sorted({**dict(case.options), name: value}.items()))
    return replace(case, options=options)


def _why_not(module: ModuleType, case: Case, device: Device) -> str | None:
    options: Mapping[str, Any] = dict(case.options)
    reason: str | None = module.capabilities.why_not(case.problem, device)
    return reason or module.why_not(case.problem, device, **options)
