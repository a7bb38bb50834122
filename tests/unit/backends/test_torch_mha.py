from __future__ import annotations

import pytest
import torch

from attnbench.backends import torch_mha
from attnbench.environment import Device
from attnbench.measure.calls import Prepared
from attnbench.measure.check import check
from attnbench.measure.inputs import make_inputs
from attnbench.measure.reference import Reference
from attnbench.problem import Problem

pytestmark = pytest.mark.torch
CPU = Device(kind="cpu", name="x", arch="x86_64", memory_bytes=1, free_bytes=1)


def problem_of(**fields):
    base = {"batch": 2, "q_len": 12, "q_heads": 4, "head_dim": 8, "dtype": "fp32"}
    return Problem(**{**base, "attention": "layer", **fields})


@pytest.mark.parametrize("mask", ["none", "causal"])
@pytest.mark.parametrize("fast_path", [True, False])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_each_way_is_right_and_the_fast_one_is_taken(mask, fast_path, dtype):
    inputs = make_inputs(problem_of(mask=mask, dtype=dtype), "cpu")
    prepared = Prepared(torch_mha, inputs, {"fast_path": fast_path})

    result = check(prepared.outputs(), Reference.of(inputs))

    assert result.passed, result.reason
    assert prepared.notes == ()


def test_the_reference_holds_the_projections():
    inputs = make_inputs(problem_of(mask="causal"), "cpu")
    x = inputs.q.transpose(1, 2).flatten(2).double()
    q, k, v = (
        (x @ one.double().mT).unflatten(2, (4, 8)).transpose(1, 2)
        for one in (inputs.w_q, inputs.w_k, inputs.w_v)
    )
    o = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    wanted = (o.transpose(1, 2).flatten(2) @ inputs.w_o.double().mT).unflatten(2, (4, 8))

    expected = Reference.of(inputs).expected

    assert set(expected) == {"o"}
    assert torch.allclose(expected["o"].exact, wanted.transpose(1, 2).reshape(-1, 8))


def test_a_fused_path_that_is_not_taken_is_a_note():
    # torch's fused kernel takes an even number of heads only.
    prepared = Prepared(torch_mha, make_inputs(problem_of(q_heads=3), "cpu"), {})

    prepared.outputs()

    assert prepared.notes == ("FALLBACK",)


def test_attention_alone_is_not_its_problem():
    alone = Problem(q_len=12, q_heads=4, head_dim=8, dtype="fp32")

    assert torch_mha.capabilities.why_not(alone, CPU) == "attention softmax is not one of layer"
    assert torch_mha.capabilities.why_not(problem_of(), CPU) is None
    assert "is not 1 / sqrt(head_dim)" in torch_mha.why_not(problem_of(scale=1.0), CPU)


def test_its_input_is_read_where_it_lies():
    inputs = make_inputs(problem_of(), "cpu")

    assert inputs.q.transpose(1, 2).flatten(2).data_ptr() == inputs.q.data_ptr()
    assert inputs.k is None
