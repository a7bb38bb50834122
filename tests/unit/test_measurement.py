from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.case import Case
from attnbench.measurement import BAD_STATUSES, NOTES, STATUSES, Measurement, worst
from attnbench.problem import Problem

CASE = Case(problem=Problem(q_len=8, q_heads=2, head_dim=64, dtype="fp32"), backend="naive")


def ok(**given):
    defaults = {"process": 0, "samples_us": (10.0, 11.5), "check": "passed"}
    return Measurement(case=CASE, status="ok", **{**defaults, **given})


def test_ok_has_samples_a_passed_check_and_no_reason():
    assert ok().samples_us == (10.0, 11.5)


@pytest.mark.parametrize("status", STATUSES[1:])
def test_any_other_status_has_a_reason_and_no_samples(status):
    measurement = Measurement(case=CASE, status=status, reason="because")

    assert (measurement.samples_us, measurement.process) == ((), None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"status": "fine"}, "status 'fine' is not one of ok, skipped, unsupported"),
        ({"status": "ok", "check": "passed"}, "ok with 0 samples"),
        ({"status": "failed", "reason": "no", "samples_us": (1.0,)}, "failed with 1 samples"),
        ({"status": "oom"}, "oom with reason None"),
        ({"status": "oom", "reason": ""}, "oom with reason ''"),
        (
            {"status": "ok", "samples_us": (1.0,), "check": "passed", "reason": "why"},
            "ok with reason 'why'",
        ),
        ({"status": "ok", "samples_us": (1.0,)}, "ok without a passed check"),
        ({"status": "ok", "samples_us": (1.0,), "check": "failed"}, "ok without a passed check"),
        (
            {"status": "oom", "reason": "x", "notes": ("NOISY", "LOUD")},
            r"notes \['LOUD'\] are not in the closed list",
        ),
    ],
)
def test_a_number_that_is_not_true_cannot_be_made(given, message):
    with pytest.raises(ValueError, match=message):
        Measurement(case=CASE, **given)


def test_notes_are_added_once_and_in_order():
    noted = ok(notes=("NOISY",)).with_notes("THROTTLED", "NOISY", "RESUMED")

    assert noted.notes == ("NOISY", "THROTTLED", "RESUMED")


def test_an_unknown_note_cannot_be_added():
    with pytest.raises(ValueError, match="closed list"):
        ok().with_notes("LOUD")


microseconds = st.floats(0.1, 1e9)
measurements = st.one_of(
    st.builds(
        ok,
        samples_us=st.lists(microseconds, min_size=1, max_size=20).map(tuple),
        notes=st.lists(st.sampled_from(NOTES), unique=True).map(tuple),
        kernels=st.none() | st.lists(st.text(max_size=9), max_size=3).map(tuple),
        process=st.integers(0, 9),
        peak_bytes=st.none() | st.integers(0, 2**50),
        deterministic=st.none() | st.booleans(),
        error_rel=st.none() | st.floats(0, 1),
        timer=st.sampled_from(["wall", "event"]),
        first_call_us=st.none() | microseconds,
    ),
    st.builds(
        Measurement,
        case=st.just(CASE),
        status=st.sampled_from(STATUSES[1:]),
        reason=st.text(min_size=1, max_size=20),
        process=st.none() | st.integers(0, 9),
    ),
)


@given(measurements)
def test_facts_survive_json(measurement):
    facts = json.loads(json.dumps(measurement.to_dict()))

    assert Measurement.from_dict(CASE, facts) == measurement
    assert "case" not in facts
    assert None not in facts.values()


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["ok"], "ok"),
        (["ok", "ok", "oom"], "oom"),
        (["crashed", "ok", "timeout"], "crashed"),
        (["incorrect", "failed"], "failed"),
        (["ok", "skipped"], "skipped"),
    ],
)
def test_a_case_is_as_good_as_its_worst_row(statuses, expected):
    assert worst(statuses) == expected
    assert worst(iter(statuses)) == expected


def test_the_bad_statuses_are_the_end_of_the_list_from_timeout():
    assert STATUSES[STATUSES.index("timeout") :] == BAD_STATUSES
