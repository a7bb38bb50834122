"""triton_block_sparse in the interpreter, on small odd shapes; and its lists against the pairs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.backends import triton_block_sparse
from attnbench.environment import Device
from attnbench.kernels.tile_table import block_sparse_tile
from attnbench.problem import Problem
from attnbench.problem.pairs import alignment_offset, kept_blocks

pytestmark = pytest.mark.torch
BACKEND = "triton_block_sparse"
SPARSE = {"attention": "block_sparse", "density": 0.4, "block": 32}
HOPPER = Device(kind="cuda", name="H200", arch="sm_90", memory_bytes=1, free_bytes=1)


def sparse(**fields):
    heads = {"q_heads": 4, "kv_heads": 2, "head_dim": 64, "dtype": "bf16"}
    return Problem(**{**heads, **SPARSE, **fields})


def test_under_each_mask_over_lengths_that_end_inside_a_block(assert_all_right):
    masks = [{}, {"mask": "causal"}, {"mask": "causal", "mask_align": "top_left"}]
    masks += [{"mask": "window", "window": 40}]
    lengths = [(70, 70), (33, 90), (70, 33)]
    cases = [{**SPARSE, "q_len": q, "kv_len": kv, **mask} for mask in masks for q, kv in lengths]

    assert_all_right(BACKEND, cases)


def test_blocks_of_each_size_and_both_patterns(assert_all_right):
    patterns = ("random", "local_global")
    cases = [
        {**SPARSE, "q_len": 70, "mask": "causal", "block": block, "pattern": pattern}
        for block, pattern in zip((16, 48, 128), (*patterns, "random"), strict=True)
    ]

    assert_all_right(BACKEND, cases)


def test_widths_dtypes_and_groups(assert_all_right):
    different = [{"head_dim": 96}, {"head_dim": 192, "v_head_dim": 128, "dtype": "fp16"}]
    different += [{"q_heads": 3, "kv_heads": 3, "batch": 2}, {"q_len": 1, "kv_len": 90}]

    base = {**SPARSE, "q_len": 40, "mask": "causal"}
    assert_all_right(BACKEND, [{**base, **one} for one in different])


@settings(max_examples=60)
@given(
    q_len=st.integers(1, 90),
    kv_len=st.integers(1, 90),
    block=st.sampled_from([16, 32]),
    mask=st.sampled_from([{}, {"mask": "causal"}, {"mask": "window", "window": 20}]),
    align=st.sampled_from(["bottom_right", "top_left"]),
)
def test_what_is_listed_as_whole_is_seen_whole_and_nothing_kept_is_lost(
    q_len, kv_len, block, mask, align
):
    problem = sparse(q_len=q_len, kv_len=kv_len, block=block, mask_align=align, **mask)
    _, request = problem.request_groups[0]
    offset = alignment_offset(problem, request)
    whole, edge = triton_block_sparse.block_lists(problem)

    for row, columns in kept_blocks(problem, request):
        of_row = [found[starts[row] : starts[row + 1]] for starts, found in (whole, edge)]
        assert sorted(of_row[0] + of_row[1]) == list(columns)
        rows = range(row * block, min((row + 1) * block, q_len))
        for column in of_row[0]:
            keys = range(column * block, (column + 1) * block)
            assert keys[-1] < kv_len
            if problem.mask != "none":
                assert keys[-1] <= rows[0] + offset
            if problem.window is not None:
                assert keys[0] > rows[-1] + offset - problem.window


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"block": 100}, "block 100 is not a multiple of 16"),
        ({"v_head_dim": 80}, "v_head_dim 80 is not one of 64, 96, 128, 192, 256"),
        ({}, None),
    ],
)
def test_what_it_cannot_do_is_said_in_words(fields, words):
    assert triton_block_sparse.why_not(sparse(q_len=64, **fields), HOPPER) == words


@pytest.mark.parametrize("block", [16, 48, 64, 80, 128, 256])
@pytest.mark.parametrize("arch", [80, 86, 90, 100])
def test_no_tile_crosses_a_block(arch, block):
    tile = block_sparse_tile(arch, sparse(q_len=256, block=block))

    assert block % tile.block_m == 0
    assert block % tile.block_n == 0
    assert 16 * tile.warps <= max(tile.block_m, 128)
