"""One writer a run: a lock beside the journal that a dead process cannot keep."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.errors import NameTakenError
from attnbench.store.atomic import explained
from attnbench.store.journal import journal_path

if TYPE_CHECKING:
    from filelock import FileLock


class RunLock:
    """The right to write one run, held by one process at a time.

    The operating system gives the lock back when its holder dies, by kill -9 too. The file holds
    the process id of the holder, for the message to the second process.
    """

    def __init__(self, out: Path) -> None:
        """Take the lock of the run whose result file is ``out``.

        Raises:
            NameTakenError: another process holds it.
            OutputError: the lock file cannot be made.

        """
        from filelock import FileLock, Timeout

        journal = journal_path(out)
        self.path = journal.with_name(f"{journal.name}.lock")
        self._lock: FileLock = FileLock(self.path, timeout=0)
        with explained(self.path):
            try:
                self._lock.acquire()
            except Timeout:
                raise self._taken(out) from None
        # Only a courtesy: a full disk or a system that locks the content must not stop a run here.
        with suppress(OSError):
            self.path.write_text(f"{os.getpid()}\n")

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return self._lock.is_locked

    def release(self) -> None:
        """Remove the lock file and give the lock back; a second call does nothing."""
        if self.is_held:
            # Removed while still held: a process that opened it meanwhile sees that it has no name.
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
            self._lock.release()

    def _taken(self, out: Path) -> NameTakenError:
        try:
            holder = self.path.read_text().strip()
        except OSError:
            holder = ""
        process = f"process {holder}" if holder.isdecimal() else "another process"
        return NameTakenError(
            f"{process} is writing {out} right now",
            hint="wait for it to end, or choose another name with --name or --out",
        )
