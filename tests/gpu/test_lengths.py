"""Calls whose length is known by the device's own clock, read by every timer of a run.

A program waits until ``%globaltimer`` has moved on by L nanoseconds. What the call takes beside the
wait, and the ticks of that clock, fall out of the difference between a wait of 2 L and one of L.
"""

from __future__ import annotations

import json

import pytest

pytestmark = [pytest.mark.gpu(rehearsable=True), pytest.mark.torch]

LENGTHS_NS = (50_000, 500_000, 5_000_000)
TIMERS = ("event", "event_batched", "graph", "profiler", "wall")
# A rehearsal waits on a host that others use: it proves the reading, not the timer.
REHEARSED_NS, REHEARSED_TIMERS = (100_000_000,), ("wall",)
ERROR, REHEARSED_ERROR = 0.01, 0.5
PATIENT = "processes: 1, warmup_s: 0.05, sample_s: 0.2, case_limit_s: 60"


@pytest.fixture(scope="module")
def frame(make_place):
    """All waits under all timers, in one run."""
    place = make_place()
    waits = [n * length for length in lengths_on(place) for n in (1, 2)]
    timers = REHEARSED_TIMERS if place.is_rehearsal else TIMERS
    return place.measured(
        f"BUSY: {{options: {{ns: {waits}}}}}",
        measure=f"{{{PATIENT}, timer: [{', '.join(timers)}]}}",
    )


def lengths_on(place):
    return REHEARSED_NS if place.is_rehearsal else LENGTHS_NS


@pytest.mark.parametrize("timer", TIMERS)
def test_a_call_of_known_length_is_read_within_one_per_cent(place, frame, timer):
    if place.is_rehearsal and timer not in REHEARSED_TIMERS:
        pytest.skip("a CPU has the host's clock alone")
    rows = frame[frame["timer"] == timer]
    if len(rows) and set(rows["status"]) == {"unsupported"}:
        pytest.skip(rows["reason"].iloc[0])

    assert set(rows["status"]) == {"ok"}, rows["reason"].tolist()
    read_s = {json.loads(row["backend_options"])["ns"]: row["latency_us"] / 1e6 for row in of(rows)}
    error = REHEARSED_ERROR if place.is_rehearsal else ERROR
    for length in lengths_on(place):
        assert read_s[2 * length] - read_s[length] == pytest.approx(length / 1e9, rel=error)


def of(frame):
    return [row for _, row in frame.iterrows()]
