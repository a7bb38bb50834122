"""stdout and stderr that tolerate encoding errors, closed pipes and full disks."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from attnbench.errors import OutputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@contextmanager
def guarded_stdio() -> Iterator[Losses]:
    """Tolerate a closed pipe (``| head``), a full disk, and characters that a terminal lacks.

    Output without a reader is dropped and the verb continues, so that its exit code is right and a
    run is kept. A full disk behind stdout loses data and is reported; stderr is not.

    Yields:
        What could not be written to stdout.

    """
    before = sys.stdout, sys.stderr
    losses = Losses()
    sys.stdout, sys.stderr = _guarded(sys.stdout, losses), _guarded(sys.stderr, Losses())
    try:
        yield losses
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # of a terminal that hung up
                stream.flush()
        sys.stdout, sys.stderr = before


class Losses:
    """Remembers why output to stdout was lost."""

    def __init__(self) -> None:
        self.first: OSError | None = None

    def error(self) -> OutputError | None:
        """Return the error to report, or None where nothing was lost."""
        try:
            sys.stdout.flush()
        except OSError as error:
            self.first = error
        if self.first is None:
            return None
        return OutputError(
            f"cannot write to stdout: {self.first.strerror}",
            hint="the output is incomplete; free some space, or redirect stdout elsewhere",
        )


class _Pipe(io.FileIO):
    """A file descriptor that is redirected to nowhere once its pipe is closed or its disk full."""

    def __init__(self, descriptor: int, losses: Losses) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._losses = losses

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, and never fail because of a closed pipe or a full disk."""
        try:
            return super().write(data)
        except BrokenPipeError:
            pass
        except OSError as error:
            self._losses.first = error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        return super().write(data)


def _guarded(stream: TextIO | None, losses: Losses) -> TextIO:
    """Return a guarded stream of the same descriptor; a terminal needs no guard."""
    if stream is None:
        return io.StringIO()  # the process was started with this descriptor closed
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")  # rather than fail on an ASCII terminal
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return stream  # captured in this process
    if stream.isatty():
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Pipe(descriptor, losses)),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=getattr(stream, "line_buffering", False),
    )
