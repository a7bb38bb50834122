"""Pairs and used keys against enumeration, and against what other benchmarks count instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.problem import Problem
from attnbench.problem.batch import Request
from attnbench.problem.pairs import kept_blocks, len_of, request_pairs, used_keys

PAGE = Path(__file__).parents[3] / "docs" / "cost.md"
LENGTHS = st.integers(1, 14)


def problem(q_len, kv_len, **fields):
    return Problem(q_len=q_len, kv_len=kv_len, q_heads=1, head_dim=64, dtype="bf16", **fields)


def pairs(q_len, kv_len=None, **fields):
    kv_len = kv_len or q_len
    return request_pairs(problem(q_len, kv_len, **fields), Request(q_len, kv_len))


def sees(one, row, key):
    """The mask, said of one row and one key, straight from the words of the design."""
    if one.mask == "none":
        return True
    place = row + (one.kv_len - one.q_len if one.mask_align == "bottom_right" else 0)
    if key > place:
        return False
    return one.mask == "causal" or key > place - one.window or key < one.sinks


def seen_pairs(one):
    cells = ((row, key) for row in range(one.q_len) for key in range(one.kv_len))
    if one.attention != "block_sparse":
        return {cell for cell in cells if sees(one, *cell)}
    kept = dict(kept_blocks(one, Request(one.q_len, one.kv_len)))
    return {
        (row, key)
        for row, key in cells
        if key // one.block in kept[row // one.block] and sees(one, row, key)
    }


@st.composite
def masked(draw, **fields):
    mask = draw(st.sampled_from(["none", "causal", "window"]))
    align = draw(st.sampled_from(["bottom_right", "top_left"]))
    window = draw(st.integers(1, 16)) if mask == "window" else None
    if mask == "window" and "attention" not in fields:
        fields["sinks"] = draw(st.integers(0, 6))
    lengths = (draw(LENGTHS), draw(LENGTHS))
    return problem(*lengths, mask=mask, mask_align=align, window=window, **fields)


@st.composite
def block_sparse(draw):
    block, density = draw(st.integers(1, 6)), draw(st.floats(0.01, 1))
    pattern = draw(st.sampled_from(["random", "local_global"]))
    fields = {"block": block, "density": density, "pattern": pattern}
    return draw(masked(attention="block_sparse", seed=draw(st.integers(0, 9)), **fields))


any_problem = st.one_of(masked(), masked(attention="additive"), block_sparse())


@settings(max_examples=400)
@given(any_problem)
def test_pairs_are_those_that_the_mask_shows(one):
    assert request_pairs(one, Request(one.q_len, one.kv_len)) == len(seen_pairs(one))


@settings(max_examples=400)
@given(any_problem)
def test_used_keys_are_those_that_a_row_sees(one):
    ranges = used_keys(one, Request(one.q_len, one.kv_len))

    assert [key for part in ranges for key in part] == sorted({key for _, key in seen_pairs(one)})
    assert all(ranges)
    assert len_of(ranges) == len({key for _, key in seen_pairs(one)})


@given(block_sparse())
def test_kept_blocks_are_the_declared_share_of_those_that_the_mask_shows(one):
    block = one.block
    shown_pairs = {
        (row // block, key // block)
        for row in range(one.q_len)
        for key in range(one.kv_len)
        if sees(one, row, key)
    }
    kept = kept_blocks(one, Request(one.q_len, one.kv_len))

    assert [row for row, _ in kept] == list(range(-(-one.q_len // block)))
    for row, columns in kept:
        shown = {key for at, key in shown_pairs if at == row}
        assert set(columns) <= shown
        assert list(columns) == sorted(set(columns))
        assert len(columns) == (max(1, round(one.density * len(shown))) if shown else 0)


RANDOM_BLOCKS = ((0, (0,)), (1, (1,)), (2, (0, 2)), (3, (0, 3)), (4, (3, 4)))


def test_random_blocks_are_the_same_on_every_machine_for_ever():
    one = problem(640, 640, mask="causal", attention="block_sparse", density=0.5)

    assert kept_blocks(one, Request(640, 640)) == RANDOM_BLOCKS


def test_another_seed_keeps_other_blocks():
    first, other = (
        problem(4096, 4096, attention="block_sparse", density=0.25, seed=seed) for seed in (0, 1)
    )

    assert kept_blocks(first, Request(4096, 4096)) != kept_blocks(other, Request(4096, 4096))


def test_local_global_keeps_the_first_blocks_and_the_nearest_to_the_diagonal():
    fields = {"attention": "block_sparse", "block": 1, "density": 0.5, "pattern": "local_global"}

    causal = dict(kept_blocks(problem(8, 8, mask="causal", **fields), Request(8, 8)))
    full = dict(kept_blocks(problem(8, 8, **fields), Request(8, 8)))

    assert causal[7] == (0, 1, 6, 7)
    assert full[4] == (0, 1, 3, 4)
    assert full[0] == (0, 1, 2, 3)


def test_a_decode_row_of_block_sparse_attention_uses_no_more_keys_than_it_keeps():
    one = problem(1, 4096, attention="block_sparse", density=0.25)

    assert len_of(used_keys(one, Request(1, 4096))) == 1024


# What the others count, of one request with a bottom-right causal mask.
def half(q_len, kv_len):
    """Half of the rectangle: FlashAttention 2's script, TritonBench."""
    return q_len * kv_len / 2


