"""stdout and stderr as every verb finds them: no character, reader or room is missed."""

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
def whoever_reads() -> Iterator[Losses]:
    """Let a reader leave, as ``| head`` does, a disk be full, and a terminal lack a character.

    What is written to nobody goes nowhere, and the verb goes on: its exit code tells what it found,
    and a run that is measured is kept, whoever looks on. What stdout has no place for is a loss of
    data, and is told of; stderr is talk.
    """
    before = sys.stdout, sys.stderr
    losses = Losses()
    sys.stdout, sys.stderr = _lasting(sys.stdout, losses), _lasting(sys.stderr, Losses())
    try:
        yield losses
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # of a terminal that hung up
                stream.flush()
        sys.stdout, sys.stderr = before


class Losses:
    """Why what was written to stdout is not there."""

    def __init__(self) -> None:
        self.first: OSError | None = None

    def told(self) -> OutputError | None:
        """Return what to say of it; None where nothing was lost."""
        try:
            sys.stdout.flush()
        except OSError as error:
            self.first = error
        if self.first is None:
            return None
        return OutputError(
            f"cannot write to stdout: {self.first.strerror}",
            hint="what is there is not whole; free some space, or send stdout elsewhere",
        )


class _Pipe(io.FileIO):
    """A descriptor that leads to nowhere once its reader has left, or its disk is full."""

    def __init__(self, descriptor: int, losses: Losses) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._losses = losses

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, and never fail for want of a reader or of room."""
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


def _lasting(stream: TextIO | None, losses: Losses) -> TextIO:
    """Put a stream of the same descriptor in its place; a terminal has no reader that leaves."""
    if stream is None:
        return io.StringIO()  # the process was started with this descriptor closed
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")  # rather than die of what an ASCII terminal lacks
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
