from __future__ import annotations

import pytest

from attnbench.backends import flash_attn
from attnbench.errors import Unsupported
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

HEADS = {"q_heads": 4, "kv_heads": 2, "head_dim": 16, "dtype": "fp32"}
PAGED = {"kv_layout": "paged", "page_size": 256}
DENSE = [
    {"batch": 2, "q_len": 7},
    {"batch": 2, "q_len": 5, "kv_len": 5, "mask": "causal"},
    {"batch": 2, "q_len": 9, "kv_len": 4, "mask": "causal"},
    {"q_len": 9, "mask": "window", "window": 3},
    {"q_len": 9, "mask": "window", "window": 1},
    {"q_len": 9, "mask": "causal", "softcap": 2.0, "bias": "alibi", "scale": 0.3},
]
CACHED = [
    {"batch": 3, "q_len": 1, "kv_len": 9},
    {"batch": 2, "q_len": 3, "kv_len": 9, "mask": "causal"},
    {"q_len": 3, "kv_len": 9, "mask": "window", "window": 4},
    {"batch": 2, "q_len": 1, "kv_len": 300, **PAGED},
    {"batch": 2, "q_len": 4, "kv_len": 300, "mask": "causal", **PAGED},
    {"batch": 2, "q_len": 2, "kv_len": 9, "append": 1, "mask": "causal"},
    {"batch": 2, "q_len": 3, "kv_len": 9, "append": 3, "mask": "causal", "rope": "neox"},
    {"q_len": 3, "kv_len": 258, "append": 3, "mask": "causal", "rope": "gptj", **PAGED},
    {"batch": 2, "q_len": 1, "kv_len": 9, "append": 1, "rope": "neox", "rope_dim": 16},
]
PACKED = [
    {"requests": "q5_2q3s7_q1s9"},
    {"requests": "q5_2q3s7_q1s9", "mask": "causal"},
    {"requests": "q5_2q3s7", "mask": "window", "window": 3, "softcap": 3.0},
    {"requests": "q5s300_q1s9", "mask": "causal", **PAGED},
]


@pytest.fixture(autouse=True)
def library(monkeypatch, standins, sibling):
    module = sibling("standin_flash_attn").module(standins)
    standins.install(monkeypatch, flash_attn.library, {"flash_attn": module})
    return module


@pytest.mark.parametrize("fields", DENSE)
def test_dense_problems_are_handed_over_right(is_right, fields):
    is_right(flash_attn, **HEADS, **fields)


@pytest.mark.parametrize("mode", ["bwd", "fwd_bwd"])
def test_gradients_come_back_in_the_inputs_layout(is_right, mode):
    is_right(flash_attn, **HEADS, **DENSE[2], mode=mode)


@pytest.mark.parametrize("fields", CACHED)
def test_caches_appends_and_turns_are_handed_over_right(is_right, fields):
    outputs = is_right(flash_attn, **HEADS, **fields)

    assert outputs.lse is not None


@pytest.mark.parametrize("fields", PACKED)
def test_packed_requests_are_handed_over_right(is_right, fields):
    outputs = is_right(flash_attn, **HEADS, **fields)

    assert outputs.lse is not None


def test_the_backward_of_packed_requests(is_right):
    is_right(flash_attn, {"deterministic": True}, **HEADS, requests="q5_2q3s7", mode="fwd_bwd")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"head_dim": 20, "q_len": 4}, "head_dim 20 is not a multiple of 8 up to 256"),
        ({"head_dim": 264, "q_len": 4}, "head_dim 264 is not a multiple of 8 up to 256"),
        ({"q_len": 1, "kv_len": 64, "kv_layout": "paged"}, "page_size 16 is not a multiple of 256"),
        (
            {"requests": "2q2s9", "append": 1, "mask": "causal"},
            "append to packed requests is not supported",
        ),
        ({"q_len": 4, "rope": "neox"}, "rope needs append equal to q_len"),
        ({"q_len": 2, "kv_len": 9, "append": 2, "rope": "neox"}, "needs a causal mask"),
        (
            {"q_len": 1, "kv_len": 9, "append": 1, "rope": "neox", "rope_dim": 8},
            "rope_dim 8 is not a multiple of 16",
        ),
    ],
)
def test_what_it_cannot_do_is_a_reason(gpu, fields, reason):
    problem = Problem(**{**HEADS, "dtype": "bf16", **fields})

    assert reason in flash_attn.why_not(problem, gpu())


def test_what_was_handed_over_is_declared(gpu):
    for fields in (*DENSE, *CACHED, *PACKED):
        problem = Problem(**{**HEADS, **fields, "dtype": "bf16"})
        reason = flash_attn.capabilities.why_not(problem, gpu())
        assert (reason or flash_attn.why_not(problem, gpu())) is None, problem.label


def test_deterministic_is_about_the_backward(gpu):
    problem = Problem(**HEADS, q_len=4)

    assert "backward" in flash_attn.why_not(problem, gpu(), deterministic=True)


def test_the_librarys_own_refusal_is_unsupported_and_other_faults_are_not(is_right, library):
    def refuse(*_, **__):
        raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.")

    library.flash_attn_func = refuse
    with pytest.raises(Unsupported, match="flash-attn: FlashAttention only supports Ampere"):
        is_right(flash_attn, **HEADS, q_len=4)

    def fail(*_, **__):
        raise RuntimeError("an illegal memory access was encountered")

    library.flash_attn_func = fail
    with pytest.raises(RuntimeError, match="illegal memory access"):
        is_right(flash_attn, **HEADS, q_len=4)
