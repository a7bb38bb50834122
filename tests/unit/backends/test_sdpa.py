from __future__ import annotations

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.backends import sdpa
from attnbench.environment import Device
from attnbench.errors import Unsupported
from attnbench.measure.calls import Prepared
from attnbench.measure.check import check
from attnbench.measure.inputs import make_inputs
from attnbench.measure.reference import Reference
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

HEADS = {"q_heads": 4, "kv_heads": 2, "head_dim": 16, "dtype": "fp32"}
CPU = Device(kind="cpu", name="any", arch="x86_64", memory_bytes=1, free_bytes=1)
GPU = Device(kind="cuda", name="any", arch="sm_90", memory_bytes=1, free_bytes=1)
MASKS = [
    {},
    {"mask": "causal"},
    {"mask": "causal", "mask_align": "top_left"},
    {"mask": "window", "window": 3},
    {"mask": "window", "window": 3, "sinks": 2},
    {"mask": "window", "window": 2, "mask_align": "top_left"},
]


def inputs_of(**fields):
    return make_inputs(Problem(**{**HEADS, **fields}), "cpu")


@settings(deadline=None, max_examples=150)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from(MASKS),
    st.sampled_from(["math", "flash"]),
    st.sampled_from(["fp32", "bf16"]),
    st.sampled_from(["fwd", "fwd_bwd"]),
)
def test_every_mask_and_length_is_right(q_len, kv_len, mask, kernel, dtype, mode):
    inputs = inputs_of(q_len=q_len, kv_len=kv_len, dtype=dtype, mode=mode, **mask)

    result = check(Prepared(sdpa, inputs, {"kernel": kernel}).outputs(), Reference.of(inputs))

    assert result.passed, result.reason


@pytest.mark.parametrize(
    ("fields", "has_mask", "is_causal"),
    [
        ({"q_len": 5, "kv_len": 9}, False, False),
        ({"q_len": 1, "kv_len": 9, "mask": "causal"}, False, False),
        ({"q_len": 9, "mask": "causal"}, False, True),
        ({"q_len": 5, "kv_len": 9, "mask": "causal", "mask_align": "top_left"}, False, True),
        ({"q_len": 5, "kv_len": 9, "mask": "causal"}, True, False),
        ({"q_len": 1, "kv_len": 9, "mask": "window", "window": 9}, False, False),
        ({"q_len": 1, "kv_len": 9, "mask": "window", "window": 8}, True, False),
        ({"q_len": 1, "kv_len": 9, "mask": "window", "window": 8, "sinks": 1}, False, False),
    ],
)
def test_a_mask_is_a_tensor_only_where_it_must(fields, has_mask, is_causal):
    mask, causal = sdpa._mask_of(inputs_of(**fields))
    assert (mask is not None, causal) == (has_mask, is_causal)


@pytest.mark.parametrize("fields", [{"kv_len": 9}, {"mask": "causal"}])
def test_torchs_compiler_is_imported_only_for_the_mask_that_comes_with_it(monkeypatch, fields):
    monkeypatch.setitem(sys.modules, "torch.nn.attention.bias", None)  # cannot be imported

    assert sdpa.prepare(inputs_of(q_len=5, **fields))().shape == (1, 4, 5, 16)


@pytest.mark.parametrize("kernel", ["efficient", "cudnn"])
def test_kernels_that_a_cpu_lacks_are_unsupported_before_and_during_the_call(kernel):
    inputs = inputs_of(q_len=4)

    assert sdpa.why_not(inputs.problem, CPU, kernel=kernel) == (
        f"torch has no {kernel} kernel for a CPU, only math and flash"
    )
    assert sdpa.why_not(inputs.problem, GPU, kernel=kernel) is None
    with pytest.raises(Unsupported, match=f"kernel {kernel}: torch has none"):
        sdpa.prepare(inputs, kernel=kernel)()


@pytest.mark.filterwarnings("ignore:Flash attention")
def test_torchs_own_words_say_why_a_kernel_was_refused():
    inputs = inputs_of(q_len=4, v_head_dim=8)

    with pytest.raises(Unsupported, match="Flash attention requires q,k,v to have the same last"):
        sdpa.prepare(inputs, kernel="flash")()


@pytest.mark.parametrize(
    ("kernel", "operator"),
    [
        ("math", "aten::_scaled_dot_product_attention_math"),
        ("flash", "aten::_scaled_dot_product_flash_attention_for_cpu"),
    ],
)
def test_the_kernel_that_was_asked_for_is_the_one_that_runs(kernel, operator):
    call = sdpa.prepare(inputs_of(q_len=4), kernel=kernel)

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        call()

    assert operator in {event.key for event in profile.key_averages()}


@pytest.mark.filterwarnings("ignore:Flash attention")
def test_a_refusal_leaves_every_kernel_switched_on():
    with pytest.raises(Unsupported):
        sdpa.prepare(inputs_of(q_len=4, v_head_dim=8), kernel="flash")()

    assert torch.backends.cuda.math_sdp_enabled()
    assert torch.backends.cuda.mem_efficient_sdp_enabled()
    assert torch.backends.cuda.cudnn_sdp_enabled()


def test_other_errors_of_torch_are_left_as_they_are():
    def attend():
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        sdpa._only("math", attend)()


def test_math_writes_its_scores():
    problem = Problem(**HEADS, batch=2, q_len=8, kv_len=16)
    assert sdpa.workspace_bytes(problem, kernel="math") == (2 * 8 * 128 + 8 * 16 * 32) * 4
    assert sdpa.workspace_bytes(problem) == 0
