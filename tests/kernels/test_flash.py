"""triton_flash in the interpreter, on small odd shapes, against the fp64 reference."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.torch
BACKEND = "triton_flash"
LENGTHS = [(100, 100), (70, 150), (150, 70), (65, 33), (1, 65), (129, 1)]


def test_without_a_mask(assert_all_right):
    assert_all_right(BACKEND, [{"q_len": q, "kv_len": kv} for q, kv in LENGTHS])


@pytest.mark.parametrize("align", ["bottom_right", "top_left"])
def test_a_causal_mask(assert_all_right, align):
    cases = [{"q_len": q, "kv_len": kv, "mask": "causal", "mask_align": align} for q, kv in LENGTHS]

    assert_all_right(BACKEND, cases)


def test_a_window_hides_and_sinks_stay(assert_all_right):
    windows = [(1, 0), (10, 3), (50, 0), (100, 40), (1000, 0)]
    cases = [
        {"q_len": q, "kv_len": kv, "mask": "window", "window": window, "sinks": sinks}
        for window, sinks in windows
        for q, kv in [(200, 200), (70, 200), (200, 60)]
    ]

    assert_all_right(BACKEND, cases)


def test_scores_are_capped_biased_and_joined_by_a_sink(assert_all_right):
    features = [
        {"softcap": 15.0},
        {"softcap": 0.5, "mask": "causal"},
        {"bias": "alibi"},
        {"bias": "alibi", "mask": "causal", "kv_len": 130},
        {"sink_logits": True, "mask": "causal", "kv_len": 40},
    ]

    assert_all_right(BACKEND, [{"q_len": 90, **one} for one in features])


def test_heads_share_their_kv_head(assert_all_right):
    heads = [(3, 3), (6, 2), (3, 1)]
    cases = [
        {"batch": 2, "q_len": 70, "q_heads": q, "kv_heads": kv, "mask": "causal"} for q, kv in heads
    ]

    assert_all_right(BACKEND, cases)


def test_every_head_dim(assert_all_right):
    widths = [(64, 64), (96, 96), (128, 128), (192, 128), (256, 256), (64, 96)]
    cases = [
        {"q_len": 140, "head_dim": dim, "v_head_dim": v_dim, "dtype": dtype, "mask": "causal"}
        for dim, v_dim in widths
        for dtype in ("fp16", "fp32")
    ]

    assert_all_right(BACKEND, cases)


def test_requests_of_different_lengths(assert_all_right):
    cases = [
        {"requests": requests, "mask": mask, "dtype": "fp16"}
        for requests in ("2q77_q33s130_q4s9", "q1s90_q77_q130s20")
        for mask in ("none", "causal")
    ]

    assert_all_right(BACKEND, cases)


class TestBackward:
    def test_under_each_mask(self, assert_all_right):
        masks = [
            {},
            {"mask": "causal"},
            {"mask": "causal", "mask_align": "top_left"},
            {"mask": "window", "window": 20, "sinks": 3},
            {"mask": "window", "window": 7},
        ]
        lengths = [(70, 70), (40, 90), (90, 40)]
        cases = [
            {"mode": "bwd", "q_len": q, "kv_len": kv, **mask} for mask in masks for q, kv in lengths
        ]

        assert_all_right(BACKEND, cases)

    def test_through_caps_biases_and_sinks(self, assert_all_right):
        features = [
            {"softcap": 5.0},
            {"bias": "alibi", "mask": "causal"},
            {"sink_logits": True, "mask": "causal"},
            {"softcap": 5.0, "bias": "alibi", "sink_logits": True, "dtype": "fp16"},
        ]

        assert_all_right(BACKEND, [{"mode": "bwd", "q_len": 40, **one} for one in features])

    def test_for_every_head_dim(self, assert_all_right):
        widths = [(96, 96), (128, 128), (192, 128), (256, 256), (64, 96)]
        cases = [
            {"mode": "bwd", "q_len": 40, "head_dim": dim, "v_head_dim": v_dim, "dtype": "fp16"}
            for dim, v_dim in widths
        ]

        assert_all_right(BACKEND, cases)

    def test_for_requests_and_both_ways_in_one_call(self, assert_all_right):
        ragged = {"requests": "2q37_q13s60_q4s9", "mask": "causal", "mode": "bwd"}

        assert_all_right(BACKEND, [ragged, {"mode": "fwd_bwd", "q_len": 40, "dtype": "fp16"}])

    def test_with_atomic_additions(self, assert_all_right):
        cases = [
            {"q_len": 70, "kv_len": 90, "mask": "causal"},
            {"q_len": 40, "kv_len": 70},
            {"q_len": 60, "mask": "window", "window": 7, "dtype": "fp16", "head_dim": 96},
            {"requests": "2q37_q13s60_q4s9", "mask": "causal"},
        ]

        assert_all_right(
            BACKEND, [{"mode": "bwd", "with": {"atomic": True}, **one} for one in cases]
        )


def test_a_tile_that_is_written_out_is_as_right(assert_all_right):
    case = {"q_len": 40, "kv_len": 50, "q_heads": 2, "kv_heads": 1, "mask": "causal"}
    backward = {"mode": "fwd_bwd", "with": {"dkdv_tile": "32x16-w4-s2", "dq_tile": "16x32-w4-s2"}}

    assert_all_right(BACKEND, [{**case, "with": {"tile": "32x16-w4-s1"}}, {**case, **backward}])
