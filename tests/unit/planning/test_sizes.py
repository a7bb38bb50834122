from __future__ import annotations

import subprocess
import sys

import pytest

from attnbench.planning import sizes
from attnbench.problem import Problem


def problem_of(**fields):
    return Problem(**{"q_heads": 4, "kv_heads": 2, "head_dim": 8, "dtype": "bf16", **fields})


def test_sizes_are_known_without_torch():
    program = "import attnbench.planning.sizes, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_output_bytes():
    assert sizes.predict_output_bytes(problem_of(q_len=5)) == 4 * 5 * 8 * 2
    gradients = 2 * 5 * (4 * 8 + 2 * 8 + 2 * 8)
    assert sizes.predict_output_bytes(problem_of(q_len=5, mode="bwd")) == 320 + gradients


def test_the_unused_page_is_counted():
    problem = problem_of(batch=3, q_len=1, kv_len=9, kv_layout="paged", page_size=4)
    assert sizes.count_pages(problem) == 10
    assert sizes.count_slots(problem) == 40


def test_a_large_problem_is_sampled():
    assert not sizes.is_sampled(problem_of(q_len=8192))
    assert sizes.is_sampled(problem_of(q_len=8193))


def test_a_sampled_reference_takes_far_less_than_a_whole_one():
    whole = sizes.reference_cost(problem_of(q_len=8192))
    sampled = sizes.reference_cost(problem_of(q_len=16384))
    assert sampled.flops < whole.flops / 10
    assert sampled.kept_bytes < whole.kept_bytes / 10


def test_sampled_gradients_of_keys_cost_one_head():
    sampled = sizes.reference_cost(problem_of(q_len=16384, batch=64, mode="bwd"))
    one_head = sizes.reference_cost(problem_of(q_len=16384, q_heads=2, kv_heads=1, mode="bwd"))
    assert sampled.flops == one_head.flops


def test_seconds_are_arithmetic_and_traffic():
    cost = sizes.ReferenceCost(flops=100, moved_bytes=50, workspace_bytes=1, kept_bytes=1)
    assert cost.seconds(fp64_flops=10, bandwidth=5) == pytest.approx(20)


def test_keys_move_up_where_rows_would_stand_before_the_first():
    request = problem_of(q_len=9, kv_len=4).request_groups[0][1]
    assert sizes.rope_starts(problem_of(q_len=9, kv_len=4, mask="causal"), request) == (0, 5)
    aligned = problem_of(q_len=9, kv_len=4, mask="causal", mask_align="top_left")
    assert sizes.rope_starts(aligned, request) == (0, 0)


def test_the_workspace_of_a_reference_is_bounded():
    small, large = problem_of(q_len=4096), problem_of(q_len=8192, batch=1)
    limit = 9 * 8 * sizes.CHUNK_SCORES + 8 * sizes.CHUNK_SCORES
    assert sizes.reference_cost(small).workspace_bytes <= limit
    assert sizes.reference_cost(large).workspace_bytes <= limit
