"""Executors: where workers run.

An executor opens workers on named devices, and its connections say what died. It knows nothing of
suites, and a session knows nothing of processes or nodes. A new executor is a module here and one
line in ``EXECUTORS``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from attnbench.worker.client import Connection, WorkerHandle, WorkerSpec

LOCAL = "local"
EXECUTORS = {LOCAL: "attnbench.execute.executors.local:LocalExecutor"}


class Executor(Protocol):
    """Opens workers."""

    def connect(self, spec: WorkerSpec) -> Connection:
        """Start a worker and return its connection; the device is opened by its first request.

        Raises:
            EnvironmentProblem: no worker can be started there.

        """
        ...


def executor_named(name: str = LOCAL) -> Executor:
    """Return the executor of a name in ``EXECUTORS``, imported only now."""
    module, _, attribute = EXECUTORS[name].partition(":")
    made: Executor = getattr(importlib.import_module(module), attribute)()
    return made


@contextmanager
def worker_on(executor: Executor | None, spec: WorkerSpec) -> Iterator[WorkerHandle]:
    """Give a worker for a block: opened when it is first needed, killed at the end.

    Args:
        executor: where it runs; None for this machine.
        spec: which worker is wanted.

    """
    worker = WorkerHandle((executor or executor_named()).connect, spec)
    try:
        yield worker
    finally:
        worker.kill()
