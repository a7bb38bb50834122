from __future__ import annotations

import pytest

from attnbench.backends import flashinfer
from attnbench.errors import Unsupported
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

HEADS = {"q_heads": 4, "kv_heads": 2, "head_dim": 64, "dtype": "fp32"}
LATENT = {"q_heads": 4, "kv_heads": 1, "head_dim": 576, "v_head_dim": 512, "latent": True}
NHD = {"kv_layout": "paged", "page_size": 4}
HND = {**NHD, "page_format": "hnd"}
DECODE = [
    {"batch": 3, "q_len": 1, "kv_len": 9},
    {"batch": 3, "q_len": 1, "kv_len": 9, "mask": "window", "window": 4, "softcap": 2.0},
    {"batch": 3, "q_len": 1, "kv_len": 11, **NHD},
    {"batch": 3, "q_len": 1, "kv_len": 12, "scale": 0.3, **HND},
    {"requests": "q1s11_q1s3", **NHD},
]
PREFILL = [
    {"q_len": 9, "mask": "causal"},
    {"q_len": 3, "kv_len": 9, "mask": "window", "window": 4, "softcap": 2.0},
    {"q_len": 5, "head_dim": 192, "v_head_dim": 128},
    {"requests": "q5_2q3s7_q1s9", "mask": "causal"},
    {"requests": "q5s11_q1s9", "mask": "window", "window": 5, **HND},
    {"q_len": 3, "kv_len": 11, "mask": "causal", **NHD},
]
LATENTS = [
    {**LATENT, "batch": 2, "q_len": 1, "kv_len": 9},
    {**LATENT, "batch": 2, "q_len": 1, "kv_len": 9, **NHD},
    {**LATENT, "q_len": 2, "kv_len": 9, "mask": "causal", **HND},
    {**LATENT, "requests": "q2s9_q1s3", "mask": "causal", **NHD},
]
APART = {"batch": 2, "q_len": 5, "kv_len": 9, "mask": "causal"}


@pytest.fixture(autouse=True)
def library(monkeypatch, standins, sibling):
    modules = sibling("standin_flashinfer").modules(standins)
    standins.install(monkeypatch, flashinfer.library, modules)
    return modules["flashinfer"]


@pytest.mark.parametrize("fields", [*DECODE, *PREFILL, *LATENTS])
def test_problems_are_handed_over_right(is_right, fields):
    outputs = is_right(flashinfer, **{**HEADS, **fields})

    assert outputs.lse is None


@pytest.mark.parametrize("fields", [DECODE[1], DECODE[4], PREFILL[1], PREFILL[4], LATENTS[1]])
def test_lse_is_natural_where_it_is_asked_for(is_right, fields):
    outputs = is_right(flashinfer, {"lse": True}, **{**HEADS, **fields})

    assert outputs.lse is not None


def test_rows_that_lie_apart_are_packed_in_each_call(is_right):
    is_right(flashinfer, {"pack": True}, **HEADS, **APART)
    is_right(flashinfer, {"pack": True}, **HEADS, **APART, **NHD)


def test_what_it_cannot_do_is_a_reason(gpu):
    def reason(options=None, **fields):
        problem = Problem(**{**HEADS, "dtype": "bf16", **fields})
        return flashinfer.why_not(problem, gpu(), **(options or {}))

    assert "not packed: write requests, or set pack" in reason(**APART)
    assert reason({"pack": True}, **APART) is None
    assert "pack is for several" in reason({"pack": True}, q_len=4)
    assert reason(head_dim=96, q_len=4) == "head_dim 96 is not one of 64, 128, 256"
    assert "is not 192 with 128" in reason(v_head_dim=128, q_len=4)
    assert "no v_head_dim of its own" in reason(head_dim=192, v_head_dim=128, q_len=1, kv_len=9)
    assert "is for decode" in reason({"use_tensor_cores": True}, q_len=4)
    assert reason({"use_tensor_cores": True}, q_len=1, kv_len=9) is None
    assert "neither window" in reason(**LATENT, q_len=1, kv_len=9, mask="window", window=3)
    assert reason({"backend": "fa3"}, q_len=4) is None
    problem = Problem(**{**HEADS, "dtype": "bf16", "q_len": 4})
    blackwell = flashinfer.why_not(problem, gpu("sm_100"), backend="fa3")
    assert blackwell == "backend fa3 needs sm_90, this is sm_100"
    hopper = flashinfer.why_not(problem, gpu(), backend="trtllm-gen")
    assert hopper == "backend trtllm-gen needs sm_100, this is sm_90"
    pages = flashinfer.why_not(problem, gpu("sm_100"), backend="trtllm-gen")
    assert pages == "backend trtllm-gen only takes pages of 16, 32, 64"
    assert "backend cudnn of a latent" in reason({"backend": "cudnn"}, **LATENT, q_len=1, kv_len=9)


def test_what_was_handed_over_is_declared(gpu):
    for fields in (*DECODE, *PREFILL, *LATENTS):
        problem = Problem(**{**HEADS, **fields, "dtype": "bf16"})
        reason = flashinfer.capabilities.why_not(problem, gpu())
        assert (reason or flashinfer.why_not(problem, gpu())) is None, problem.label


def test_options_reach_the_library(library, is_right, monkeypatch):
    seen = []
    make = library.BatchDecodeWithPagedKVCacheWrapper

    def spy(*args, **kwargs):
        seen.append((kwargs["backend"], kwargs["use_tensor_cores"]))
        return make(*args, **kwargs)

    monkeypatch.setattr(library, "BatchDecodeWithPagedKVCacheWrapper", spy)
    options = {"backend": "trtllm-gen", "use_tensor_cores": True}
    is_right(flashinfer, options, **HEADS, **DECODE[2])

    assert seen == [("trtllm-gen", True)]


def test_a_plan_that_the_library_refuses_is_unsupported(library, is_right, monkeypatch):
    def refuse(*_, **__):
        raise NotImplementedError("cute-dsl decode backend does not support logits_soft_cap")

    monkeypatch.setattr(library, "BatchDecodeWithPagedKVCacheWrapper", refuse)
    with pytest.raises(Unsupported, match="flashinfer-python: cute-dsl decode backend does not"):
        is_right(flashinfer, **HEADS, **DECODE[0])


def test_the_workspace_is_reported_to_the_plan():
    problem = Problem(**HEADS, **APART)

    assert flashinfer.workspace_bytes(problem) == 128 * 2**20
    assert flashinfer.workspace_bytes(problem, pack=True) == 128 * 2**20 + 2 * 10 * 4 * 64
