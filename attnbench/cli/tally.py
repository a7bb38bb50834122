"""What a view remembers of a run, to say how far it is and, at the end, what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from attnbench.execute.events import CaseFinished
from attnbench.measurement import Measurement

_MINUTE, _HOUR = 60, 3600
_ALMOST = 0.98


@dataclass(slots=True)
class Tally:
    """Counts over the rows seen so far."""

    rows: Counter[str] = field(default_factory=Counter)
    notes: dict[str, set[str]] = field(default_factory=dict)
    not_ok: list[Measurement] = field(default_factory=list)
    _share: float = 0.0

    def add(self, finished: CaseFinished) -> None:
        """Count one row."""
        measured = finished.measurement
        self.rows[measured.status] += 1
        for code in measured.notes:
            self.notes.setdefault(code, set()).add(measured.case.id)
        if measured.status != "ok":
            self.not_ok.append(measured)

    def cases_with(self, code: str) -> int:
        """How many cases carry this note in some process."""
        return len(self.notes.get(code, ()))

    def share(self, elapsed_s: float, left_s: float | None) -> float:
        """How much is done, from 0 to 1, by time: the last tenth of the cases is most of it.

        It never goes back, though predictions do, and is never 1 while something runs.
        """
        if left_s is not None and elapsed_s + left_s > 0:
            self._share = max(self._share, min(_ALMOST, elapsed_s / (elapsed_s + left_s)))
        return self._share


def about(seconds: float) -> str:
    """Write a prediction without false precision: ``about 7 min``."""
    if seconds < _MINUTE:
        return "under a minute"
    if seconds < _HOUR:
        return f"about {seconds / _MINUTE:.0f} min"
    return f"about {int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE)} min"


def left(seconds: float | None) -> str:
    """``about 7 min left``; empty where nobody knows."""
    return "" if seconds is None else f"{about(seconds)} left"


def elapsed_text(seconds: float) -> str:
    """``14:02`` minutes and seconds, or ``1:14:02``."""
    minutes, rest = divmod(int(seconds), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
