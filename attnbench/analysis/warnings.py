"""Warnings about latencies, in sentences that a report and an advice share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnbench.analysis.cases import CaseResult

# What a note says about the latency it stands beside.
NOTES = {
    "NOISY": "are noisy: their in-process interval is wider than the suite asks for",
    "THROTTLED": "were throttled: the device lowered its clocks while they ran",
    "CLOCK_DRIFT": "saw the clocks move between the first and the last sample",
    "FOREIGN_PROCESS": "shared the device with another process",
    "FALLBACK": "ran another kernel than the one asked for",
    "LAUNCH_BOUND": "are bound by the host: the launch took longer than the kernel",
}
# Values of inputs that make a kernel look faster than it is on real data.
_FLATTERING = {
    "input_dist": (
        "zeros",
        "were measured on zeros, which draw less power: measure with input_dist: normal",
    ),
    "page_order": (
        "identity",
        "were measured on pages in their order: measure with page_order: shuffled",
    ),
}


def note_warnings(cases: Sequence[CaseResult]) -> Iterator[str]:
    """Yield how many ok cases have each note, and how many have no interval."""
    ok = [one for one in cases if one.latency is not None]
    for code, words in NOTES.items():
        if count := sum(code in one.notes for one in ok):
            yield f"{count} of {len(ok)} ok cases {words} ({code})"
    few = [one.latency.processes for one in ok if one.latency and one.latency.low is None]
    if few:
        yield (
            f"{len(few)} of {len(ok)} ok cases have fewer than three processes:"
            " they have no interval (--processes 3 gives them one)"
        )


def input_warnings(cases: Sequence[CaseResult]) -> Iterator[str]:
    """Yield how many ok cases were measured on inputs that are too favourable."""
    ok = [one for one in cases if one.latency is not None]
    for column, (value, words) in _FLATTERING.items():
        if count := sum(one.rows[0][column] == value for one in ok):
            yield f"{count} of {len(ok)} ok cases {words}"


def process_warnings(cases: Sequence[CaseResult]) -> Iterator[str]:
    """Yield a warning if no case was measured in a second process."""
    found = [one.latency.processes for one in cases if one.latency is not None]
    if found and max(found) == 1:
        yield (
            "only one process: what differs between processes is not in these figures"
            " (--processes 3 measures it)"
        )
