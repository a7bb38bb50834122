from __future__ import annotations

import pytest

from attnbench.case import Case
from attnbench.cli.rows import label_parts, layout, share_of_peak
from attnbench.measurement import Measurement
from attnbench.method import Method
from attnbench.problem import Problem
from attnbench.render.values import failure_text
from attnbench.stats.summary import summarize

WALL = Method(timer="wall", l2="warm")
GRAPH = Method(timer="graph", l2="cold", flush="read")


def case(backend="naive", **fields):
    base = {"q_len": 128, "q_heads": 8, "head_dim": 64, "dtype": "fp32"}
    return Case(problem=Problem(**{**base, **fields}), backend=backend)


def test_a_label_is_split_where_a_reader_compares():
    parts = label_parts(case(mask="causal", softcap=50.0), WALL)

    assert parts == (
        "prefill",
        "q128",
        "8/8x64",
        "fp32",
        "causal softcap=50",
        "wall warm",
        "naive",
    )


def test_what_all_cases_have_in_common_is_said_once():
    made = layout([(case(), WALL), (case(q_len=256), WALL)], 100)

    assert made.in_common == "prefill 8/8x64 fp32 wall warm"
    assert made.header.split() == ["lengths", "backend", "latency", "noise", "of", "peak"]


def test_two_timers_are_a_column():
    made = layout([(case(), WALL), (case(), GRAPH)], 100)

    assert "timer" in made.header


def test_a_narrow_terminal_crops_the_widest_part():
    long = case(
        mask="window", window=4096, sinks=4, softcap=50.0, kv_dtype="int8", kv_layout="paged"
    )
    made = layout([(case(), WALL), (long, WALL)], 80)
    wide = layout([(case(), WALL), (long, WALL)], None)

    assert len(made.header) <= 80 < len(wide.header)


def test_no_case_to_run_is_still_a_layout():
    assert layout([], 80).header.startswith("backend")


def measured(**facts):
    return Measurement(case=case(), status="ok", samples_us=(100.0,), check="passed", **facts)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, ""),
        ({"peak_bandwidth_gbps": 40.0}, "26% mem"),
        ({"peak_bandwidth_gbps": 40.0, "peak_tflops": 1.0}, "34% flop"),
        ({"peak_bandwidth_gbps": 40.0, "notes": ("L2_RESIDENT",)}, ""),
    ],
)
def test_the_nearer_limit_is_reported_and_none_where_none_is_known(facts, expected):
    assert share_of_peak(measured(**facts), summarize([100.0])) == expected


def test_a_failure_shows_the_first_line_of_why_and_that_there_is_more():
    assert failure_text("crashed", "x · naive", "signal 11\nstack") == (
        "crashed  x · naive: signal 11 …"
    )
