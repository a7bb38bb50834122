"""The child process: reads one JSON message a line, measures, writes one back.

``python -m attnbench.execute.worker READ_FD WRITE_FD``. It needs the standard library, torch and
the lower layers of this package only, so that another python can run it. It ends when its pipe
ends.

Messages in: ``hello`` (open the device), ``probe`` (import backends), ``imported``, ``ceilings``,
``sustained``, ``selftest``, ``canaries``, ``case``, ``exit``. Messages out: one answer each; while
a case runs ``stage`` and, each second, ``beat``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnbench.measure.context import DeviceContext

Message = dict[str, Any]
_PR_SET_PDEATHSIG = 1
_BEAT_S = 1.0


class Channel:
    """Both pipes: a thread reads, any thread may write."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._write_fd = write_fd
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.stage = "idle"
        threading.Thread(target=self._read, args=(read_fd,), daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def _read(self, read_fd: int) -> None:
        with os.fdopen(read_fd, "rb") as lines:
            for line in lines:
                self._inbox.put(json.loads(line))
        # The parent is gone. Nothing may hold the device after it, however deep a call is.
        os._exit(0)

    def _beat(self) -> None:
        wait = threading.Event()
        while not wait.wait(_BEAT_S):
            # While a CPU case samples even a line of JSON would be in the numbers.
            if self.stage not in ("idle", "sample"):
                self.send({"beat": self.stage})

    def messages(self) -> Iterator[Message]:
        """Yield what the parent sends, in order."""
        while True:
            yield self._inbox.get()

    def send(self, message: Message) -> None:
        """Write one line."""
        data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._write_fd, data) :]

    def enter(self, stage: str) -> None:
        """Tell the parent which part of a case begins; its time limits hang on it."""
        self.stage = stage
        self.send({"stage": stage})


class Worker:
    """What a worker remembers between messages."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._bench: DeviceContext | None = None

    def hello(self, message: Message) -> Message:
        """Open the device and say what it is."""
        try:
            import torch  # noqa: F401  only workers import it
        except ImportError as error:
            return {"error": "TorchMissing", "message": str(error)}
        from attnbench.errors import DeviceMissing
        from attnbench.measure.context import DeviceContext

        try:
            self._bench = DeviceContext.open(message["device"], stage=self._channel.enter)
        except DeviceMissing as error:
            return {"error": "DeviceMissing", "message": error.message, "hint": error.hint}
        return {"environment": self._bench.environment.to_dict()}

    def probe(self, message: Message) -> Message:
        """Import backends and say what they can do, or why they cannot be imported."""
        from attnbench.measure.probe import probe_backend

        return {"backends": [probe_backend(one) for one in message["backends"]]}

    def imported(self, message: Message) -> Message:
        """Say which files below some folders were imported."""
        from attnbench.measure.probe import imported_below

        return {"files": imported_below(message["below"])}

    def ceilings(self, message: Message) -> Message:
        """Measure the device's best rates."""
        return {"ceilings": self._open().measure_ceilings(message["repeats"]).to_dict()}

    def sustained(self, message: Message) -> Message:
        """Measure what the device holds, beside the best rates that are known of it."""
        from attnbench.device.rates import Ceilings

        bench = self._open()
        if message["ceilings"]:
            bench.ceilings = Ceilings(**message["ceilings"])
        return {"ceilings": bench.sustain_ceilings().to_dict()}

    def selftest(self, message: Message) -> Message:
        """Time what is known, against ceilings that were measured before or, without them, now."""
        from attnbench.measure.selftest import answer_selftest  # reaches torch

        answer = answer_selftest(message, self._open())
        self._channel.stage = "idle"
        return answer

    def canaries(self, message: Message) -> Message:
        """Time what never changes, at the ends of a process."""
        from attnbench.measure.canary import answer_canaries  # reaches torch

        return answer_canaries(message, self._open())

    def case(self, message: Message) -> Message:
        """Measure one case, or only check it, or only call it once (pilot)."""
        from attnbench.measure.answer import answer_case  # reaches torch

        answer = answer_case(message, self._open())
        self._channel.stage = "idle"
        return answer

    def _open(self) -> DeviceContext:
        assert self._bench is not None, "hello comes first"
        return self._bench


def serve(channel: Channel) -> None:
    """Answer messages until ``exit`` or the end of the pipe."""
    worker = Worker(channel)
    answers: dict[str, Callable[[Message], Message]] = {
        "hello": worker.hello,
        "probe": worker.probe,
        "imported": worker.imported,
        "ceilings": worker.ceilings,
        "selftest": worker.selftest,
        "sustained": worker.sustained,
        "canaries": worker.canaries,
        "case": worker.case,
    }
    for message in channel.messages():
        if message["op"] == "exit":
            return
        try:
            answer = answers[message["op"]](message)
        except Exception:  # noqa: BLE001  what escapes here is a bug of ours; the parent reports it
            answer = {"error": "InternalError", "message": traceback.format_exc()}
        channel.send(answer)


def main() -> None:
    """Die with the parent, then serve."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel(int(sys.argv[1]), int(sys.argv[2]))
    serve(channel)
    sys.stdout.flush()
    os._exit(0)  # not sys.exit: a broken backend's atexit hooks may hang


if __name__ == "__main__":
    main()
