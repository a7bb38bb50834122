"""What there is to measure with, and what was measured: suites, backends, models, devices, runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from attnbench.analysis.runs import RunFacts
    from attnbench.device.rates import Ceilings
    from attnbench.environment import Device
    from attnbench.execute.doctor import Finding
    from attnbench.metrics import Metric
    from attnbench.models import Model
    from attnbench.registry import ListedBackend
    from attnbench.suite import Suite
    from attnbench.suite.shipped import Shipped

QUICK = "quick"


class KnownDevice(NamedTuple):
    """A device that ``plan`` can predict for, and the word that names it."""

    word: str
    device: Device
    ceilings: Ceilings


def load_suite(
    suite: str | Path | Suite,
    *,
    backends: Sequence[str] = (),
    overrides: Sequence[str] = (),
    filter: str | None = None,
) -> Suite:
    """Read a suite and keep the cases that a filter matches.

    Args:
        suite: A path, the name of a shipped suite, or a suite that was read before.
        backends: Names, labels or files of backends that replace the suite's own.
        overrides: Fields to replace, such as ``kv_len=1k,4k``.
        filter: Only matching cases, such as ``decode kv_len>=4k backend=sdpa``.

    Raises:
        InputError: There is no such suite, or the filter cannot be read.
        SuiteError: The file has errors; all of them are reported, each with its place.
        NothingSelected: ``exclude`` or ``filter`` leaves no case.

    """
    from attnbench.registry import Registry
    from attnbench.suite import Suite, find, load

    if not isinstance(suite, Suite):
        suite = load(find(str(suite)), Registry(), overrides=overrides, backends=backends)
    return suite if filter is None else suite.select(filter)


def list_suites() -> list[Shipped]:
    """Return the suites that come with attnbench, by name."""
    from attnbench.suite import shipped

    return shipped()


def list_models() -> dict[str, Model]:
    """Return the models whose head layouts a suite can use with ``model:``, by name."""
    from attnbench.models import MODELS

    return dict(MODELS)


def list_metrics() -> list[Metric]:
    """Return the metrics of a result row, with unit, formula and direction."""
    from attnbench.metrics import METRICS

    return list(METRICS.values())


def list_backends(*, probe: bool = False) -> list[ListedBackend]:
    """Return all backends: where they come from, what they can do, and whether they work here.

    Args:
        probe: Import third-party backends in a worker process to ask what they can do.

    Raises:
        EnvironmentProblem: No worker process can be started (only with ``probe``).

    """
    from attnbench.registry import Registry

    if not probe:
        return list(Registry().listed(None))
    from attnbench.execute.doctor import probe as probe_backends

    return list(Registry().listed(probe_backends))


def list_runs(folder: str | Path = "results") -> list[RunFacts]:
    """Return the runs in a folder, newest first; unfinished and unreadable ones say so."""
    from attnbench.analysis.runs import list_runs as runs_in

    return runs_in(Path(folder))


def list_devices() -> list[KnownDevice]:
    """Return this machine's device (``auto``) and the devices whose datasheets are known."""
    from attnbench.device.rates import GPU_SPECS

    return [KnownDevice(word, *device_rates(word)) for word in ("auto", *GPU_SPECS)]


def device_rates(word: str) -> tuple[Device, Ceilings]:
    """Return a device and its best rates, as ``plan`` uses them.

    Args:
        word: auto, cpu, cuda:N, a device with a known datasheet such as ``h200``, or a run, whose
            device and measured ceilings are taken.

    Raises:
        DeviceMissing: No such device is known.
        ResultFileError: The run cannot be read, or holds no measured ceilings.

    """
    from attnbench.analysis.runs import ceilings_of, find_run
    from attnbench.device.rates import GPU_SPECS, default_ceilings, lookup

    if is_here(word):
        device = _device_here(word)
        return device, default_ceilings(device)
    run = find_run(word)
    if word.lower() in GPU_SPECS or not (run.exists() or "/" in word or run.suffix):
        sheet = lookup(word)
        return sheet.device, sheet.ceilings
    return ceilings_of(run)


def is_here(word: str) -> bool:
    """Return whether a word names a device of this machine."""
    return word in ("auto", "cpu") or word.startswith("cuda")


def doctor() -> list[Finding]:
    """Examine software, device, timing, storage and backends, and change nothing.

    Returns:
        The findings in order; each has a state (``ok``, ``warning``, ``problem`` or ``absent``) and
        where it is not ok a fix, which is what to type.

    """
    from attnbench.execute.doctor import examine

    return list(examine())


def _device_here(word: str) -> Device:
    """Return the device that a run would take; without torch only the CPU can be described."""
    from attnbench.device.local import describe_cpu
    from attnbench.errors import TorchMissing
    from attnbench.execute.doctor import device_environment

    if word == "cpu":
        return describe_cpu()
    try:
        return device_environment(word).device
    except TorchMissing:
        if word != "auto":
            raise
        return describe_cpu()