def average(q_len, kv_len):
    """The mean of the first and the last row: FlashAttention 3 and 4."""
    return q_len * (max(0, kv_len - q_len) + kv_len) / 2


def without_diagonal(q_len, kv_len):
    """FlashInfer; it raises where q_len > kv_len."""
    return (2 * kv_len - q_len) * q_len / 2


def full_unless_square(q_len, kv_len):
    """The cuDNN frontend, inference."""
    return half(q_len, kv_len) if q_len == kv_len else q_len * kv_len


def by_cases(q_len, kv_len):
    """AITER: right."""
    if q_len > kv_len:
        return (kv_len * kv_len + kv_len) / 2
    return q_len * kv_len - (q_len * q_len - q_len) / 2


def off_by(count, exact):
    return 100 * (count / exact - 1)


CAUSAL = {
    # (q_len, kv_len): exact pairs, then by how many percent each of the others is off
    (128, 128): (8256, -0.78, -0.78, -0.78, -0.78),
    (2048, 2048): (2098176, -0.05, -0.05, -0.05, -0.05),
    (512, 4096): (1966336, -46.67, -0.01, -0.01, 6.65),
    (512, 131072): (66978048, -49.90, 0.00, 0.00, 0.20),
    (4, 4096): (16378, -49.98, -0.01, -0.01, 0.04),
    (1, 4096): (4096, -50.00, -0.01, -0.01, 0.00),
    (4096, 512): (131328, 698.44, 698.44, None, 1496.88),
}


@pytest.mark.parametrize(("lengths", "figures"), CAUSAL.items(), ids=str)
def test_causal_pairs_are_exact_where_half_a_rectangle_and_its_like_are_not(lengths, figures):
    exact, *errors = figures

    assert pairs(*lengths, mask="causal") == exact
    for count, error in zip(
        (half, average, without_diagonal, full_unless_square), errors, strict=True
    ):
        if error is not None:
            assert off_by(count(*lengths), exact) == pytest.approx(error, abs=0.006)
    assert by_cases(*lengths) == exact


def test_more_rows_than_keys_is_a_negative_count_in_flashinfers_formula():
    assert without_diagonal(4096, 512) < 0
    assert pairs(4096, 512, mask="causal") == pairs(512, mask="causal")


def test_top_left_causal_sees_only_the_first_keys_where_there_are_more_keys_than_rows():
    assert pairs(512, 4096, mask="causal", mask_align="top_left") == pairs(512, mask="causal")


WINDOWS = {
    # (S, W): exact pairs, then by how many percent: causal triangle, min(S, W)/2·S, S·W, 128-blocks
    (2048, 128): (254016, 726.0, -48.4, 3.2, 99.95),
    (8192, 1024): (7864832, 326.7, -46.7, 6.7, 12.5),
    (32768, 1024): (33030656, 1525.4, -49.2, 1.6, 12.5),
    (8192, 4096): (25167872, 33.3, -33.3, 33.3, 3.1),
}


