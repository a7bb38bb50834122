"""Ctrl-C: once finishes the running case and saves, twice stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupt:
    """Counts SIGINT and SIGTERM while a run is under way; the old handlers come back afterwards."""

    def __init__(self) -> None:
        self._count = 0
        self._told = False
        self.on_first: Callable[[], None] = lambda: None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def asked(self) -> bool:
        """True once the user wants to stop."""
        return self._count > 0

    @property
    def at_once(self) -> bool:
        """True when the running case must not be waited for."""
        return self._count > 1

    def announce(self) -> None:
        """Tell once, from ordinary code and not from the signal's handler, that it was heard."""
        if self.asked and not self.at_once and not self._told:
            self._told = True
            self.on_first()

    def heard(self) -> bool:
        """Say whether the user wants to stop, and tell that it was heard: between two cases."""
        self.announce()
        return self.asked

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for one in (signal.SIGINT, signal.SIGTERM):
                self._before[one] = signal.signal(one, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del frame
        # A supervisor's SIGTERM is not repeated: it means at once.
        self._count += 2 if number == signal.SIGTERM else 1
