"""From a module to the timed call: modes, outputs, notes and teardown."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.torch

torch = pytest.importorskip("torch")

from attnbench.measure.calls import Outputs, Prepared  # noqa: E402
from attnbench.measure.inputs import make_inputs  # noqa: E402
from attnbench.problem import Problem  # noqa: E402

FIELDS = {"q_len": 4, "kv_len": 6, "q_heads": 2, "head_dim": 8, "dtype": "fp32"}


def bound(module, mode="fwd"):
    inputs = make_inputs(Problem(mode=mode, **FIELDS), "cpu")
    return Prepared(SimpleNamespace(**module), inputs, {}), inputs


def attend(inputs):
    return torch.nn.functional.scaled_dot_product_attention(inputs.q, inputs.k, inputs.v)


def counting(calls):
    def prepare(inputs):
        def call():
            calls.append("fwd")
            return attend(inputs)

        return call

    return prepare


def test_a_forward_is_the_call_itself():
    calls = []
    prepared, inputs = bound({"prepare": counting(calls)})
    assert torch.equal(prepared.timed(), attend(inputs))
    assert calls == ["fwd"]
    assert prepared.outputs().gradients is None


def test_a_backward_is_timed_without_its_forward():
    calls = []
    prepared, _ = bound({"prepare": counting(calls)}, mode="bwd")
    assert calls == ["fwd"]  # once, while preparing
    first, second = prepared.timed(), prepared.timed()
    assert calls == ["fwd"]
    assert len(first) == 3
    assert all(map(torch.equal, first, second))


def test_forward_and_backward_together_run_both_each_time():
    calls = []
    prepared, _ = bound({"prepare": counting(calls)}, mode="fwd_bwd")
    prepared.timed()
    prepared.timed()
    assert calls == ["fwd", "fwd"]


def test_outputs_follow_inputs_that_were_drawn_again():
    prepared, inputs = bound({"prepare": counting([])}, mode="bwd")
    before = prepared.outputs()
    with torch.no_grad():
        inputs.q.mul_(2)
    after = prepared.outputs()
    assert not before.same_bits(after)
    assert all(map(torch.equal, after.gradients, prepared.timed()))


def test_a_library_without_autograd_brings_its_own_backward():
    own = (torch.zeros(1), torch.zeros(1), torch.zeros(1))
    module = {"prepare": counting([]), "prepare_backward": lambda _: lambda: own}
    prepared, _ = bound(module, mode="bwd")
    assert prepared.timed() is own
    both, _ = bound(module, mode="fwd_bwd")
    assert both.timed()[1] is own
    assert both.outputs().o is not None


def test_anything_but_o_or_o_and_lse_is_the_backends_mistake():
    for wrong in (None, [1], (torch.zeros(1),), (torch.zeros(1), "lse")):
        prepared, _ = bound({"prepare": lambda _, wrong=wrong: lambda: wrong})
        with pytest.raises(TypeError, match="the call returns o or"):
            prepared.outputs()


def test_notes_and_teardown_belong_to_the_call():
    undone = []

    def prepare(inputs):
        def call():
            return attend(inputs)

        call.notes = ("FALLBACK",)
        return call

    prepared, _ = bound({"prepare": prepare, "teardown": undone.append})
    assert prepared.notes == ("FALLBACK",)
    prepared.teardown()
    assert len(undone) == 1
    bound({"prepare": prepare})[0].teardown()  # optional


def test_bits_are_compared_with_nan_equal_to_itself():
    nan = torch.tensor([float("nan"), 1.0])
    same = Outputs(nan, None, None).same_bits(Outputs(nan.clone(), None, None))
    other = Outputs(nan, None, None).same_bits(Outputs(torch.tensor([0.0, 1.0]), None, None))
    zero = Outputs(torch.tensor([0.0]), None, None)
    assert same
    assert not other
    assert not zero.same_bits(Outputs(torch.tensor([-0.0]), None, None))


def test_bytes_of_whatever_was_returned():
    one = torch.zeros(10)
    assert Outputs.nbytes_of(one) == 40
    assert Outputs.nbytes_of((one, (one, one))) == 120
    assert Outputs.nbytes_of(None) == 0
