"""stdout and stderr as every verb finds them: no character and no reader is missed."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@contextmanager
def whoever_reads() -> Iterator[None]:
    """Let a reader leave early, as ``| head`` does, and a terminal lack a character.

    What is written to nobody goes nowhere, and the verb goes on: its exit code tells what it found,
    and a run that is measured is kept, whoever looks on.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # a full disk has been told already
                stream.flush()
        sys.stdout, sys.stderr = before


class _Pipe(io.FileIO):
    """A descriptor that leads to nowhere once its reader has left."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, and never fail for want of a reader."""
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return super().write(data)


def _lasting(stream: TextIO | None) -> TextIO:
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
        io.BufferedWriter(_Pipe(descriptor, "w", closefd=False)),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=getattr(stream, "line_buffering", False),
    )
