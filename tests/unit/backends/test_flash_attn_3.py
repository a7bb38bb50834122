from __future__ import annotations

import pytest

from attnbench.backends import flash_attn_3
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

HEADS = {"q_heads": 4, "kv_heads": 2, "head_dim": 16, "dtype": "fp32"}
LATENT = {"q_heads": 4, "kv_heads": 1, "head_dim": 576, "v_head_dim": 512, "latent": True}
PAGED = {"kv_layout": "paged", "page_size": 4}
PROBLEMS = [
    {"batch": 2, "q_len": 5, "kv_len": 5, "mask": "causal", "softcap": 2.0},
    {"batch": 2, "q_len": 9, "kv_len": 4, "mask": "causal"},
    {"q_len": 9, "mask": "window", "window": 3},
    {"q_len": 5, "v_head_dim": 8},
    {"requests": "q5_2q3s7_q1s9", "mask": "window", "window": 4},
]
CACHED = [
    {"batch": 3, "q_len": 1, "kv_len": 9},
    {"batch": 2, "q_len": 3, "kv_len": 9, "mask": "window", "window": 4},
    {"batch": 2, "q_len": 4, "kv_len": 11, "mask": "causal", **PAGED},
    {"requests": "q5s11_q1s9", "mask": "causal", **PAGED},
    {"batch": 2, "q_len": 3, "kv_len": 9, "append": 3, "mask": "causal", "rope": "neox"},
    {"q_len": 2, "kv_len": 9, "append": 2, "mask": "causal", "rope": "gptj", **PAGED},
    {**LATENT, "batch": 2, "q_len": 2, "kv_len": 9, "mask": "causal"},
    {**LATENT, "batch": 2, "q_len": 1, "kv_len": 9, **PAGED},
    {**LATENT, "requests": "q2s9_q1s3", "mask": "causal", **PAGED},
]


@pytest.fixture(autouse=True)
def library(monkeypatch, standins, sibling):
    older = sibling("standin_flash_attn")
    module = sibling("standin_flash_attn_3").module(standins, older)
    standins.install(monkeypatch, flash_attn_3.library, {"flash_attn_interface": module})
    return module


@pytest.mark.parametrize("fields", PROBLEMS)
def test_problems_without_a_cache_are_handed_over_right(is_right, fields):
    outputs = is_right(flash_attn_3, **{**HEADS, **fields})

    assert outputs.lse is None


@pytest.mark.parametrize("fields", CACHED)
def test_caches_are_handed_over_right(is_right, fields):
    outputs = is_right(flash_attn_3, **{**HEADS, **fields})

    assert outputs.lse is not None


def test_gradients_come_back_in_the_inputs_layout(is_right):
    is_right(flash_attn_3, **HEADS, **PROBLEMS[1], mode="fwd_bwd")


def test_options_go_to_the_entry_that_has_them(library, is_right, monkeypatch):
    seen = []
    for name in ("flash_attn_func", "flash_attn_with_kvcache"):
        entry = getattr(library, name)

        def spy(*args, entry=entry, **kwargs):
            seen.append((kwargs["num_splits"], kwargs["pack_gqa"]))
            return entry(*args, **kwargs)

        monkeypatch.setattr(library, name, spy)
    for fields in ({"q_len": 4}, {"q_len": 1, "kv_len": 9}):
        is_right(flash_attn_3, **HEADS, **fields)
        is_right(flash_attn_3, {"splits": 3, "pack_gqa": True}, **HEADS, **fields)

    # Each is called twice: its defaults are the library's own, 1 without a cache and 0 with one.
    assert seen[::2] == [(1, None), (3, True), (0, None), (3, True)]


def test_the_first_versions_returned_lse_too(library, is_right, monkeypatch):
    entry = library.flash_attn_func
    monkeypatch.setattr(library, "flash_attn_func", lambda *a, **b: (entry(*a, **b), None))

    is_right(flash_attn_3, **HEADS, q_len=4)


@pytest.mark.parametrize(
    ("fields", "arch", "reason"),
    [
        ({"q_len": 4}, "sm_100", "needs sm_90, this is sm_100"),
        ({"q_len": 4, "head_dim": 20}, "sm_90", "head_dim 20 is not a multiple of 8 up to 256"),
        ({"q_len": 4, "v_head_dim": 300}, "sm_90", "v_head_dim 300 is not a multiple of 8"),
        ({**LATENT, "q_len": 1, "kv_len": 9, "append": 1}, "sm_90", "append to a latent cache"),
        ({**LATENT, "head_dim": 512, "q_len": 1}, "sm_90", "a latent cache is 576 wide"),
        ({"q_len": 4, "rope": "neox"}, "sm_90", "rope needs append equal to q_len"),
    ],
)
def test_what_it_cannot_do_is_a_reason(gpu, fields, arch, reason):
    problem = Problem(**{**HEADS, "dtype": "bf16", **fields})

    assert reason in flash_attn_3.why_not(problem, gpu(arch))


def test_what_was_handed_over_is_declared(gpu):
    for fields in (*PROBLEMS, *CACHED):
        problem = Problem(**{**HEADS, **fields, "dtype": "bf16"})
        reason = flash_attn_3.capabilities.why_not(problem, gpu())
        assert (reason or flash_attn_3.why_not(problem, gpu())) is None, problem.label


def test_options_that_say_nothing_in_a_mode_are_refused(gpu):
    forward, backward = (Problem(**HEADS, q_len=4, mode=mode) for mode in ("fwd", "bwd"))

    assert "backward" in flash_attn_3.why_not(forward, gpu(), deterministic=True)
    assert "only to the forward" in flash_attn_3.why_not(backward, gpu(), splits=2)
