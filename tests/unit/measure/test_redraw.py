"""After the samples an input is drawn again: whoever remembered an answer gives the old one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from attnbench.measure.calls import Prepared
from attnbench.measure.check import check
from attnbench.measure.inputs import checksum, make_inputs, redraw
from attnbench.measure.reference import Reference
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

PROBLEM = {"q_len": 24, "q_heads": 4, "kv_heads": 2, "head_dim": 16, "dtype": "fp32"}


def own_backward(*, remembers):
    """A library that keeps o and lse of its forward and brings its gradients itself."""

    def prepare_backward(inputs):
        wanted = (inputs.q, inputs.k, inputs.v)
        o = torch.nn.functional.scaled_dot_product_attention(
            *wanted, scale=inputs.scale, enable_gqa=True
        )
        first = torch.autograd.grad(o, wanted, inputs.grad_out, retain_graph=True)

        # What a kernel would do with the kept forward; autograd refuses a q written in place.
        def gradients():
            return torch.autograd.grad(o, wanted, inputs.grad_out, retain_graph=True)

        return (lambda: first) if remembers else gradients

    return SimpleNamespace(prepare_backward=prepare_backward)


@pytest.mark.parametrize("remembers", [False, True])
def test_a_backward_of_its_own_follows_grad_out_or_is_found_out(remembers):
    inputs = make_inputs(Problem(**PROBLEM, mode="bwd"), "cpu")
    prepared = Prepared(own_backward(remembers=remembers), inputs, {})
    assert check(prepared.outputs(), Reference.of(inputs)).passed
    assert prepared.redrawn == "grad_out"

    redraw(inputs, prepared.redrawn)

    result = check(prepared.outputs(), Reference.few_rows(inputs))
    assert result.passed is not remembers


@pytest.mark.parametrize(("mode", "name"), [("fwd", "q"), ("bwd", "q"), ("bwd", "grad_out")])
def test_what_is_drawn_again_changes_and_comes_back_to_the_bit(mode, name):
    inputs = make_inputs(Problem(**PROBLEM, mode=mode), "cpu")
    before, drawn = checksum(inputs), getattr(inputs, name).detach().clone()

    redraw(inputs, name)
    assert not torch.equal(getattr(inputs, name), drawn)

    redraw(inputs, name, back=True)
    assert torch.equal(getattr(inputs, name), drawn)
    assert checksum(inputs) == before
