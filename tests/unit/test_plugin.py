from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError, fields

import pytest

from attnbench import errors
from attnbench.environment import Device
from attnbench.plugin import (
    Capabilities,
    Inputs,
    Unsupported,
    notes_of,
)
from attnbench.problem import Problem

CPU = Device(kind="cpu", name="cpu", arch="x86_64", memory_bytes=1, free_bytes=1)
H200 = Device(kind="cuda", name="NVIDIA H200", arch="sm_90", memory_bytes=1, free_bytes=1)
PLAIN = {"q_len": 16, "q_heads": 8, "head_dim": 64, "dtype": "bf16"}
WINDOW = {"mask": "window", "window": 4}
PAGED = {"kv_layout": "paged", "page_size": 32}


def why_not(problem, device=CPU, **declared):
    return Capabilities(**declared).why_not(Problem(**{**PLAIN, **problem}), device)


def test_a_backend_that_declares_nothing_can_do_plain_dense_attention():
    assert why_not({}) is None
    assert why_not({"kv_heads": 2, "v_head_dim": 32, "kv_len": 99, "dtype": "fp8_e4m3"}) is None
    assert why_not({"q_len": 1, "kv_len": 4096}, H200) is None


# What a problem asks, what a backend must declare for it, and what it says without.
FEATURES = [
    ({"mode": "bwd"}, {"modes": {"fwd", "bwd"}}, "mode bwd is not one of fwd"),
    ({"mask": "causal"}, {"masks": {"causal"}}, "mask causal is not one of none"),
    (WINDOW, {"masks": {"none", "window"}}, "mask window is not one of none"),
    (
        {"mask": "causal", "mask_align": "top_left", "kv_len": 32},
        {"masks": {"causal"}, "mask_aligns": {"top_left"}},
        "mask causal is not one of none",
    ),
    (
        {"kv_dtype": "int8"},
        {"kv_dtypes": {"int8"}},
        "kv_dtype int8 is not one of only the dtype itself",
    ),
    (
        {"attention": "linear"},
        {"attentions": {"softmax", "linear"}},
        "attention linear is not one of softmax",
    ),
    (
        {"q_len": None, "requests": "2q16"},
        {"ragged": True},
        "ragged requests is not supported",
    ),
    (PAGED, {"paged": True}, "a paged KV cache is not supported"),
    ({"softcap": 50.0}, {"softcap": True}, "softcap is not supported"),
    ({"bias": "alibi"}, {"alibi": True}, "alibi is not supported"),
    (
        {**WINDOW, "sinks": 4},
        {"masks": {"window"}, "sinks": True},
        "mask window is not one of none",
    ),
    ({"sink_logits": True}, {"sink_logits": True}, "sink_logits is not supported"),
    ({"rope": "neox"}, {"rope": True}, "rope is not supported"),
    ({"append": 1}, {"append": True}, "append is not supported"),
]


@pytest.mark.parametrize(
    ("problem", "declared", "reason"),
    FEATURES,
    ids=[f"{one[2]}-{n}" for n, one in enumerate(FEATURES)],
)
def test_what_is_not_declared_is_off_with_a_reason(problem, declared, reason):
    assert why_not(problem) == reason
    assert why_not(problem, **declared) is None


@pytest.mark.parametrize(
    ("problem", "declared", "reason"),
    [
        ({}, {"devices": {"cuda"}}, "device cpu is not one of cuda"),
        ({}, {"phases": {"decode"}}, "phase prefill is not one of decode"),
        (
            {"q_len": None, "requests": "q16_q1s9"},
            {"phases": {"prefill", "decode"}, "ragged": True},
            "phase mixed is not one of decode, prefill",
        ),
        ({}, {"dtypes": {"fp16", "fp32"}}, "dtype bf16 is not one of fp16, fp32"),
        ({}, {"head_dims": {128, 96}}, "head_dim 64 is not one of 96, 128"),
        ({}, {"masks": set()}, "mask none is not one of nothing"),
        (
            {"kv_dtype": "int8"},
            {"kv_dtypes": {"int4", "fp8_e4m3"}},
            "kv_dtype int8 is not one of fp8_e4m3, int4",
        ),
        (
            {"mask": "causal", "mask_align": "top_left", "kv_len": 32},
            {"masks": {"causal"}},
            "mask_align top_left is not one of bottom_right",
        ),
        (
            {"kv_heads": 2},
            {"grouped": False},
            "kv_heads 2 under q_heads 8 is not supported",
        ),
        (
            {"v_head_dim": 32},
            {"wide_v": False},
            "v_head_dim 32 beside head_dim 64 is not supported",
        ),
        ({**WINDOW, "sinks": 4}, {"masks": {"window"}}, "sinks is not supported"),
        (PAGED, {"paged": True, "page_sizes": {16, 64}}, "page_size 32 is not one of 16, 64"),
        (
            {**PAGED, "page_format": "hnd"},
            {"paged": True},
            "page_format hnd is not one of nhd",
        ),
    ],
)
def test_each_limit_has_its_reason(problem, declared, reason):
    assert why_not(problem, **declared) == reason


