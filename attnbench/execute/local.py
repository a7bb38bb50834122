"""A worker process on this machine, as the parent sees it.

The worker speaks JSON lines over two pipes of its own; its stdout and stderr go to a file, of which
the end becomes the reason of a crash. It runs in a session of its own, so that Ctrl-C reaches the
parent alone, and dies with the parent (PR_SET_PDEATHSIG, and end of file on its pipe).
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from attnbench.device.local import usable_cores

Message = dict[str, Any]
_TAIL_BYTES = 4096
_CHUNK = 65536
_EXIT_GRACE_S = 5.0
_ROOT = Path(__file__).resolve().parents[2]  # the folder in which this package lies


class WorkerDied(Exception):
    """The process ended by itself; the message says how, with the end of its output."""


class LocalWorker:
    """One child process with torch in it."""

    def __init__(
        self,
        device: str,
        *,
        python: str = sys.executable,
        interpret: bool = False,
        search: Sequence[str] = (),
    ) -> None:
        self.device = device
        self._buffer = b""
        self._lines: list[Message] = []
        self._log = _log_file()
        to_child, self._write_fd = os.pipe()
        self._read_fd, from_child = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own module, no shell
                [python, "-P", "-m", "attnbench.execute.worker", str(to_child), str(from_child)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                pass_fds=(to_child, from_child),
                start_new_session=True,
                env=worker_environment(interpret=interpret, search=search),
            )
        finally:
            os.close(to_child)
            os.close(from_child)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._read_fd, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def send(self, message: Message) -> None:
        """Write one message; a dead worker is noticed when its answer is read."""
        with contextlib.suppress(BrokenPipeError):
            data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
            while data:
                data = data[os.write(self._write_fd, data) :]

    def receive(self, timeout_s: float) -> Message | None:
        """Return the next message, or None when none came in time.

        Raises:
            WorkerDied: the process ended.

        """
        deadline = time.monotonic() + timeout_s
        while not self._lines:
            left = deadline - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                return None
            chunk = os.read(self._read_fd, _CHUNK)
            if not chunk:
                raise WorkerDied(self._epitaph())
            self._buffer += chunk
            *whole, self._buffer = self._buffer.split(b"\n")
            self._lines.extend(json.loads(line) for line in whole if line)
        return self._lines.pop(0)

    def ask(self, message: Message, timeout_s: float) -> Message:
        """Send a message and wait for its one answer.

        Raises:
            WorkerDied: the process ended.
            TimeoutError: no answer in time.

        """
        self.send(message)
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            answer = self.receive(left)
            if answer is not None and "beat" not in answer and "stage" not in answer:
                return answer
        raise TimeoutError(f"the worker did not answer within {timeout_s:.0f} s")

    def tail(self) -> str:
        """The last 4 kB that the worker printed."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _TAIL_BYTES))
        return self._log.read().decode(errors="replace").strip()

    def kill(self) -> None:
        """End the worker and everything it started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def close(self) -> None:
        """Ask the worker to end, and kill it if it does not."""
        self.send({"op": "exit"})
        try:
            self._process.wait(_EXIT_GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return
        self._close()

    def _close(self) -> None:
        if self._read_fd < 0:
            return
        self._selector.close()
        os.close(self._read_fd)
        os.close(self._write_fd)
        self._read_fd = -1
        self._log.close()

    def _epitaph(self) -> str:
        """Say how the process ended, with the end of what it printed."""
        code = self._process.wait()
        how = f"exit code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                how = f"signal {signal.Signals(-code).name}"
        tail = self.tail()
        return f"the worker ended with {how}" + (f"; it printed: {tail}" if tail else "")


def _log_file() -> IO[bytes]:
    """A nameless file for what the worker prints; in memory where no folder can be written."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return os.fdopen(os.memfd_create("attnbench-worker"), "w+b")


def worker_environment(*, interpret: bool, search: Sequence[str] = ()) -> dict[str, str]:
    """Quiet profiler, fixed threads, Triton's interpreter on or off: all before import.

    ``search`` are the folders that the worker imports from first, this package among them; without
    it there is this package where it is found by its source tree alone.
    """
    threads = str(usable_cores())
    chosen = {
        "KINETO_LOG_LEVEL": "99",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
        "PYTHONUNBUFFERED": "1",
    }
    # -P keeps the working directory out of the child's path; a source tree must be named.
    installed = _ROOT.name in ("site-packages", "dist-packages")
    if paths := list(search) or ([] if installed else [str(_ROOT)]):
        given = os.environ.get("PYTHONPATH", "")
        chosen["PYTHONPATH"] = os.pathsep.join(filter(None, [*paths, given]))
    inherited = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return {**inherited, **chosen, **({"TRITON_INTERPRET": "1"} if interpret else {})}


@contextlib.contextmanager
def open_worker(device: str, *, interpret: bool = False) -> Iterator[LocalWorker]:
    """Give a worker for a block; it is gone afterwards whatever happened."""
    worker = LocalWorker(device, interpret=interpret)
    try:
        yield worker
    except BaseException:
        worker.kill()
        raise
    else:
        worker.close()
