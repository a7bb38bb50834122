"""Devices and their rates: this machine's, a datasheet's, a run's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnbench.device.rates import Ceilings
    from attnbench.environment import Device


def device_rates(word: str) -> tuple[Device, Ceilings]:
    """Find a device and its rates: auto, cpu, cuda:0, a datasheet's name, or a run.

    Raises:
        DeviceMissing: no such device is known.
        ResultFileError: the run cannot be read, or measured no ceilings.

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
    """Whether a device is one of this machine's, by its word."""
    return word in ("auto", "cpu") or word.startswith("cuda")


def _device_here(word: str) -> Device:
    """The device that a run would take; without torch only the CPU can be described."""
    from attnbench.device.local import describe_cpu
    from attnbench.errors import TorchMissing
    from attnbench.execute.probe import environment

    if word == "cpu":
        return describe_cpu()
    try:
        return environment(word).device
    except TorchMissing:
        if word != "auto":
            raise
        return describe_cpu()
