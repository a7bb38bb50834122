"""The parent's side of a worker: the process, its pipes, and one handle for its operations.

A worker speaks JSON lines over two pipes of its own; its stdout and stderr go to a file, whose end
becomes the reason of a crash. It runs in a session of its own, so that Ctrl-C reaches only the
parent, and dies with the parent (PR_SET_PDEATHSIG, and end of file on its pipe).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from attnbench.case import BUILT_IN, Case
from attnbench.device.local import usable_cores
from attnbench.environment import Environment
from attnbench.errors import BackendImportError, DeviceMissing, EnvironmentProblem, TorchMissing
from attnbench.method import Measure
from attnbench.plugin import Capabilities
from attnbench.units import duration_text
from attnbench.worker import protocol
from attnbench.worker.protocol import CaseDone, Failed, Message, ReplyT, Request

_TAIL_BYTES = 4096
_CHUNK = 65536
_EXIT_GRACE_S = 5.0
_POLL_S = 0.5
_COMPILING = ("prepare", "first_call")
# On a CPU the parent stays idle in these stages: a redraw would disturb the samples.
_QUIET_STAGES = ("warmup", "sample")
_ROOT = Path(__file__).resolve().parents[2]  # the folder that holds this package
_INSTALL = 'python -m pip install "attnbench[torch]"'


class WorkerDied(Exception):
    """The worker ended by itself; the message says how, with the end of its output."""


class CaseTimeout(Exception):
    """The case did not end in time; the worker was killed."""


class Stopped(Exception):
    """The user wants to stop at once; the worker was killed."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Which worker is wanted.

    Attributes:
        device: auto, cpu, cuda or cuda:N.
        interpret: run Triton kernels in Triton's interpreter.
        python: the interpreter to run it in; None for this one.
        search: folders that the worker imports from first, see ``worker_environment``.

    """

    device: str
    interpret: bool = False
    python: str | None = None
    search: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """``compile_s`` bounds prepare and first call, ``deadline_s`` everything after."""

    compile_s: float
    deadline_s: float

    @classmethod
    def of(cls, measure: Measure) -> Limits:
        """Take the limits from a suite's measure block."""
        return cls(measure.compile_s, measure.deadline)


class Connection(Protocol):
    """A living worker, wherever it runs."""

    @property
    def pid(self) -> int:
        """The worker's process id on its machine."""
        ...

    def send(self, request: Request[Any]) -> None:
        """Send one request; a dead worker is noticed when its reply is read."""
        ...

    def receive(self, timeout_s: float) -> Message | None:
        """Return the next message, or None when none came in time.

        Raises:
            WorkerDied: the worker ended.

        """
        ...

    def tail(self) -> str:
        """Return the end of what the worker printed."""
        ...

    def kill(self) -> None:
        """End the worker and everything it started, at once."""
        ...

    def close(self) -> None:
        """Ask the worker to end, and kill it if it does not."""
        ...


class WorkerProcess:
    """A worker as a child process on this machine; a ``Connection``."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._buffer = b""
        self._messages: list[Message] = []
        self._log = _log_file()
        to_child, self._write_fd = os.pipe()
        self._read_fd, from_child = os.pipe()
        python = spec.python or sys.executable
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own module, no shell
                [python, "-P", "-m", "attnbench.worker.server", str(to_child), str(from_child)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                pass_fds=(to_child, from_child),
                start_new_session=True,
                env=worker_environment(interpret=spec.interpret, search=spec.search),
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

    def send(self, request: Request[Any]) -> None:
        """Write one line; a dead worker is noticed when its reply is read."""
        with contextlib.suppress(BrokenPipeError):
            data = protocol.encode(request)
            while data:
                data = data[os.write(self._write_fd, data) :]

    def receive(self, timeout_s: float) -> Message | None:
        """Return the next message, or None when none came in time.

        Raises:
            WorkerDied: the process ended.

        """
        deadline = time.monotonic() + timeout_s
        while not self._messages:
            left = deadline - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                return None
            chunk = os.read(self._read_fd, _CHUNK)
            if not chunk:
                raise WorkerDied(self._how_it_ended())
            self._buffer += chunk
            *whole, self._buffer = self._buffer.split(b"\n")
            self._messages.extend(protocol.decode(line) for line in whole if line)
        return self._messages.pop(0)

    def tail(self) -> str:
        """Return the last 4 kB that the worker printed."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _TAIL_BYTES))
        return self._log.read().decode(errors="replace").strip()

    def kill(self) -> None:
        """End the worker and everything it started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close_files()

    def close(self) -> None:
        """Ask the worker to end, and kill it if it does not."""
        self.send(protocol.Exit())
        try:
            self._process.wait(_EXIT_GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return
        self._close_files()

    def _close_files(self) -> None:
        if self._read_fd < 0:
            return
        self._selector.close()
        os.close(self._read_fd)
        os.close(self._write_fd)
        self._read_fd = -1
        self._log.close()

    def _how_it_ended(self) -> str:
        """Say how the process ended, with the end of what it printed."""
        code = self._process.wait()
        how = f"exit code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                how = f"signal {signal.Signals(-code).name}"
        tail = self.tail()
        return f"the worker ended with {how}" + (f"; it printed: {tail}" if tail else "")


def _log_file() -> IO[bytes]:
    """Open a nameless file for what the worker prints; in memory where no folder is writable."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return os.fdopen(os.memfd_create("attnbench-worker"), "w+b")


