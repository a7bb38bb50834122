"""Calls whose length is known by the device's own clock, read by every timer of a run.

A program waits until ``%globaltimer`` has moved on by L nanoseconds. What the call takes beside the
wait, and the ticks of that clock, fall out of the difference between a wait of 2 L and one of L.
"""

from __future__ import annotations

import json

import pytest

pytestmark = [pytest.mark.gpu(rehearsable=True), pytest.mark.torch]

LENGTHS_NS = (50_000, 500_000, 5_000_000, 50_000_000)
# A rehearsal waits on a host that others use: it proves the reading, not the timer.
REHEARSED, REHEARSED_ERROR, ERROR = (100_000_000,), 0.5, 0.01


@pytest.mark.parametrize("timer", ["event", "event_batched", "graph", "profiler", "wall"])
def test_a_call_of_known_length_is_read_within_one_per_cent(place, timer):
    lengths = REHEARSED if place.is_rehearsal else LENGTHS_NS
    if place.is_rehearsal and timer != "wall":
        pytest.skip("a CPU has the host's clock alone")
    waits = sorted({one for length in lengths for one in (length, 2 * length)})
    frame = place.measured(
        f"BUSY: {{options: {{ns: {waits}}}}}",
        measure=f"{{launches: 1, warmup_s: 0.1, sample_s: 0.5, timer: {timer}}}",
    )
    unsupported = frame[frame["status"] == "unsupported"]
    if len(unsupported) == len(frame):
        pytest.skip(unsupported["reason"].iloc[0])

    assert set(frame["status"]) == {"ok"}, frame["reason"].tolist()
    read_s = dict(zip(waits, _in_order(frame), strict=True))
    error = REHEARSED_ERROR if place.is_rehearsal else ERROR
    for length in lengths:
        assert read_s[2 * length] - read_s[length] == pytest.approx(length / 1e9, rel=error)


def _in_order(frame):
    """The latencies in seconds, by the length that the option names."""
    by_length = {
        json.loads(row["backend_options"])["ns"]: row["latency_us"] / 1e6
        for _, row in frame.iterrows()
    }
    return [by_length[one] for one in sorted(by_length)]