@pytest.mark.parametrize(("shape", "figures"), WINDOWS.items(), ids=str)
def test_window_pairs_are_exact_where_the_others_are_not(shape, figures):
    length, window = shape
    exact, *errors = figures
    counts = window_counts(length, window)

    assert pairs(length, mask="window", window=window) == exact
    assert [off_by(count, exact) for count in counts] == pytest.approx(errors, abs=0.06)


def window_counts(length, window):
    return (
        pairs(length, mask="causal"),  # AITER (its issue 5662), TritonBench, FlashInfer
        min(length, window) / 2 * length,  # Megatron
        length * window,
        whole_blocks(length, window),  # FlexAttention's block sparsity
    )


def whole_blocks(length, window):
    mask = {"mask": "window", "window": window} if window else {"mask": "causal"}
    one = problem(length, length, attention="block_sparse", density=1, **mask)
    blocks = kept_blocks(one, Request(length, length))
    return 128 * 128 * sum(len(columns) for _, columns in blocks)


@pytest.mark.parametrize(("length", "error"), [(512, 24.8), (2048, 6.2), (8192, 1.55)])
def test_counting_whole_blocks_of_a_causal_mask_flatters_short_sequences(length, error):
    exact = pairs(length, mask="causal")

    assert off_by(whole_blocks(length, None), exact) == pytest.approx(error, abs=0.05)
    assert pairs(length, mask="causal", attention="block_sparse", density=1) == exact


def test_a_window_is_that_many_keys_with_the_row_itself():
    # FlashAttention's window_size=(W, 0) and attention-gym's q - k <= W are W + 1 keys.
    assert pairs(1, 4096, mask="window", window=128) == 128
    assert pairs(8192, mask="window", window=1024) == 1024 * 1025 // 2 + (8192 - 1024) * 1024


@pytest.mark.parametrize("q_len", [1, 4, 512])
def test_a_window_uses_its_keys_and_those_of_the_other_rows(q_len):
    one = problem(q_len, 4096, mask="window", window=128)

    # cuDNN frontend has W + q_len, one too many; FlashInfer has W whatever q_len is.
    assert len_of(used_keys(one, Request(q_len, 4096))) == 128 - 1 + q_len


def test_sinks_are_seen_beside_the_window_and_only_once():
    assert pairs(1, 4096, mask="window", window=128, sinks=4) == 132
    assert pairs(1, 64, mask="window", window=128, sinks=4) == 64
    one = problem(1, 4096, mask="window", window=128, sinks=4)
    assert used_keys(one, Request(1, 4096)) == (range(4), range(3968, 4096))


def test_a_window_of_everything_is_causal():
    assert pairs(300, 500, mask="window", window=500) == pairs(300, 500, mask="causal")


@pytest.mark.parametrize(("q_len", "kv_len"), [(131072, 131072), (1, 1 << 30), (1 << 30, 1 << 30)])
def test_long_sequences_are_counted_in_closed_form(q_len, kv_len):
    exact = q_len * (2 * kv_len - q_len + 1) // 2

    assert pairs(q_len, kv_len, mask="causal") == exact


def percent(count, exact, digits):
    return f"{off_by(count, exact):+.{digits}f} %"


def causal_row(q_len, kv_len):
    exact = pairs(q_len, kv_len, mask="causal")
    counts = [count(q_len, kv_len) for count in (half, average, full_unless_square)]
    errors = " | ".join(percent(count, exact, 2) for count in counts)
    return f"| {q_len} x {kv_len} | {exact} | {errors} |"


def window_row(length, window):
    exact = pairs(length, mask="window", window=window)
    counts = window_counts(length, window)
    errors = " | ".join(percent(count, exact, 1) for count in counts)
    return f"| {length} x {window} | {exact} | {errors} |"


def test_the_pages_figures_of_what_others_count_are_computed():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if re.match(r"\| \d+ x \d+ \|", line)]

    assert rows == [*(causal_row(*one) for one in CAUSAL), *(window_row(*one) for one in WINDOWS)]
