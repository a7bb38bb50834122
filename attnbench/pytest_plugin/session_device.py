"""The device of attnbench's tests: opened once in a pytest process."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from attnbench.analysis.export.pytest_benchmark import DEVICE_COLUMNS

if TYPE_CHECKING:
    from attnbench.measure.context import DeviceContext

_KEY: pytest.StashKey[SessionDevice] = pytest.StashKey()


@dataclass(frozen=True, slots=True)
class SessionDevice:
    """An opened device with the inputs of the current problem."""

    context: DeviceContext

    def to_dict(self) -> dict[str, Any]:
        """Return the device's constant facts for a file of pytest-benchmark."""
        environment = self.context.environment
        device = environment.device
        known = {
            **environment.to_dict(),
            "device_id": device.id,
            "device_name": device.name,
            "device_uuid": device.uuid,
            "device_arch": device.arch,
            "device_memory_bytes": device.memory_bytes,
            "power_limit_w": device.power_limit_w,
            "driver": device.driver,
        }
        return {name: known[name] for name in DEVICE_COLUMNS if known.get(name) is not None}


def device_of(config: pytest.Config) -> SessionDevice:
    """Return the session's device, and open it for the first test that needs it."""
    if (found := opened(config)) is not None:
        return found
    device = SessionDevice(_open(config.getoption("attnbench_device")))
    config.stash[_KEY] = device
    return device


def opened(config: pytest.Config) -> SessionDevice | None:
    """Return the session's device, or None if no test has opened it."""
    return config.stash.get(_KEY, None)


def close(config: pytest.Config) -> None:
    """Drop the inputs, and unfreeze Python's garbage collector."""
    if (device := opened(config)) is not None:
        device.context.forget_inputs()
        gc.unfreeze()
        del config.stash[_KEY]


def _open(word: str) -> DeviceContext:
    """Open a device as a worker does, but keep the process's memory limit and threads."""
    from attnbench.errors import AttnbenchError
    from attnbench.measure.context import DeviceContext

    try:
        return DeviceContext.open(word, stage=lambda _: None, own_process=False)
    except AttnbenchError as error:
        # No other test of attnbench can run either: report it once, with a run's exit code.
        pytest.exit(f"--attnbench-device {word}: {error}", returncode=error.exit_code)
