"""The recorder: what counts as done, what a case's status is, who is fastest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attnbench.case import Case
from attnbench.environment import Device, Environment
from attnbench.execute.recorder import RunRecorder
from attnbench.execute.rows import RunIdentity
from attnbench.measurement import Measurement
from attnbench.method import Method
from attnbench.planning.plan import Plan, PlannedCase
from attnbench.problem import Problem
from attnbench.store.writer import RunWriter

DEVICE = Device(kind="cpu", name="c", arch="x86_64", memory_bytes=1, free_bytes=1)
IDENTITY = RunIdentity(
    attnbench_version="0",
    run_id="r",
    run_name="r",
    suite="s",
    suite_sha256="0",
    suite_tags=(),
    run_args="{}",
    repro="attnbench run s",
    environment=Environment(device=DEVICE, host="h", python="3.11"),
)
METHOD = Method(timer="wall", l2="warm")


def planned(kv_len=16, backend="naive", status="run", reason=None):
    problem = Problem(q_len=1, kv_len=kv_len, q_heads=2, head_dim=16, dtype="fp32")
    return PlannedCase(
        case=Case(problem=problem, backend=backend),
        method=METHOD,
        status=status,
        reason=reason,
        predicted_bytes=100 * kv_len,
        predicted_s=0.1,
    )


def ok(one, process, latency_us=5.0):
    samples = (latency_us,) * 3
    return Measurement(
        case=one.case, status="ok", process=process, check="passed", samples_us=samples
    )


def not_ok(one, status, process):
    return Measurement(case=one.case, status=status, process=process, reason="because")


@pytest.fixture
def open_recorder(tmp_path):
    writers = []

    def open_one(*, resume=False, redo="none"):
        for writer in writers:
            writer.close()
        path = tmp_path / "run.parquet"
        header = {"suite_sha256": "0", "device_id": "0", "method": {}}
        writers.append(RunWriter.resume(path) if resume else RunWriter.create(path, header))
        return RunRecorder(writers[-1], IDENTITY, redo)

    yield open_one
    for writer in writers:
        writer.close()


def test_the_worst_row_is_the_cases_status(open_recorder):
    recorder, one, other = open_recorder(), planned(), planned(32)
    recorder.record(ok(one, 0), one)
    recorder.record(not_ok(one, "incorrect", 1), one)
    recorder.record(ok(other, 0), other)
    assert recorder.counts() == {"incorrect": 1, "ok": 1}


def test_what_ended_is_not_tried_again_in_later_processes(open_recorder):
    recorder, one = open_recorder(), planned()
    assert not recorder.covers(one, 0)
    recorder.record(not_ok(one, "failed", 0), one)
    assert recorder.covers(one, 1)


def test_the_plan_is_written_once(open_recorder):
    recorder = open_recorder()
    plan = Plan(
        device=DEVICE,
        planned=(planned(), planned(32, status="skipped", reason="too large")),
        processes=3,
    )
    recorder.write_plan(plan)
    assert recorder.rows == 1
    assert recorder.counts() == {"skipped": 1}
    recorder.write_plan(plan)
    assert recorder.rows == 1
    again = open_recorder(resume=True)
    again.write_plan(plan)
    assert again.rows == 1


def test_a_resumed_recorder_knows_what_was_measured(open_recorder):
    recorder, one, other = open_recorder(), planned(), planned(32)
    recorder.record(ok(one, 0), one)
    recorder.record(not_ok(other, "crashed", 0), other)
    again = open_recorder(resume=True)
    assert again.covers(one, 0)
    assert not again.covers(one, 1)
    assert again.covers(other, 1)
    assert again.counts() == {"ok": 1, "crashed": 1}
    assert not open_recorder(resume=True, redo="failed").covers(other, 0)
    assert not open_recorder(resume=True, redo="all").covers(one, 0)


def test_the_smallest_case_that_ran_out_rules_out_what_is_no_smaller(open_recorder):
    recorder = open_recorder()
    small, middle, large = planned(16), planned(64), planned(256)
    recorder.record(not_ok(large, "oom", 0), large)
    assert recorder.larger_than_oom(middle) is None
    recorder.record(not_ok(middle, "oom", 0), middle)
    assert recorder.larger_than_oom(large) == middle
    assert recorder.larger_than_oom(small) is None
    assert recorder.larger_than_oom(planned(256, backend="sdpa")) is None


def test_backends_are_ranked_where_all_finished(open_recorder):
    recorder = open_recorder()
    for kv_len, naive_us, sdpa_us in ((16, 10.0, 5.0), (32, 10.0, 20.0), (64, 40.0, None)):
        recorder.record(ok(planned(kv_len), 0, naive_us), planned(kv_len))
        if sdpa_us is not None:
            one = planned(kv_len, "sdpa")
            recorder.record(ok(one, 0, sdpa_us), one)
    ranked = recorder.fastest()
    assert {(one.label, one.n, one.wins) for one in ranked} == {("naive", 2, 1), ("sdpa", 2, 1)}
    assert [one.ratio for one in ranked] == pytest.approx([1.0, 1.0])


def test_rows_are_numbered_in_order(open_recorder, tmp_path):
    recorder, one = open_recorder(), planned()
    for process in range(3):
        recorder.record(ok(one, process), one)
    assert recorder.finish() == 3
    import attnbench

    frame = attnbench.load(tmp_path / "run.parquet")
    assert list(frame["seq"]) == [0, 1, 2]
    assert list(frame["process"]) == [0, 1, 2]


def test_a_case_whose_rotation_found_no_room_has_been_tried(open_recorder):
    recorder = open_recorder()
    one = replace(planned(), method=Method(timer="graph", l2="cold", flush="rotate"))
    recorder.record(replace(ok(one, 0), timer="graph", l2="warm"), one)
    assert recorder.is_known(one)
    assert recorder.counts() == {"ok": 1}


@pytest.mark.parametrize("status", ["ok", "oom"])
def test_a_resumed_recorder_knows_a_case_whose_rotation_found_no_room(open_recorder, status):
    one = replace(planned(), method=Method(timer="graph", l2="cold", flush="rotate"))
    plan = Plan(device=DEVICE, planned=(one,), processes=2)
    first = open_recorder()
    first.write_plan(plan)
    found = ok(one, 0) if status == "ok" else not_ok(one, status, 0)
    first.record(replace(found, timer="graph", l2="warm"), one)

    again = open_recorder(resume=True)
    again.write_plan(plan)

    assert again.covers(one, 0)
    assert again.covers(one, 1) == (status != "ok")
    assert again.is_known(one)
    redone = open_recorder(resume=True, redo="failed")
    redone.write_plan(plan)
    assert redone.covers(one, 0) == (status == "ok")


def test_a_case_that_is_planned_warm_as_well_is_not_taken_for_the_cold_one(open_recorder):
    cold = replace(planned(), method=Method(timer="graph", l2="cold", flush="rotate"))
    warm = replace(cold, method=cold.method.read_as("warm"))
    plan = Plan(device=DEVICE, planned=(cold, warm), processes=1)
    first = open_recorder()
    first.write_plan(plan)
    first.record(replace(ok(warm, 0), timer="graph", l2="warm"), warm)

    again = open_recorder(resume=True)
    again.write_plan(plan)

    assert again.covers(warm, 0)
    assert not again.covers(cold, 0)
    assert not again.is_known(cold)


def test_a_timer_that_cannot_read_a_case_takes_nothing_from_another(open_recorder):
    recorder, one = open_recorder(), planned()
    other = replace(one, method=Method(timer="graph", l2="warm"))
    recorder.record(ok(one, 0), one)
    recorder.record(not_ok(other, "unsupported", 0), other)
    assert recorder.counts() == {"ok": 1, "unsupported": 1}
