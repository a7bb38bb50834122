from __future__ import annotations

import pytest
import torch

from attnbench.conformance import WAYS
from attnbench.measure.inputs import make_inputs, tensors_of
from attnbench.measure.layout import lay_out
from attnbench.measure.reference import Reference
from attnbench.problem import Problem

pytestmark = pytest.mark.torch
HEADS = {"q_heads": 4, "kv_heads": 2, "head_dim": 16, "dtype": "fp32"}
DENSE = Problem(batch=2, q_len=5, kv_len=9, **HEADS)
PROBLEMS = [
    DENSE,
    Problem(batch=2, q_len=5, kv_len=9, mode="bwd", **HEADS),
    Problem(requests="2q3s9_q1s4", kv_dtype="fp8_e4m3", **HEADS),
    Problem(q_len=1, kv_len=9, kv_layout="paged", page_size=4, kv_dtype="int4", **HEADS),
    Problem(q_len=2, kv_len=9, append=1, rope="neox", bias="alibi", sink_logits=True, **HEADS),
    Problem(q_len=1, kv_len=9, **{**HEADS, "kv_heads": 1}, v_head_dim=8, latent=True),
]
each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda one: one.label)


def same(one, other):
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


@each_problem
@pytest.mark.parametrize("way", ["guarded", "strided"])
def test_the_values_stay_and_what_lies_around_them_is_nan(problem, way):
    plain = make_inputs(problem, "cpu")

    laid = lay_out(make_inputs(problem, "cpu"), way)

    for name, tensor in tensors_of(plain).items():
        found = getattr(laid, name)
        assert same(found.detach(), tensor.detach()), name
        assert found.requires_grad == tensor.requires_grad
        inside_k = problem.latent and name == "v"
        if tensor.is_floating_point() and tensor.element_size() > 1 and not inside_k:
            storage = found.detach().untyped_storage()
            behind = torch.empty(0, dtype=tensor.dtype).set_(storage)
            assert behind.numel() > tensor.numel()
            assert behind.isnan().sum() >= behind.numel() - tensor.numel()


def test_guarded_tensors_are_contiguous_and_aligned_and_strided_ones_are_views_by_token():
    guarded, strided = (lay_out(make_inputs(DENSE, "cpu"), way) for way in ("guarded", "strided"))

    assert guarded.k.is_contiguous()
    assert guarded.k.data_ptr() % 64 == 0
    assert strided.k.stride(1) < strided.k.stride(2)
    assert strided.k.stride(3) == 1


def test_a_latent_v_stays_inside_k():
    laid = lay_out(make_inputs(PROBLEMS[-1], "cpu"), "strided")

    assert laid.v.data_ptr() == laid.k.data_ptr()
    assert laid.v.shape[-1] == 8


@pytest.mark.parametrize(("way", "sign"), [("high", 1), ("low", -1)])
def test_scores_are_pushed_beyond_what_exp_can_hold(way, sign):
    laid = lay_out(make_inputs(DENSE, "cpu"), way)

    scores = laid.q @ laid.k.repeat_interleave(2, 1).mT * laid.scale
    assert (sign * scores).min() > 104


@each_problem
def test_mild_inputs_hold_no_nan_outside_what_an_append_writes(problem):
    if problem.append:
        pytest.skip("its cache holds NaN on purpose")
    laid = lay_out(make_inputs(problem, "cpu", poison=False), "strided", mild=True)

    for tensor in tensors_of(laid).values():
        behind = torch.empty(0, dtype=tensor.dtype).set_(tensor.detach().untyped_storage())
        assert not behind.float().isnan().any()


def test_the_reference_does_not_see_the_layout():
    problem = PROBLEMS[0]
    expected = Reference.of(make_inputs(problem, "cpu")).expected["o"]

    for way in ("guarded", "strided"):
        found = Reference.of(lay_out(make_inputs(problem, "cpu"), way)).expected["o"]
        # Sums of fp64 may go in another order where rows lie otherwise, as on a single core.
        torch.testing.assert_close(found.exact, expected.exact, rtol=1e-12, atol=1e-14)
    assert set(WAYS) == {"guarded", "strided", "high", "low"}
