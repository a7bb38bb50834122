"""Others' figures stand beside ours, with their hardware."""

from __future__ import annotations

from types import SimpleNamespace

from attnbench.analysis.runs import published_lines

RUN = {
    "published": [
        {
            "where": "q_len=2k",
            "device": "NVIDIA H200",
            "backend": "cuDNN 9.19",
            "latency_us": 142,
            "tflops": 484,
        },
        {"where": "phase=decode", "device": "NVIDIA H100", "backend": "FlashMLA", "gbps": 3000},
        {"where": "q_len=64k", "device": "NVIDIA H200", "backend": "cuDNN 9.19", "tflops": 1},
    ]
}


def case(problem, **row):
    return SimpleNamespace(problem=problem, rows=({"case_label": problem, **row},))


def test_a_figure_is_quoted_once_for_each_problem_it_speaks_of():
    cases = [
        case("prefill q2k", q_len=2048, phase="prefill"),
        case("prefill q2k", q_len=2048, phase="prefill"),
        case("decode q1s4k", q_len=1, phase="decode"),
    ]
    assert list(published_lines(RUN, cases)) == [
        ("prefill q2k", "cuDNN 9.19", "142 µs, 484 TFLOP/s", "NVIDIA H200"),
        ("decode q1s4k", "FlashMLA", "3.00 TB/s", "NVIDIA H100"),
    ]


def test_a_run_that_quotes_nothing_shows_nothing():
    assert list(published_lines({}, [case("decode q1s4k", q_len=1)])) == []
