"""q and cached keys turned inside the call, in the interpreter, against the fp64 reference."""

from __future__ import annotations

import pytest

from attnbench.kernels.launch import rope_parts_of
from attnbench.problem import Problem

pytestmark = pytest.mark.torch
FLASH, DECODE = "triton_flash", "triton_decode"
KINDS = ("neox", "gptj")
FEW = {"q_heads": 2, "kv_heads": 1, "head_dim": 64}
# head_dim, rope_dim: in two parts, a part of the head, parts that no power of two fits.
WIDTHS = [(96, 96), (192, 192), (64, 32), (128, 40), (96, 68), (64, 2)]


def of_widths(rope, **base):
    return [
        {**FEW, "rope": rope, "head_dim": dim, "v_head_dim": 64, "rope_dim": rope_dim, **base}
        for dim, rope_dim in WIDTHS
    ]


@pytest.mark.parametrize("rope", KINDS)
class TestPrefill:
    def test_row_and_key_are_turned_by_the_place_that_the_mask_gives_them(
        self, assert_all_right, rope
    ):
        causal, top_left = {"mask": "causal"}, {"mask": "causal", "mask_align": "top_left"}
        places = [((33, 90), {}), ((90, 33), {}), ((33, 90), causal), ((90, 33), causal)]
        places += [((33, 90), top_left), ((90, 33), top_left)]
        cases = [
            {**FEW, "q_len": q, "kv_len": kv, "rope": rope, **mask} for (q, kv), mask in places
        ]

        assert_all_right(FLASH, cases)

    def test_together_with_windows_caps_biases_and_sinks(self, assert_all_right, rope):
        features = [
            {"mask": "window", "window": 9, "sinks": 3},
            {"softcap": 15.0, "mask": "causal"},
            {"bias": "alibi", "sink_logits": True, "dtype": "fp16"},
            {"rope_base": 500000, "q_heads": 3, "batch": 2},
        ]

        assert_all_right(FLASH, [{**FEW, "q_len": 70, "rope": rope, **one} for one in features])

    def test_of_requests_of_different_lengths(self, assert_all_right, rope):
        ragged = {**FEW, "requests": "q33s70_q70s33_q1s90", "mask": "causal", "rope": rope}

        assert_all_right(FLASH, [ragged])

    def test_in_any_part_of_any_head(self, assert_all_right, rope):
        dtype = "fp32" if rope == "neox" else "fp16"

        assert_all_right(FLASH, of_widths(rope, q_len=33, kv_len=70, dtype=dtype))


@pytest.mark.parametrize("rope", KINDS)
class TestDecode:
    def test_cached_keys_are_turned_as_they_are_read(self, assert_all_right, rope):
        base = {**FEW, "q_len": 2, "kv_len": 130, "mask": "causal", "rope": rope}
        ways = [{}, {"dtype": "fp16", "with": {"splits": 2}}, {"q_len": 4, "kv_len": 3}]
        ways += [{"q_len": 5, "mask_align": "top_left"}, {"q_len": 1, "q_heads": 20}]
        ways += [{"mask": "window", "window": 40, "sinks": 2, "bias": "alibi", "softcap": 9.0}]

        assert_all_right(DECODE, [{**base, **one} for one in ways])

    def test_wherever_they_lie(self, assert_all_right, rope):
        paged = {"kv_layout": "paged", "q_len": 2, "kv_len": 90, "mask": "causal"}
        ragged = {"requests": "2q1s77_q3s90_q4s2", "mask": "causal"}
        layouts = [{**paged, "page_size": 16}, {**paged, "page_size": 64, "page_format": "hnd"}]
        layouts += [ragged, {**ragged, "kv_layout": "paged", "page_size": 7}]

        base = {**FEW, "rope": rope, "dtype": "fp16"}
        assert_all_right(DECODE, [{**base, **one} for one in layouts])

    def test_in_any_part_of_any_head(self, assert_all_right, rope):
        dtype = "fp16" if rope == "neox" else "fp32"

        assert_all_right(DECODE, of_widths(rope, q_len=1, kv_len=70, dtype=dtype))


class TestBackward:
    @pytest.mark.parametrize("rope", KINDS)
    def test_gradients_are_turned_back(self, assert_all_right, rope):
        base = {**FEW, "mode": "bwd", "mask": "causal", "rope": rope}
        ways = [{"q_len": 40, "kv_len": 70}, {"q_len": 70, "kv_len": 40, "dtype": "fp16"}]
        ways += [{"q_len": 40, "head_dim": 96, "rope_dim": 68, "batch": 2, "mode": "fwd_bwd"}]
        ways += [{"requests": "2q37_q13s60_q4s9", "dtype": "fp16"}]
        ways += [{"q_len": 40, "kv_len": 20, "mask_align": "top_left"}]

        assert_all_right(FLASH, [{**base, **one} for one in ways])

    def test_so_is_a_dq_that_was_added_up(self, assert_all_right):
        atomic = {**FEW, "mode": "bwd", "q_len": 40, "kv_len": 70, "with": {"atomic": True}}

        assert_all_right(FLASH, [{**atomic, "rope": kind} for kind in KINDS])


def test_parts_cover_a_row_and_reach_little_past_it():
    base = {"q_len": 64, "q_heads": 1, "head_dim": 256, "dtype": "bf16", "rope": "neox"}
    for width in range(2, 258, 2):
        parts = rope_parts_of(Problem(**base, rope_dim=width))
        pairs = parts["PAIRS"] + parts["PAIRS_REST"]
        behind = parts["FLAT"] + parts["FLAT_REST"]

        assert all(one == 0 or (one >= 16 and one & (one - 1) == 0) for one in parts.values())
        for needed, there in ((width // 2, pairs), (256 - width, behind)):
            assert there >= needed
            assert there - needed < max(16, needed // 2)


def test_nothing_is_in_parts_where_no_key_is_turned():
    base = {"q_len": 8, "q_heads": 1, "head_dim": 64, "dtype": "bf16"}
    unturned = [{}, {"rope": "neox", "append": 2}, {"rope": "neox", "mode": "bwd"}]

    assert {sum(rope_parts_of(Problem(**base, **one)).values()) for one in unturned} == {0}
