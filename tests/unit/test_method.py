from __future__ import annotations

import json
from dataclasses import replace

import pytest

from attnbench.cost import compute_cost
from attnbench.environment import Device
from attnbench.method import (
    BATCHED_BYTES,
    BATCHED_FLOPS,
    MOST_COPIES,
    Measure,
    Method,
    copies_for,
    read_bytes,
    rotation_fits,
    timer_for,
)
from attnbench.problem import Problem

H200 = Device(
    kind="cuda",
    name="NVIDIA H200",
    arch="sm_90",
    memory_bytes=141 * 10**9,
    free_bytes=139 * 10**9,
    llc_bytes=60 * 10**6,
)
CPU = Device(kind="cpu", name="any", arch="x86_64", memory_bytes=10**10, free_bytes=10**9)
PROBLEM = Problem(q_len=1, kv_len=4096, q_heads=32, head_dim=128, dtype="bf16")


# Rows of different method ids are never compared: a change here is a new method.
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (Method(timer="wall", l2="warm"), "5dc79130d26f"),
        (Method(timer="event", l2="cold", flush="read"), "46a92cb232ac"),
        (Method(timer="event_batched", l2="cold", flush="rotate"), "dcec8f5e0336"),
        (Method(timer="event_batched", l2="warm"), "2a1cbdac6932"),
        (Method(timer="graph", l2="cold", flush="rotate"), "8df59be9f730"),
        (Method(timer="profiler", l2="cold", flush="read"), "19cab2400d02"),
    ],
)
def test_ids_never_change(method, expected):
    assert method.id == expected


@pytest.mark.parametrize(
    "given", [{"timer": "wall"}, {"l2": "warm"}, {"flush": None}, {"warmup_s": 0.2}]
)
def test_every_rule_of_timing_is_in_the_id(given):
    method = Method(timer="event", l2="cold", flush="read")

    assert replace(method, **given).id != method.id


def test_a_whole_number_of_seconds_is_one_method_however_it_is_written():
    assert (
        Method(timer="wall", l2="warm", warmup_s=1).id
        == Method(timer="wall", l2="warm", warmup_s=1.0).id
    )


@pytest.mark.parametrize(
    ("given", "timer"),
    [
        ({}, "event_batched"),
        ({"batch": 6}, "event"),  # 403 MB
        ({"batch": 5}, "event_batched"),  # 336 MB
        ({"q_len": 4096, "mask": "causal"}, "event"),  # 137 GFLOP
        ({"q_len": 2048, "kv_len": 2048, "mask": "causal"}, "event_batched"),  # 34 GFLOP
        ({"q_len": 2048, "kv_len": 2048, "mask": "causal", "mode": "fwd_bwd"}, "event"),
        ({"batch": 64, "mask": "window", "window": 128}, "event_batched"),  # reads little
    ],
)
def test_auto_is_reported_by_the_problem_alone(given, timer):
    problem = (
        replace(PROBLEM, kv_heads=8, **given) if "q_len" in given else replace(PROBLEM, **given)
    )

    assert timer_for(problem, "cuda") == timer
    assert timer_for(problem, "cpu") == "wall"
    small = (
        compute_cost(problem).min_bytes < BATCHED_BYTES
        and compute_cost(problem).flops < BATCHED_FLOPS
    )
    assert small == (timer == "event_batched")


@pytest.mark.parametrize(
    ("problem", "device", "expected"),
    [
        (PROBLEM, CPU, Method(timer="wall", l2="warm")),
        (PROBLEM, H200, Method(timer="event_batched", l2="cold", flush="rotate")),
        (replace(PROBLEM, batch=64), H200, Method(timer="event", l2="cold", flush="read")),
    ],
)
def test_auto_is_reported_by_the_device_and_the_problem(problem, device, expected):
    assert Measure().methods(problem, device) == (expected,)


def test_copies_displace_the_cache_five_times_over():
    copies = copies_for(PROBLEM, 60 * 10**6)

    assert read_bytes(PROBLEM) == 2 * 4096 * 32 * 128 * 2 + 32 * 128 * 2  # k, v and q
    assert (copies - 1) * read_bytes(PROBLEM) < 5 * 60e6 <= copies * read_bytes(PROBLEM)
    assert copies_for(replace(PROBLEM, batch=64), 60 * 10**6) == 1


def test_what_a_window_does_not_read_displaces_nothing():
    window = replace(PROBLEM, mask="window", window=128)

    assert copies_for(window, 60 * 10**6) > 20 * copies_for(PROBLEM, 60 * 10**6)


def test_a_backward_reads_what_its_forward_reads_and_what_it_writes_counts_nothing():
    problem = Problem(q_len=64, q_heads=2, head_dim=32, dtype="bf16")

    assert read_bytes(replace(problem, mode="bwd")) == read_bytes(problem)


@pytest.mark.parametrize(
    ("problem", "device"),
    [
        (replace(PROBLEM, kv_len=8, q_heads=1, kv_heads=1), H200),  # too many
        (PROBLEM, replace(H200, memory_bytes=10**9)),  # too little memory
        (replace(PROBLEM, batch=8, kv_len=2**17, mask="window", window=64), H200),
    ],
)
def test_copies_that_find_no_room_make_the_method_a_warm_one(problem, device):
    measure = Measure(timers=("graph",), l2_states=("cold", "warm"))

    assert not rotation_fits(problem, device)
    assert measure.methods(problem, device) == (Method(timer="graph", l2="warm"),)
    assert rotation_fits(PROBLEM, H200)
    assert copies_for(PROBLEM, H200.llc_bytes) < MOST_COPIES


def test_a_method_is_read_as_what_it_was_in_the_end():
    cold = Method(timer="graph", l2="cold", flush="rotate")

    assert cold.read_as("cold") is cold.read_as(None) is cold
    assert cold.read_as("warm") == Method(timer="graph", l2="warm")


def test_lists_multiply_and_what_is_the_same_twice_is_measured_once():
    measure = Measure(timers=("auto", "wall"), l2_states=("cold", "warm", "auto"))

    assert measure.methods(PROBLEM, CPU) == (
        Method(timer="wall", l2="cold", flush="read"),
        Method(timer="wall", l2="warm"),
    )


def test_how_much_is_measured_is_in_no_method():
    few = Measure(processes=1, sample_s=0.1, max_noise=0.1, case_limit_s=1, compile_s=1)

    assert few.methods(PROBLEM, H200) == Measure().methods(PROBLEM, H200)


def test_warm_up_is_in_the_method():
    (method,) = Measure(warmup_s=0.5).methods(PROBLEM, CPU)

    assert method.warmup_s == 0.5


def test_the_deadline_follows_the_case_limit_unless_it_is_given():
    assert Measure().deadline == 30
    assert Measure(case_limit_s=60).deadline == 250
    assert Measure(deadline_s=7).deadline == 7
    assert Measure(energy_s=2).deadline == 34


def test_the_defaults_are_those_of_the_design():
    assert Measure().to_dict() == {
        "processes": 3,
        "warmup_s": 0.1,
        "sample_s": 0.3,
        "max_noise": 0.01,
        "energy_s": 0.0,
        "case_limit_s": 5.0,
        "compile_s": 120.0,
        "deadline_s": None,
        "timers": ("auto",),
        "l2_states": ("auto",),
        "flush": "read",
    }


def test_facts_survive_json():
    measure = Measure(processes=5, timers=("wall", "event"), deadline_s=3.5)

    assert Measure.from_dict(json.loads(json.dumps(measure.to_dict()))) == measure
