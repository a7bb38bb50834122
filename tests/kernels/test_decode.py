"""triton_decode in the interpreter, on small odd shapes, against the fp64 reference.

An interpreted tile takes about 10 ms, so that shapes are as small as shows the edge.
"""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.torch
BACKEND = "triton_decode"


def test_any_number_of_splits_gives_the_same_answer(assert_all_right):
    # 130 keys are three tiles of 64: with seven splits most have none.
    ways = [{}, *({"splits": splits} for splits in (1, 2, 3, 7))]

    assert_all_right(BACKEND, [{"q_len": 1, "kv_len": 130, "with": one} for one in ways])


def test_one_key_and_one_head(assert_all_right):
    alone = {"q_len": 1, "q_heads": 1, "kv_heads": 1}

    assert_all_right(BACKEND, [{**alone, "kv_len": length} for length in (1, 63, 64, 65)])


def test_heads_share_their_kv_head(assert_all_right):
    heads = [(6, 6), (6, 2), (6, 1), (40, 2)]
    cases = [{"q_len": 1, "kv_len": 90, "q_heads": q, "kv_heads": kv} for q, kv in heads]

    assert_all_right(BACKEND, cases)


def test_every_head_dim(assert_all_right):
    widths = [(64, 64), (96, 96), (128, 128), (192, 128), (256, 256), (64, 96), (128, 192)]
    cases = [
        {"q_len": 1, "kv_len": 70, "head_dim": dim, "v_head_dim": v_dim, "dtype": "fp16"}
        for dim, v_dim in widths
    ]

    assert_all_right(BACKEND, cases)


def test_a_latent_cache_gives_values_from_its_keys(assert_all_right):
    latent = {"head_dim": 576, "v_head_dim": 512, "latent": True, "kv_heads": 1, "dtype": "fp16"}
    paged = {"kv_layout": "paged", "page_size": 16, "with": {"splits": 2}}

    assert_all_right(BACKEND, [{**latent, "q_len": 1, "kv_len": 70, **one} for one in ({}, paged)])


def test_several_rows_see_what_a_causal_mask_shows_them(assert_all_right):
    lengths = [(2, 130), (5, 64), (16, 90), (7, 3), (16, 1)]
    cases = [
        {"q_len": q, "kv_len": kv, "mask": "causal", "mask_align": align, "dtype": "fp16"}
        for q, kv in lengths
        for align in ("bottom_right", "top_left")
    ]

    assert_all_right(BACKEND, cases)


def test_one_row_at_the_top_left_sees_one_key(assert_all_right):
    case = {"q_len": 1, "kv_len": 90, "mask": "causal", "mask_align": "top_left"}

    assert_all_right(BACKEND, [case])


def test_a_window_hides_and_sinks_stay(assert_all_right):
    windows = [(1, 0), (5, 0), (5, 70), (70, 3), (150, 130), (1000, 4)]
    cases = [
        {
            "q_len": 3,
            "kv_len": 300,
            "mask": "window",
            "window": window,
            "sinks": sinks,
            "with": {"splits": splits},
        }
        for window, sinks in windows
        for splits in (1, 3)
    ]

    assert_all_right(BACKEND, cases)


def test_scores_are_capped_biased_and_joined_by_a_sink(assert_all_right):
    base = {"q_len": 2, "kv_len": 90, "mask": "causal"}
    features = [{"softcap": 20.0}, {"softcap": 0.5}, {"bias": "alibi"}, {"sink_logits": True}]
    features += [{"softcap": 9.0, "bias": "alibi", "sink_logits": True, "with": {"splits": 2}}]
    features += [{"q_len": 4, "kv_len": 2, "sink_logits": True}]

    assert_all_right(BACKEND, [{**base, **one} for one in features])


def test_pages_of_any_size_in_either_format(assert_all_right):
    cases = [
        {
            "batch": 2,
            "q_len": 2,
            "kv_len": 150,
            "mask": "causal",
            "kv_layout": "paged",
            "page_size": size,
            "page_format": form,
        }
        for size in (1, 7, 16, 64, 128)
        for form in ("nhd", "hnd")
    ]

    assert_all_right(BACKEND, cases)


def test_a_window_walks_over_pages(assert_all_right):
    cases = [
        {
            "q_len": 2,
            "kv_len": 300,
            "mask": "window",
            "window": 40,
            "sinks": 2,
            "kv_layout": "paged",
            "page_size": size,
            "with": {"splits": 2},
        }
        for size in (16, 64)
    ]

    assert_all_right(BACKEND, cases)


def test_requests_of_different_lengths(assert_all_right):
    ragged = {"requests": "2q1s77_q3s130_q4", "mask": "causal"}
    ways = [{}, {"kv_layout": "paged"}, {"dtype": "fp16", "with": {"splits": 3}}]
    ways += [{"kv_layout": "paged", "page_format": "hnd", "page_size": 64, "bias": "alibi"}]

    assert_all_right(BACKEND, [{**ragged, **one} for one in ways])


@pytest.mark.parametrize("kind", ["int8", "fp8_e4m3", "fp8_e5m2", "int4"])
def test_a_cache_of_codes(assert_all_right, kind):
    base = {"q_len": 1, "kv_len": 130, "kv_dtype": kind, "dtype": "fp16"}
    paged = {"kv_layout": "paged", "page_size": 16, "q_len": 3, "mask": "causal"}
    cases = [
        {"with": {"splits": 1}},
        {"with": {"splits": 3}},
        {"dtype": "fp32"},
        {"dtype": "fp32", **paged},
        paged,
        {**paged, "page_format": "hnd", "page_size": 7},
        {**paged, "page_size": 64, "mask": "window", "window": 30, "sinks": 2},
        {"head_dim": 128, "v_head_dim": 64},
        {"head_dim": 64, "v_head_dim": 256},
        {"input_dist": "outliers"},
        {"softcap": 10.0, "sink_logits": True},
    ]
    ragged = {**base, "requests": "2q1s77_q3s90", "mask": "causal"}
    del ragged["q_len"], ragged["kv_len"]

    assert_all_right(BACKEND, [*({**base, **one} for one in cases), ragged])


def test_a_tile_that_is_written_out_is_as_right(assert_all_right):
    tiles = [{"tile": "16-w4-s2-p4"}, {"tile": "128-w4-s2-p1", "splits": 2}]

    assert_all_right(BACKEND, [{"q_len": 1, "kv_len": 150, "with": one} for one in tiles])
