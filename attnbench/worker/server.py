"""The child process: reads requests, measures, and writes one reply to each.

``python -m attnbench.worker.server READ_FD WRITE_FD``. It needs the standard library, torch and the
lower packages only, so that another Python can run it. It ends when its pipe ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from attnbench.worker import protocol
from attnbench.worker.protocol import Failed, Message

if TYPE_CHECKING:
    from attnbench.measure.context import DeviceContext

_PR_SET_PDEATHSIG = 1
_BEAT_S = 1.0


class Channel:
    """Both pipes: one thread reads, any thread may write."""

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
                try:
                    self._inbox.put(protocol.decode(line))
                except Exception as error:  # noqa: BLE001  or nobody would read the next line
                    said = f"not a request ({error!r}): {line[:200]!r}"
                    self.send(Failed(error=protocol.INTERNAL_ERROR, message=said))
        # The parent is gone. Nothing may hold the device after it, however deep a call is.
        os._exit(0)

    def _beat(self) -> None:
        wait = threading.Event()
        while not wait.wait(_BEAT_S):
            # While a CPU case samples, even writing a line of JSON would disturb the numbers.
            if self.stage not in ("idle", "sample"):
                self.send(protocol.Heartbeat(stage=self.stage))

    def messages(self) -> Iterator[Message]:
        """Yield what the parent sends, in order."""
        while True:
            yield self._inbox.get()

    def send(self, message: Message) -> None:
        """Write one line."""
        data = protocol.encode(message)
        with self._lock:
            while data:
                data = data[os.write(self._write_fd, data) :]

    def enter(self, stage: str) -> None:
        """Tell the parent which part of a case begins; its time limits depend on it."""
        self.stage = stage
        self.send(protocol.StageEntered(stage=stage))


class Handlers:
    """One method for each operation, and what outlives an operation: the open device.

    Modules that import torch are imported in the methods, so that a missing torch is a reply.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._device: DeviceContext | None = None

    def open_device(self, request: protocol.OpenDevice) -> Message:
        """Open the device and describe it."""
        try:
            import torch  # noqa: F401  only workers import it
        except ImportError as error:
            return Failed(error=protocol.TORCH_MISSING, message=str(error))
        from attnbench.errors import DeviceMissing
        from attnbench.measure.context import DeviceContext

        try:
            self._device = DeviceContext.open(request.device, stage=self._channel.enter)
        except DeviceMissing as error:
            kind = protocol.DEVICE_MISSING
            return Failed(error=kind, message=error.message, hint=error.hint)
        return protocol.DeviceOpened(environment=self._device.environment)

    def probe_backend(self, request: protocol.ProbeBackend) -> Message:
        """Import a backend and say what it can do, or why it cannot be imported."""
        from attnbench.measure.probe import probe_backend
        from attnbench.plugin import Capabilities

        answer = probe_backend(request.name, request.source)
        if "error" in answer:
            return protocol.BackendProbed(error=answer["error"], hint=answer["hint"])
        return protocol.BackendProbed(
            capabilities=Capabilities(**answer["capabilities"]), is_triton=answer["is_triton"]
        )

    def list_imported(self, request: protocol.ListImported) -> Message:
        """List the files below some folders that were imported."""
        from attnbench.measure.probe import imported_below

        return protocol.ImportedFiles(files=imported_below(request.folders))

    def measure_ceilings(self, request: protocol.MeasureCeilings) -> Message:
        """Measure the device's best rates."""
        return protocol.CeilingsMeasured(ceilings=self.device.measure_ceilings(request.repeats))

    def sustain_ceilings(self, request: protocol.SustainCeilings) -> Message:
        """Measure what the device holds, in addition to its known best rates."""
        self.device.ceilings = request.ceilings
        return protocol.CeilingsMeasured(ceilings=self.device.sustain_ceilings())

    def self_test(self, request: protocol.RunSelfTest) -> Message:
        """Time what is known."""
        from attnbench.measure.selftest import self_test

        device = self.device
        ceilings = request.ceilings or device.measure_ceilings(repeats=1)
        tests = self_test(device.driver, device.device, ceilings, brief=request.brief)
        done = [one.to_dict() for one in tests]
        device.driver.release()
        self._channel.stage = "idle"
        return protocol.SelfTestDone(tests=done, ceilings=ceilings)

    def time_canaries(self, request: protocol.TimeCanaries) -> Message:
        """Time what never changes, at both ends of a process."""
        from attnbench.measure.canary import time_canaries

        return protocol.CanariesTimed(**time_canaries(self.device, warm=request.warm))

    def run_case(self, request: protocol.RunCase) -> Message:
        """Measure a case, only check it, or only call it for calibration."""
        from attnbench.measure.context import CaseSettings
        from attnbench.measure.measure import measure, rehearse

        device = self.device
        if device.ceilings is None:
            device.ceilings = request.ceilings
        settings = CaseSettings(
            method=request.method,
            measure=request.measure,
            calibration=request.purpose == protocol.CALIBRATE,
        )
        if request.purpose == protocol.MEASURE:
            done = measure(request.case, settings, device).to_dict()
        else:
            done = rehearse(request.case, settings, device)
        return self._case_done(done)

    def conform_case(self, request: protocol.ConformCase) -> Message:
        """Run one trial of the conformance kit."""
        from attnbench.measure.conformance_check import check_trial

        return self._case_done(check_trial(request.case, request.way, self.device))

    def _case_done(self, done: dict[str, Any]) -> Message:
        reply = protocol.CaseDone(done=done, alive=self.device.driver.is_alive())
        self._channel.stage = "idle"
        return reply

    @property
    def device(self) -> DeviceContext:
        """The open device."""
        assert self._device is not None, "OpenDevice comes first"
        return self._device


def serve(channel: Channel) -> None:
    """Answer requests until ``Exit`` or the end of the pipe."""
    handlers = Handlers(channel)
    by_type: dict[type[Message], Callable[[Any], Message]] = {
        protocol.OpenDevice: handlers.open_device,
        protocol.ProbeBackend: handlers.probe_backend,
        protocol.ListImported: handlers.list_imported,
        protocol.MeasureCeilings: handlers.measure_ceilings,
        protocol.SustainCeilings: handlers.sustain_ceilings,
        protocol.RunSelfTest: handlers.self_test,
        protocol.TimeCanaries: handlers.time_canaries,
        protocol.RunCase: handlers.run_case,
        protocol.ConformCase: handlers.conform_case,
    }
    for message in channel.messages():
        if isinstance(message, protocol.Exit):
            return
        try:
            reply = by_type[type(message)](message)
        except Exception:  # noqa: BLE001  what escapes here is a bug of ours; the parent reports it
            reply = Failed(error=protocol.INTERNAL_ERROR, message=traceback.format_exc())
        channel.send(reply)


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
