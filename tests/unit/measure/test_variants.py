"""The definitions of linear and additive attention, row after row and key after key."""

from __future__ import annotations

import math

import pytest
import torch

from attnbench.measure.inputs import make_inputs
from attnbench.measure.reference import Reference
from attnbench.problem import Problem

pytestmark = pytest.mark.torch
BASE = {"batch": 2, "q_heads": 4, "kv_heads": 2, "head_dim": 6, "v_head_dim": 5, "dtype": "fp32"}


def rows_of(inputs):
    """Every (batch, head, row) with its query, and the keys that it sees."""
    problem = inputs.problem
    offset = problem.kv_len - problem.q_len
    for batch in range(problem.batch):
        for head in range(problem.q_heads):
            kv_head = head * problem.kv_heads // problem.q_heads
            k, v = inputs.k[batch, kv_head].double(), inputs.v[batch, kv_head].double()
            for row in range(problem.q_len):
                seen = problem.kv_len if problem.mask == "none" else row + offset + 1
                yield head, kv_head, inputs.q[batch, head, row].double(), k[:seen], v[:seen]


def assert_reference_is(inputs, wanted):
    expected = Reference.of(inputs).expected["o"]

    assert torch.allclose(expected.exact, torch.stack(wanted), rtol=1e-9)


def elu1(x):
    return torch.where(x > 0, x + 1, x.exp())


@pytest.mark.parametrize("mask", ["none", "causal"])
@pytest.mark.parametrize("feature", ["elu1", "identity"])
def test_linear_attention_is_this(mask, feature):
    inputs = make_inputs(
        Problem(**BASE, q_len=7, attention="linear", mask=mask, feature=feature), "cpu"
    )
    wanted = []
    for _, _, query, keys, values in rows_of(inputs):
        if feature == "identity":
            weights = [inputs.scale * (query * key).sum() for key in keys]
            total = 1.0
        else:
            weights = [(elu1(query) * elu1(key)).sum() for key in keys]
            total = sum(weights)
        wanted.append(sum(one * value for one, value in zip(weights, values, strict=True)) / total)

    assert_reference_is(inputs, wanted)
    assert set(Reference.of(inputs).expected) == {"o"}


@pytest.mark.parametrize("mask", ["none", "causal"])
def test_additive_attention_is_this(mask):
    problem = Problem(**BASE, q_len=4, kv_len=9, attention="additive", additive_dim=3, mask=mask)
    inputs = make_inputs(problem, "cpu")
    wanted = []
    for head, kv_head, query, keys, values in rows_of(inputs):
        of_q, of_k = inputs.w_q[head].double(), inputs.w_k[kv_head].double()
        bent = [(query @ of_q + key @ of_k).tanh() for key in keys]
        scores = [inputs.scale * (inputs.w_score[head].double() * one).sum() for one in bent]
        weights = [math.exp(one) for one in scores]
        total = sum(weights)
        wanted.append(sum(one / total * value for one, value in zip(weights, values, strict=True)))

    assert_reference_is(inputs, wanted)


def test_picked_rows_are_those_of_the_whole():
    for fields in ({"attention": "linear"}, {"attention": "additive", "additive_dim": 8}):
        inputs = make_inputs(Problem(**BASE, q_len=40, mask="causal", **fields), "cpu")
        whole, few = Reference.of(inputs).expected["o"], Reference.few_rows(inputs).expected["o"]

        flat = whole.exact.view(*inputs.q.shape[:-1], -1)[few.where]
        assert torch.allclose(flat, few.exact, rtol=1e-9)
