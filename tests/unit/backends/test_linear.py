from __future__ import annotations

import pytest
import torch

from attnbench.backends import linear
from attnbench.environment import Device
from attnbench.measure.calls import Prepared
from attnbench.measure.check import check
from attnbench.measure.inputs import make_inputs
from attnbench.measure.reference import Reference
from attnbench.problem import Problem

pytestmark = pytest.mark.torch
CPU = Device(kind="cpu", name="x", arch="x86_64", memory_bytes=1, free_bytes=1)


def problem_of(**fields):
    base = {"batch": 2, "q_heads": 4, "kv_heads": 2, "head_dim": 16, "dtype": "fp32"}
    return Problem(**{**base, "attention": "linear", **fields})


def outputs(problem, **options):
    inputs = make_inputs(problem, "cpu")
    return Prepared(linear, inputs, options).outputs(), inputs


@pytest.mark.parametrize("form", ["chunked", "recurrent"])
@pytest.mark.parametrize("feature", ["elu1", "identity"])
@pytest.mark.parametrize("q_len", [1, 16, 45])
def test_each_form_is_right(form, feature, q_len):
    problem = problem_of(q_len=q_len, mask="causal", feature=feature, chunk=16, v_head_dim=24)
    got, inputs = outputs(problem, form=form)

    result = check(got, Reference.of(inputs))

    assert result.passed, result.reason


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_without_a_mask_every_row_sees_every_key(dtype):
    got, inputs = outputs(problem_of(q_len=40, dtype=dtype))

    assert check(got, Reference.of(inputs)).passed


def test_the_size_of_a_chunk_changes_nothing_but_rounding():
    problems = [problem_of(q_len=50, mask="causal", chunk=chunk) for chunk in (1, 7, 50, 64)]

    one, *others = (outputs(problem)[0].o for problem in problems)

    for other in others:
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_later_token_moves_no_earlier_row():
    problem = problem_of(q_len=30, mask="causal", chunk=8)
    inputs = make_inputs(problem, "cpu")
    call = Prepared(linear, inputs, {})
    before = call.outputs().o.clone()

    with torch.no_grad():
        inputs.v[:, :, 20:] += 1

    after = call.outputs().o
    assert torch.equal(before[:, :, :20], after[:, :, :20])
    assert not torch.equal(before[:, :, 20:], after[:, :, 20:])


def test_a_recurrence_without_a_mask_is_refused_in_words():
    assert "causal form" in linear.why_not(problem_of(q_len=8), CPU, form="recurrent")
    assert linear.why_not(problem_of(q_len=8), CPU) is None
