"""Asking a worker what this machine is, without running anything."""

from __future__ import annotations

from attnbench.environment import Environment
from attnbench.execute.crew import WorkerHandle
from attnbench.plugin import BackendDescription


def environment(device: str = "auto") -> Environment:
    """Open a device in a worker and describe it.

    Raises:
        TorchMissing: torch cannot be imported.
        DeviceMissing: torch sees no such device.

    """
    crew = WorkerHandle(device)
    try:
        return crew.environment
    finally:
        crew.lost()


def probe(backends: list[BackendDescription], device: str = "auto") -> dict[str, dict[str, object]]:
    """Import third-party backends in a worker: their capabilities, or the error in words."""
    crew = WorkerHandle(device)
    try:
        return {one.name: crew.probe(one.name, one.source) for one in backends}
    finally:
        crew.lost()
