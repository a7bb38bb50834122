"""The executor of this machine: each worker is a child process."""

from __future__ import annotations

from attnbench.worker.client import Connection, WorkerProcess, WorkerSpec


class LocalExecutor:
    """Starts workers as child processes."""

    def connect(self, spec: WorkerSpec) -> Connection:
        """Start a child process."""
        return WorkerProcess(spec)
