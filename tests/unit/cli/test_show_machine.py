"""The machine's part of ``show``, and how loud a failed self-test is."""

from __future__ import annotations

import io
import json

import pytest

from attnbench.cli.json_events import as_json
from attnbench.cli.run_stats import SuiteTitle
from attnbench.cli.run_view import LiveView, PlainView
from attnbench.execute.events import RunFinished, SelfTested
from attnbench.render.screen import screen
from attnbench.store import RunWriter

SPIN = {
    "name": "spin",
    "passed": True,
    "measured": "1000.8 us",
    "expected": "1000 us within 1%",
    "advice": None,
    "grave": False,
}
COPY = {
    "name": "copy",
    "passed": False,
    "measured": "5.3 GB/s",
    "expected": "8 GB/s or more",
    "advice": "another program uses this device",
    "grave": False,
}
BROKEN = {**SPIN, "passed": False, "measured": "900 us", "grave": True, "advice": "stop"}


def canaries(process, when, scale, **more):
    us = {"copy": 4000 * scale, "gemm": 640 * scale, "softmax": 310.0}
    return {"record": "canaries", "process": process, "when": when, "at": 1.0, "us": us, **more}


RECORDS = [
    {"record": "selftest", "at": 1.0, "tests": [SPIN, COPY]},
    canaries(0, "first", 1, warmup_s=1.4, flat=True),
    canaries(0, "last", 1.031, notes=["CLOCK_DRIFT"]),
    canaries(1, "first", 1, warmup_s=20.1, flat=False),
]


def with_records(path, records):
    with RunWriter.resume(path) as writer:
        for one in records:
            writer.record(one)
        writer.finish()


def test_timing_shows_the_self_test_and_each_process_s_canaries(attnbench, run_file, golden):
    with_records(run_file, RECORDS)
    shown = attnbench("show", run_file, "--timing")

    golden("show_machine", shown.out[shown.out.index("self-test") :])


def test_timing_as_json_has_the_machine_beside_the_cases(attnbench, run_file):
    with_records(run_file, RECORDS)
    facts = json.loads(attnbench("show", run_file, "--timing", "--json").out)

    assert facts["machine"][0]["selftest"] == [SPIN, COPY]
    assert facts["machine"][0]["processes"][0]["changes"]["gemm"] == pytest.approx(0.031)
    assert facts["cases"] == json.loads(attnbench("show", run_file, "--json").out)


def test_a_run_from_before_has_no_such_part(attnbench, run_file):
    shown = attnbench("show", run_file, "--timing")

    assert shown.code == 0
    assert "self-test" not in shown.out
    assert json.loads(attnbench("show", run_file, "--timing", "--json").out)["machine"] == []


def test_a_wrong_clock_is_said_wherever_the_run_is_shown(attnbench, run_file):
    with_records(run_file, [{"record": "selftest", "at": 1.0, "tests": [BROKEN]}])

    assert "SELF-TEST FAILED   spin: 900 us" in attnbench("show", run_file).out


@pytest.mark.parametrize("view", [PlainView, LiveView])
def test_a_wrong_clock_is_said_when_it_is_found_and_again_at_the_end(view, tmp_path):
    stream = io.StringIO()
    shown = SuiteTitle(name="tiny", about="", repro="tiny", version="1")
    found = SelfTested(tests=(BROKEN, COPY))
    with view(screen(stream, {}), shown) as listener:
        listener(found)
        listener(
            RunFinished(
                run_name="r",
                out=tmp_path / "r.parquet",
                counts={"ok": 1},
                seconds=1.0,
                rows=1,
                distrust=found.grave,
            )
        )
    said = stream.getvalue()

    assert said.count("SELF-TEST FAILED   spin: 900 us, expected 1000 us within 1%") == 2
    assert said.count("do not trust the figures of this run") == 2
    assert "copy" not in said  # a busy machine is in the file, not on the screen


def test_a_program_hears_of_every_test():
    event = as_json(SelfTested(tests=(SPIN, BROKEN)), "tiny")

    assert event["event"] == "self_tested"
    assert json.loads(json.dumps(event))["tests"] == [SPIN, BROKEN]
