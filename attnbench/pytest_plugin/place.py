"""Where attnbench's tests compute: one opened device a pytest process."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from attnbench.analysis.export.pytest_benchmark import DEVICE_COLUMNS

if TYPE_CHECKING:
    from attnbench.measure.context import DeviceContext

_KEY: pytest.StashKey[Place] = pytest.StashKey()


@dataclass(frozen=True, slots=True)
class Place:
    """An opened device with the inputs of the problem at hand."""

    bench: DeviceContext

    def to_dict(self) -> dict[str, Any]:
        """What a file of pytest-benchmark says of the device: nothing that changes by itself."""
        environment = self.bench.environment
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


def place_of(config: pytest.Config) -> Place:
    """Return the session's device, opening it for the first test that wants one."""
    if (found := opened(config)) is not None:
        return found
    place = Place(_open(config.getoption("attnbench_device")))
    config.stash[_KEY] = place
    return place


def opened(config: pytest.Config) -> Place | None:
    """Return the session's device where a test has opened it."""
    return config.stash.get(_KEY, None)


def close(config: pytest.Config) -> None:
    """Drop the inputs, and let python's collector look at every object again."""
    if (place := opened(config)) is not None:
        place.bench.forget_inputs()
        gc.unfreeze()
        del config.stash[_KEY]


def _open(word: str) -> DeviceContext:
    """Open a device as a worker does, but leave the process's memory limit and threads alone."""
    from attnbench.errors import AttnbenchError
    from attnbench.measure.context import DeviceContext

    try:
        return DeviceContext.open(word, stage=lambda _: None, own_process=False)
    except AttnbenchError as error:
        # No other test of attnbench can do better: say it once, with the code of a run.
        pytest.exit(f"--attnbench-device {word}: {error}", returncode=error.exit_code)
