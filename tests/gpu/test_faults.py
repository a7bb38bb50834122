"""What breaks a device costs its case alone: memory that runs out, an illegal address, a hang."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.gpu(rehearsable=True), pytest.mark.torch]

# Far beyond the limits below, and yet an end, should a driver not get rid of the kernel.
ENDLESS_NS = 90_000_000_000
SHORT = "processes: 1, warmup_s: 0.02, sample_s: 0.05"
PATIENT = f"{{{SHORT}, compile_s: 60}}"
HASTY = f"{{{SHORT}, compile_s: 12, deadline_s: 12, case_limit_s: 120}}"


def statuses(frame, backend):
    return set(frame[frame["backend"] == backend]["status"])


def test_an_illegal_address_costs_its_case_and_no_other(place):
    frame = place.measured("ILLEGAL:\nsdpa:", measure=PATIENT)

    assert statuses(frame, "illegal") <= {"crashed", "failed"}
    assert statuses(frame, "sdpa") == {"ok"}
    reasons = frame[frame["backend"] == "illegal"]["reason"]
    word = "SIGSEGV" if place.is_rehearsal else "illegal memory access"
    assert reasons.str.contains(word).all(), reasons.tolist()


def test_a_kernel_that_does_not_end_is_a_timeout_and_the_run_goes_on(place):
    frame = place.measured(f"BUSY: {{options: {{ns: [{ENDLESS_NS}]}}}}\nsdpa:", measure=HASTY)

    assert statuses(frame, "busy") == {"timeout"}
    assert statuses(frame, "sdpa") == {"ok"}


def test_memory_that_runs_out_is_oom_and_comes_back(place):
    frame = place.measured("HUNGRY:\nsdpa:", sweep="{kv_len: [256, 1k]}", measure=PATIENT)

    ended = {row["kv_len"]: row["status"] for _, row in by_backend(frame, "hungry").iterrows()}
    assert ended == {256: "ok", 1024: "oom"}
    assert statuses(frame, "sdpa") == {"ok"}
    (reason,) = frame[frame["status"] == "oom"]["reason"]
    assert "memory" in reason.lower()


def by_backend(frame, name):
    return frame[frame["backend"] == name]