def worker_environment(*, interpret: bool, search: Sequence[str] = ()) -> dict[str, str]:
    """Return a worker's environment variables, which must be set before its imports.

    They quieten the profiler, fix the number of threads, and switch Triton's interpreter.

    Args:
        interpret: run Triton kernels in the interpreter.
        search: folders that the worker imports from first, this package's among them. Without it
            this package is added, unless it is installed where any Python of this one finds it.

    """
    chosen = {
        "KINETO_LOG_LEVEL": "99",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(usable_cores())),
        "PYTHONUNBUFFERED": "1",
    }
    # -P keeps the working directory out of the child's path; a source tree must be named.
    installed = _ROOT.name in ("site-packages", "dist-packages")
    if paths := list(search) or ([] if installed else [str(_ROOT)]):
        given = os.environ.get("PYTHONPATH", "")
        chosen["PYTHONPATH"] = os.pathsep.join(filter(None, [*paths, given]))
    inherited = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return {**inherited, **chosen, **({"TRITON_INTERPRET": "1"} if interpret else {})}


class WorkerHandle:
    """The one worker of a device: opened when it is needed, replaced when it died.

    Args:
        connect: opens a worker; an executor's method.
        spec: which worker is wanted.

    """

    def __init__(self, connect: Callable[[WorkerSpec], Connection], spec: WorkerSpec) -> None:
        self._connect = connect
        self._spec = spec
        self._connection: Connection | None = None
        self._environment: Environment | None = None

    @property
    def is_open(self) -> bool:
        """True while a worker lives."""
        return self._connection is not None

    @property
    def pid(self) -> int:
        """The process id of the living worker, opened where there is none."""
        return self.open().pid

    @property
    def environment(self) -> Environment:
        """What the first worker said of the device, host and software."""
        self.open()
        assert self._environment is not None
        return self._environment

    def open(self) -> Connection:
        """Return the living worker, opening one where there is none.

        Raises:
            TorchMissing: torch cannot be imported.
            DeviceMissing: torch sees no such device.
            EnvironmentProblem: the worker could not start at all.

        """
        if self._connection is None:
            connection = self._connect(self._spec)
            try:
                self._environment = _opened(connection, self._spec)
            except (WorkerDied, TimeoutError) as error:
                connection.kill()
                raise EnvironmentProblem(f"a worker could not start: {error}") from error
            except BaseException:
                connection.kill()
                raise
            self._connection = connection
        return self._connection

    def kill(self) -> None:
        """End the worker at once: it is dead already, or must not be used any more."""
        if self._connection is not None:
            self._connection.kill()
            self._connection = None

    def close(self) -> None:
        """End the worker in good order: the next operation opens a fresh one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, request: Request[ReplyT]) -> ReplyT:
        """Have the worker do one operation.

        Raises:
            EnvironmentProblem: the worker did not live to answer, or could not.

        """
        try:
            reply = _exchange(self.open(), request)
        except (WorkerDied, TimeoutError) as error:
            self.kill()
            raise EnvironmentProblem(f"no answer from the {request.words}: {error}") from error
        if isinstance(reply, Failed):
            raise EnvironmentProblem(f"the {request.words} failed: {reply.message}")
        return reply

    def probe(self, name: str, source: str) -> protocol.BackendProbed:
        """Import one backend; what keeps it from being imported is part of the reply."""
        try:
            reply = _exchange(self.open(), protocol.ProbeBackend(name=name, source=source))
        except (WorkerDied, TimeoutError) as error:
            self.kill()
            return protocol.BackendProbed(error=str(error))
        if isinstance(reply, Failed):
            return protocol.BackendProbed(error=reply.message)
        return reply

    def capabilities(self, cases: Sequence[Case]) -> dict[tuple[str, str], Capabilities]:
        """Import the third-party backends of some cases and return what they can do.

        Raises:
            BackendImportError: one cannot be imported; nothing has been measured.

        """
        found = {}
        for name, source in sorted({(one.backend, one.source) for one in cases}):
            if source == BUILT_IN:
                continue
            probed = self.probe(name, source)
            if probed.capabilities is None:
                raise BackendImportError(
                    f"backend {name} ({source}) cannot be imported: {probed.error}",
                    hint=probed.hint or "leave it out with --backend, or mend it",
                )
            found[name, source] = probed.capabilities
        return found

    def imported_below(self, folders: Sequence[str]) -> list[str]:
        """Return the files below these folders that the worker imported, this package's left out.

        The list is empty where the worker died: whatever comes next finds it dead.
        """
        try:
            return self.ask(protocol.ListImported(folders=list(folders))).files
        except EnvironmentProblem:
            return []

    def dispatch(
        self,
        request: Request[CaseDone],
        limits: Limits,
        *,
        must_stop: Callable[[], bool],
        on_beat: Callable[[str], None],
    ) -> CaseDone:
        """Have the worker do one case, and kill it where the case does not end well.

        Args:
            request: a case to measure, check or try.
            limits: the time that it may take.
            must_stop: asked about twice a second whether the user wants to stop at once.
            on_beat: called with the stage as often, but never while the worker samples.

        Raises:
            CaseTimeout: a limit passed.
            WorkerDied: the worker ended by itself.
            Stopped: the user wants to stop at once.

        """
        try:
            done = _await_case(self.open(), request, limits, must_stop, on_beat)
        except (CaseTimeout, WorkerDied, Stopped):
            self.kill()
            raise
        if not done.alive:
            # The device's context is broken; whatever ran next would fail because of this case.
            self.kill()
        return done


def _exchange(connection: Connection, request: Request[ReplyT]) -> ReplyT | Failed:
    """Send a request and wait for its one reply.

    Raises:
        WorkerDied: the worker ended.
        TimeoutError: there was no reply in time.

    """
    connection.send(request)
    deadline = time.monotonic() + request.limit_s
    while (left := deadline - time.monotonic()) > 0:
        message = connection.receive(left)
        if message is not None and not isinstance(
            message, protocol.StageEntered | protocol.Heartbeat
        ):
            return message  # type: ignore[return-value]  # the protocol pairs request and reply
    raise TimeoutError(f"the worker did not answer within {request.limit_s:.0f} s")


def _await_case(
    connection: Connection,
    request: Request[CaseDone],
    limits: Limits,
    must_stop: Callable[[], bool],
    on_beat: Callable[[str], None],
) -> CaseDone:
    connection.send(request)
    stage = "prepare"
    since, is_compiling = time.monotonic(), True
    while True:
        message = connection.receive(_POLL_S)
        if must_stop():
            raise Stopped
        now = time.monotonic()
        match message:
            case protocol.StageEntered():
                stage = message.stage
                if is_compiling and stage not in _COMPILING:
                    since, is_compiling = now, False
            case Failed():
                raise RuntimeError(message.message)
            case CaseDone():
                return message
        if stage not in _QUIET_STAGES:
            on_beat(stage)
        name = "compile_s" if is_compiling else "deadline_s"
        limit: float = getattr(limits, name)
        if now - since > limit:
            tail = connection.tail()
            said = f"; it printed: {tail}" if tail else ""
            spent = duration_text(now - since)
            raise CaseTimeout(f"no end of {stage} after {spent} ({name} {limit:g}){said}")


def _opened(connection: Connection, spec: WorkerSpec) -> Environment:
    """Have a fresh worker open its device; raise what kept it from doing so."""
    reply = _exchange(connection, protocol.OpenDevice(device=spec.device))
    if not isinstance(reply, Failed):
        return reply.environment
    if reply.error == protocol.TORCH_MISSING:
        install = _INSTALL if spec.python is None else f"{spec.python} -m pip install torch"
        raise TorchMissing(f"measuring needs torch: {reply.message}", hint=f"install it: {install}")
    if reply.error == protocol.DEVICE_MISSING:
        raise DeviceMissing(reply.message, hint=reply.hint)
    raise RuntimeError(reply.message)
