"""Writing new rows into the cache before attending, in the interpreter.

The slots to be written hold NaN beforehand, so that a row that stays away or comes too late shows.
"""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.torch
BACKEND = "triton_decode"
BASE = {"batch": 2, "q_len": 2, "kv_len": 70, "mask": "causal", "append": 2, "dtype": "fp16"}
PAGED = {"kv_layout": "paged", "page_size": 16}


def test_new_rows_are_written_into_every_layout(assert_all_right):
    ragged = {"requests": "2q2s77_q3s90", "batch": None, "q_len": None, "kv_len": None}
    layouts = [{}, PAGED, {**PAGED, "page_format": "hnd", "page_size": 7}, ragged]
    layouts += [{**ragged, **PAGED}, {"append": 1}, {"head_dim": 96, "v_head_dim": 192}]

    assert_all_right(BACKEND, [{**BASE, **one} for one in layouts])


@pytest.mark.parametrize("rope", ["neox", "gptj"])
def test_query_and_new_keys_are_turned(assert_all_right, rope):
    ways = [{}, PAGED, {"rope_dim": 32}, {"head_dim": 192, "v_head_dim": 128, "rope_dim": 160}]
    ways += [{"q_len": 4, "kv_len": 3}, {"mask_align": "top_left", "q_len": 4}]

    assert_all_right(BACKEND, [{**BASE, "rope": rope, **one} for one in ways])


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_new_rows_are_quantised(assert_all_right, kind):
    ways = [{}, {"rope": "neox"}, {**PAGED, "rope": "gptj"}, {"input_dist": "zeros"}]
    ways += [{"requests": "2q2s77_q3s90", "batch": None, "q_len": None, "kv_len": None}]

    assert_all_right(BACKEND, [{**BASE, "kv_dtype": kind, **one} for one in ways])


def test_a_latent_cache_takes_the_key_alone(assert_all_right):
    latent = {"head_dim": 576, "v_head_dim": 512, "latent": True, "kv_heads": 1}

    assert_all_right(BACKEND, [{**BASE, **latent, "rope": "neox", "batch": 1}])
