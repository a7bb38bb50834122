from __future__ import annotations

import pytest

from attnbench.backends import flash_attn_4
from attnbench.errors import Unsupported
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

HEADS = {"q_heads": 4, "kv_heads": 2, "head_dim": 16, "dtype": "fp32"}
LATENT = {"q_heads": 4, "kv_heads": 1, "head_dim": 576, "v_head_dim": 512, "latent": True}
PAGED = {"kv_layout": "paged", "page_size": 4}
PROBLEMS = [
    {"batch": 2, "q_len": 9, "kv_len": 4, "mask": "causal", "softcap": 2.0},
    {"q_len": 9, "mask": "window", "window": 3, "sink_logits": True},
    {"batch": 2, "q_len": 1, "kv_len": 9, "v_head_dim": 8},
    {"requests": "q5_2q3s7_q1s9", "mask": "window", "window": 4},
    {"batch": 2, "q_len": 4, "kv_len": 11, "mask": "causal", **PAGED},
    {"requests": "q5s11_q1s9", "mask": "causal", **PAGED},
]
LATENTS = [
    {**LATENT, "batch": 2, "q_len": 2, "kv_len": 9, "mask": "causal"},
    {**LATENT, "batch": 2, "q_len": 1, "kv_len": 9, **PAGED},
    {**LATENT, "requests": "q2s9_q1s3", "mask": "causal", **PAGED},
]


@pytest.fixture(autouse=True)
def library(monkeypatch, standins, sibling):
    modules = sibling("standin_flash_attn_4").modules(standins)
    standins.install(monkeypatch, flash_attn_4.library, modules)
    return modules["flash_attn.cute"]


@pytest.mark.parametrize("fields", [*PROBLEMS, *LATENTS])
def test_problems_are_handed_over_right(is_right, fields):
    outputs = is_right(flash_attn_4, **{**HEADS, **fields})

    assert outputs.lse is not None


def test_gradients_come_back_in_the_inputs_layout(is_right):
    is_right(flash_attn_4, **HEADS, **PROBLEMS[0], mode="fwd_bwd")


def test_an_assert_of_the_library_is_its_refusal(is_right, library, monkeypatch):
    def refuse(*_, **__):
        assert False, "only support Blackwell arch with qv"  # noqa: B011, PT015  the library's way

    monkeypatch.setattr(library, "flash_attn_func", refuse)
    with pytest.raises(Unsupported, match="flash-attn-4: only support Blackwell arch with qv"):
        is_right(flash_attn_4, **HEADS, q_len=4)


@pytest.mark.parametrize(
    ("fields", "arch", "reason"),
    [
        ({"q_len": 4, "mode": "bwd"}, "sm_80", "the backward needs sm_90, this is sm_80"),
        ({"q_len": 4, "head_dim": 192}, "sm_100", "head_dim 192 is not a multiple of 8 up to 128"),
        ({"q_len": 4, "head_dim": 20}, "sm_90", "head_dim 20 is not a multiple of 8 up to 256"),
        ({**LATENT, "q_len": 1, "kv_len": 9}, "sm_90", "a latent cache needs sm_100, this is"),
        (
            {"q_len": 1, "kv_len": 200, "kv_layout": "paged", "page_size": 128},
            "sm_90",
            "a page of 128 that ends at kv_len 200 is read to its end",
        ),
    ],
)
def test_what_it_cannot_do_is_a_reason(gpu, fields, arch, reason):
    problem = Problem(**{**HEADS, "dtype": "bf16", **fields})

    assert reason in flash_attn_4.why_not(problem, gpu(arch))


def test_what_was_handed_over_is_declared(gpu):
    wide = {"q_len": 4, "head_dim": 192, "v_head_dim": 128}
    whole = {"q_len": 1, "kv_len": 256, "kv_layout": "paged", "page_size": 128}
    for fields in (*PROBLEMS, *LATENTS, wide, whole):
        problem = Problem(**{**HEADS, **fields, "dtype": "bf16"})
        reason = flash_attn_4.capabilities.why_not(problem, gpu("sm_100"))
        assert (reason or flash_attn_4.why_not(problem, gpu("sm_100"))) is None, problem.label


def test_options_that_say_nothing_in_a_mode_are_refused(gpu):
    forward, backward = (Problem(**HEADS, q_len=4, mode=mode) for mode in ("fwd", "bwd"))

    assert "backward" in flash_attn_4.why_not(forward, gpu(), deterministic=True)
    assert "only to the forward" in flash_attn_4.why_not(backward, gpu(), splits=0)
