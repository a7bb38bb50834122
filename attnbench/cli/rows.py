"""The rows of a run: a case's label split into columns, its latency, and its share of peak.

The plan fixes the columns before the first row is printed. What all cases share is printed once,
above; the rest has a column, so that a sweep can be read downwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from attnbench.case import Case
from attnbench.cost import compute_cost
from attnbench.execute.events import CaseFinished
from attnbench.measurement import BAD_STATUSES, Measurement
from attnbench.method import Method
from attnbench.metrics import Timing, derive
from attnbench.render.screen import GAP, cropped, padded
from attnbench.render.values import failure_text, nearest_limit
from attnbench.stats.summary import Summary
from attnbench.units import spread_text, time_text

HEADERS = ("phase", "lengths", "heads", "dtype", "", "timer", "backend")
_BACKEND = HEADERS.index("backend")
_NARROWEST = 6
_LATENCY, _NOISE, _SHARE = 8, 7, 9


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLayout:
    """Which parts of a label have a column, and how wide it is."""

    shown: tuple[int, ...]
    widths: tuple[int, ...]
    in_common: str

    @property
    def header(self) -> str:
        """The names above the columns."""
        names = [HEADERS[index] for index in self.shown]
        return self._line(names, ("latency", "noise", " ", "of peak"))

    def row(self, finished: CaseFinished) -> str:
        """Return the line of an ok case: its label, latency, noise and share of peak."""
        measured, method, summary = finished.measurement, finished.method, finished.summary
        assert method is not None
        assert summary is not None
        parts = label_parts(measured.case, method)
        return self._line([parts[index] for index in self.shown], figures(measured, summary))

    def _line(self, parts: Sequence[str], tail: tuple[str, str, str, str]) -> str:
        fitted = (
            padded(cropped(part, width), width)
            for part, width in zip(parts, self.widths, strict=True)
        )
        latency, noise, mark, share = tail
        numbers = f"{padded(latency, _LATENCY, right=True)} {padded(noise, _NOISE, right=True)}"
        return f"{GAP.join(fitted)}{GAP}{numbers} {mark} {share:>{_SHARE}}".rstrip()


def layout(pairs: Iterable[tuple[Case, Method]], width: int | None) -> RowLayout:
    """Lay out rows for these cases; with a width, the widest columns are cropped to fit."""
    parts = [label_parts(case, method) for case, method in pairs] or [("",) * len(HEADERS)]
    columns = list(zip(*parts, strict=True))
    varying = [len(set(column)) > 1 for column in columns]
    shown = tuple(i for i, varies in enumerate(varying) if varies or i == _BACKEND)
    fixed = [columns[i][0] for i, varies in enumerate(varying) if not varies and i != _BACKEND]
    widths = [max(cell_len(HEADERS[i]), *map(cell_len, columns[i])) for i in shown]
    if width is not None:
        _shrink(widths, width - _tail_width())
    return RowLayout(shown=shown, widths=tuple(widths), in_common=" ".join(filter(None, fixed)))


def label_parts(case: Case, method: Method) -> tuple[str, ...]:
    """Split a row's name: phase, lengths, heads, dtype, other fields, timer, backend."""
    phase, lengths, heads, dtype, *rest = case.problem.label.split(" ")
    return (
        *(phase, lengths, heads, dtype, " ".join(rest)),
        f"{method.timer} {method.l2}",
        case.backend_label,
    )


def figures(measured: Measurement, summary: Summary) -> tuple[str, str, str, str]:
    """Return latency, in-process noise, the mark of a noisy case, and the share of peak."""
    noise = "" if summary.noise is None else spread_text(summary.noise)
    mark = "~" if "NOISY" in measured.notes else " "
    return time_text(summary.latency / 1e6), noise, mark, share_of_peak(measured, summary)


def share_of_peak(measured: Measurement, summary: Summary) -> str:
    """Write the larger share of the measured peaks: ``91% mem`` or ``63% flop``, or nothing."""
    timing = Timing(
        problem=measured.case.problem,
        cost=compute_cost(measured.case.problem),
        latency_us=summary.latency,
        peak_bandwidth_gbps=measured.peak_bandwidth_gbps,
        peak_tflops=measured.peak_tflops,
        notes=measured.notes,
    )
    derived = derive(timing)
    return nearest_limit(derived["pct_peak_bandwidth"], derived["pct_peak_flops"])


def failure(measured: Measurement) -> str:
    """Return the line of a case that is not ok."""
    return failure_text(measured.status, measured.case.label, measured.reason)


def case_line(event: CaseFinished, columns: RowLayout | None) -> str:
    """Return the line of a finished case: a row of the table, or why there is none."""
    if event.measurement.status != "ok" or columns is None:
        return failure(event.measurement)
    return columns.row(event)


def row_style(measured: Measurement) -> str:
    """Return the colour of a row, which repeats what a word or a mark says."""
    if measured.status in BAD_STATUSES:
        return "red"
    return "yellow" if measured.status != "ok" or "NOISY" in measured.notes else ""


def _tail_width() -> int:
    return len(GAP) + _LATENCY + 1 + _NOISE + 3 + _SHARE


def _shrink(widths: list[int], room: int) -> None:
    """Take from the widest column, one at a time, until all fit or none can give more."""
    room -= len(GAP) * (len(widths) - 1)
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
