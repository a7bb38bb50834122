"""Problems for the interpreter: small, and still themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.measure.reduce import interpreted_s, reduced, upcast
from attnbench.problem import Problem

KEPT = (
    *("mode", "phase", "group_size", "head_dim", "v_head_dim", "dtype", "kv_dtype", "mask"),
    *("mask_align", "window", "softcap", "bias", "kv_layout", "page_size", "latent", "append"),
)


def problem(**changes):
    return Problem(
        **{"batch": 64, "q_len": 1, "kv_len": 131072, "q_heads": 32, "head_dim": 128}
        | {"dtype": "bf16"}
        | changes
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"kv_heads": 8, "kv_layout": "paged"},
        {"q_len": 8192, "kv_len": 8192, "mask": "causal", "mode": "fwd_bwd"},
        {"q_len": 512, "kv_len": 65536, "mask": "window", "window": 1024},
        {"q_len": 8, "append": 8, "kv_heads": 4},
        {
            "q_heads": 128,
            "kv_heads": 1,
            "head_dim": 576,
            "v_head_dim": 512,
            "latent": True,
        },
        {
            "batch": None,
            "q_len": None,
            "kv_len": None,
            "requests": "2q2k_32q1s8k",
            "mask": "causal",
        },
    ],
)
def test_it_shrinks_and_stays_what_it_is(changes):
    before = problem(**changes)
    after = reduced(before, 5.0)
    assert interpreted_s(after) <= 5.0
    for name in KEPT:
        assert getattr(after, name) == getattr(before, name), name


def test_what_is_small_enough_is_left_alone():
    small = problem(batch=1, kv_len=64, q_heads=2)
    assert reduced(small, 5.0) is small


@given(st.integers(1, 4096), st.integers(1, 4096), st.sampled_from([1, 2, 8]))
def test_it_always_ends(q_len, kv_len, kv_heads):
    before = problem(batch=3, q_len=q_len, kv_len=kv_len, q_heads=8, kv_heads=kv_heads)
    after = reduced(before, 0.5)
    assert interpreted_s(after) <= interpreted_s(before)
    assert after.phase == before.phase


def test_bf16_becomes_fp32_and_nothing_else_does():
    assert upcast(problem()).dtype == "fp32"
    assert upcast(problem()).kv_dtype == "fp32"
    quantised = upcast(problem(kv_dtype="int8"))
    assert (quantised.dtype, quantised.kv_dtype) == ("fp32", "int8")
    half = problem(dtype="fp16")
    assert upcast(half) is half
