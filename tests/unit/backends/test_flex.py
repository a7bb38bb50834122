from __future__ import annotations

import pytest
import torch

from attnbench.backends import flex
from attnbench.environment import Device
from attnbench.measure.calls import Prepared
from attnbench.measure.check import check
from attnbench.measure.inputs import make_inputs
from attnbench.measure.reference import Reference
from attnbench.plugin import notes_of
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

HEADS = {"q_heads": 4, "kv_heads": 2, "head_dim": 16, "dtype": "fp32"}
CPU = Device(kind="cpu", name="any", arch="x86_64", memory_bytes=1, free_bytes=1)
GPU = Device(kind="cuda", name="any", arch="sm_90", memory_bytes=1, free_bytes=1)
SPARSE = {"attention": "block_sparse", "block": 16, "density": 0.5}
PROBLEMS = [
    {"q_len": 40, "kv_len": 24},
    {"q_len": 40, "kv_len": 24, "mask": "causal"},
    {"q_len": 24, "kv_len": 40, "mask": "causal", "mask_align": "top_left"},
    {"q_len": 24, "kv_len": 40, "mask": "window", "window": 7, "sinks": 3},
    {"q_len": 24, "kv_len": 40, "mask": "causal", "softcap": 2.0, "bias": "alibi"},
    {"q_len": 40, "kv_len": 24, "mask": "causal", "sink_logits": True},
    {"batch": 3, "q_len": 1, "kv_len": 40, "mask": "window", "window": 8, "sinks": 2},
    {"requests": "q9_2q5s12_q1s30"},
    {"requests": "q9_2q5s12_q1s30", "mask": "causal", "bias": "alibi", "sink_logits": True},
    {"requests": "q5s12_q30s9", "mask": "window", "window": 4, "sinks": 3},
    {"requests": "q5s12_q9s30", "mask": "causal", "mask_align": "top_left", "bias": "alibi"},
    {"q_len": 40, "kv_len": 50, **SPARSE},
    {"q_len": 40, "kv_len": 50, "mask": "causal", **SPARSE, "pattern": "local_global"},
]


def test_a_cpu_only_on_request_and_forward_only():
    forward, backward = Problem(**HEADS, q_len=8), Problem(**HEADS, q_len=8, mode="bwd")

    assert "flex[cpu=true]" in flex.why_not(forward, CPU)
    assert flex.why_not(forward, CPU, cpu=True) is None
    assert flex.why_not(backward, CPU, cpu=True) == "flex has no backward on a CPU"
    assert flex.why_not(backward, GPU) is None


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("fields", PROBLEMS)
def test_masks_and_scores_are_right_and_running_eagerly_is_noted(fields, monkeypatch):
    # Compiling is for the slow tests: here flex runs torch's eager stand-in and says so.
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    inputs = make_inputs(Problem(**HEADS, **fields), "cpu")
    prepared = Prepared(flex, inputs, {"cpu": True})

    assert prepared.notes == ()
    result = check(prepared.outputs(), Reference.of(inputs))

    assert result.passed, result.reason
    assert prepared.notes == ("FALLBACK",)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("fields", [PROBLEMS[3], PROBLEMS[5], PROBLEMS[8]])
def test_lse_is_natural_and_has_the_sink_in_it(fields, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    inputs = make_inputs(Problem(**HEADS, **fields), "cpu")
    outputs = Prepared(flex, inputs, {"cpu": True, "lse": True}).outputs()

    assert outputs.lse is not None
    result = check(outputs, Reference.of(inputs))
    assert result.passed, result.reason


def test_lse_is_the_forwards():
    problem = Problem(**HEADS, q_len=8, mode="fwd_bwd")

    assert flex.why_not(problem, GPU, lse=True) == "only the forward returns lse"


def test_torch_compiles_no_lse_on_a_cpu():
    sinks = Problem(**HEADS, q_len=8, sink_logits=True)

    assert "no lse on a CPU" in flex.why_not(sinks, CPU, cpu=True)
    assert "no lse on a CPU" in flex.why_not(Problem(**HEADS, q_len=8), CPU, cpu=True, lse=True)
    assert flex.why_not(sinks, GPU, lse=True) is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler, of torch itself
def test_packed_requests_are_compiled_and_right():
    inputs = make_inputs(Problem(**HEADS, **PROBLEMS[-1]), "cpu")
    prepared = Prepared(flex, inputs, {"cpu": True})

    result = check(prepared.outputs(), Reference.of(inputs))

    assert result.passed, result.reason
    assert prepared.notes == ()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler, of torch itself
def test_what_was_compiled_carries_no_note():
    inputs = make_inputs(Problem(**HEADS, q_len=40, mask="causal"), "cpu")
    call = flex.prepare(inputs, cpu=True)

    o = call()

    assert notes_of(call) == ()
    assert o.shape == inputs.q.shape