@pytest.mark.parametrize("align", ["bottom_right", "top_left"])
def test_alignment_does_not_matter_where_there_are_as_many_rows_as_keys(align):
    assert why_not({"mask": "causal", "mask_align": align}, masks={"causal"}) is None


@pytest.mark.parametrize(
    ("min_arch", "device", "reason"),
    [
        ("sm_80", H200, None),
        ("sm_90", H200, None),
        ("sm_90a", H200, None),
        ("sm_100", H200, "needs sm_100, this is sm_90"),
        ("sm_100", CPU, None),
    ],
)
def test_an_architecture_is_a_lower_bound_among_nvidias(min_arch, device, reason):
    assert why_not({}, device, min_arch=min_arch) == reason


def test_the_first_reason_is_the_one_that_no_other_problem_would_help():
    assert why_not({"mode": "bwd", "softcap": 5.0}, devices={"cuda"}) == (
        "device cpu is not one of cuda"
    )


@pytest.mark.parametrize("name", ["phases", "modes", "dtypes", "masks", "devices", "page_formats"])
def test_a_word_where_a_set_is_meant_is_refused_with_the_set_to_write(name):
    with pytest.raises(TypeError) as caught:
        Capabilities(**{name: "fwd"})

    assert str(caught.value) == f"Capabilities.{name} is a set of words; write {{'fwd'}}"


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"modes": {"forward"}}, "modes: 'forward' is not one of fwd, bwd, fwd_bwd"),
        ({"masks": {"casual"}}, "did you mean 'causal'?"),
        ({"dtypes": {"bfloat16"}}, "dtypes: 'bfloat16' is not one of fp32, tf32, fp16, bf16"),
        ({"kv_dtypes": {"fp8"}}, "kv_dtypes: 'fp8' is not one of"),
        ({"devices": {"gpu"}}, "devices: 'gpu' is not one of cpu, cuda"),
    ],
)
def test_a_word_that_would_never_match_a_problem_is_refused(declared, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        Capabilities(**declared)


def test_capabilities_are_a_frozen_value_however_the_sets_are_written():
    one, other = Capabilities(modes=["fwd", "bwd"]), Capabilities(modes=("bwd", "fwd"))

    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(FrozenInstanceError):
        one.modes = {"fwd"}


def test_the_facts_of_capabilities_are_json_and_make_the_same_capabilities():
    declared = Capabilities(modes={"fwd", "bwd"}, head_dims={64, 128}, paged=True, min_arch="sm_80")
    facts = json.loads(json.dumps(declared.to_dict()))

    assert facts["modes"] == ["bwd", "fwd"]
    assert Capabilities(**facts) == declared


def test_inputs_need_a_problem_a_scale_and_q_and_lack_the_rest():
    problem = Problem(**PLAIN)
    inputs = Inputs(problem=problem, scale=0.125, q="q")
    lacking = {one.name for one in fields(inputs) if getattr(inputs, one.name) is None}

    assert lacking == {one.name for one in fields(inputs)} - {
        *("problem", "scale", "q", "max_q_len", "max_kv_len")
    }
    with pytest.raises(FrozenInstanceError):
        inputs.q = "other"


def test_a_backend_says_unsupported_with_the_one_class():
    assert Unsupported is errors.Unsupported


def test_a_call_may_carry_notes():
    def call():
        return None

    assert notes_of(call) == ()
    call.notes = ("FALLBACK",)
    assert notes_of(call) == ("FALLBACK",)
