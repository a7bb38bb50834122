"""What a check lets through and what it catches, with wrong backends planted on purpose."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch

from attnbench.backends import naive
from attnbench.measure.calls import Outputs, Prepared
from attnbench.measure.check import FLOORS, check, error_floor
from attnbench.measure.inputs import make_inputs, redraw
from attnbench.measure.reference import Reference
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

HEADS = {"q_heads": 4, "kv_heads": 2, "head_dim": 16, "dtype": "fp32"}


def inputs_of(**fields):
    return make_inputs(Problem(**{**HEADS, **fields}), "cpu")


def run(prepare, inputs):
    """Prepare and call a backend given as its prepare, and check what it computed."""
    module = SimpleNamespace(prepare=prepare)
    return check(Prepared(module, inputs, {}).outputs(), Reference.of(inputs))


def textbook(inputs, *, hide=None, alter=lambda o: o):
    """Dense attention; ``hide(row, key)`` says what is masked."""

    def attend():
        group = inputs.problem.group_size
        k, v = (one.repeat_interleave(group, 1) for one in (inputs.k, inputs.v))
        scores = inputs.q @ k.mT * inputs.scale
        rows = torch.arange(scores.shape[-2]).unsqueeze(1)
        keys = torch.arange(scores.shape[-1])
        if hide is not None:
            scores = scores.masked_fill(hide(rows, keys), float("-inf"))
        return alter(scores.softmax(-1).nan_to_num() @ v)

    return attend


def test_a_right_output_passes():
    result = run(textbook, inputs_of(q_len=20, kv_len=30))

    assert result.passed
    assert result.reason == ""
    assert 0 < result.error_rel < 1e-5
    assert 0 < result.error_ratio <= 2.5


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (lambda o: o[..., :-1], r"o has the shape \(1, 4, 20, 15\), not \(1, 4, 20, 16\)"),
        (lambda o: o.double(), "o is float64, not float32"),
        (lambda o: o.to("meta"), "o is on meta, not on cpu"),
        (lambda o: o * 1.001, "o is off by 0.001 at batch 0, head"),
        (lambda o: o.index_fill(2, torch.tensor([7]), float("nan")), "NaN or inf in 4 of 80 rows"),
        (lambda o: o.index_fill(2, torch.tensor([7]), float("inf")), "batch 0, head 0, row 7"),
        (lambda o: o.roll(1, 1), "times what plain PyTorch fp32 is off by"),
        (torch.zeros_like, "o is off by 1 at"),
    ],
    ids=["shape", "dtype", "device", "scaled", "nan", "inf", "heads rolled", "zeros"],
)
def test_a_wrong_output_does_not(alter, reason):
    result = run(lambda inputs: textbook(inputs, alter=alter), inputs_of(q_len=20, kv_len=30))

    assert not result.passed
    assert re.search(reason, result.reason), result.reason


MASKS = {
    "none where causal is asked": ({"mask": "causal"}, None),
    "one key too many": ({"mask": "causal"}, lambda row, key: key > row + 11),
    "one key too few": ({"mask": "causal"}, lambda row, key: key > row + 9),
    "top-left for bottom-right": ({"mask": "causal"}, lambda row, key: key > row),
    "a window one too wide": (
        {"mask": "window", "window": 5},
        lambda row, key: (key > row + 10) | (key <= row + 10 - 6),
    ),
    "a window without its sinks": (
        {"mask": "window", "window": 5, "sinks": 2},
        lambda row, key: (key > row + 10) | (key <= row + 10 - 5),
    ),
}


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("name", MASKS)
def test_a_wrong_mask_is_caught(name, dtype):
    fields, hide = MASKS[name]
    inputs = inputs_of(q_len=20, kv_len=30, **fields, dtype=dtype)

    assert not run(lambda given: textbook(given, hide=hide), inputs).passed


def test_the_right_mask_passes():
    inputs = inputs_of(q_len=20, kv_len=30, mask="window", window=5)

    def hide(row, key):
        return (key > row + 10) | (key <= row + 10 - 5)

    assert run(lambda given: textbook(given, hide=hide), inputs).passed


def test_rows_without_a_key_are_zero_to_the_bit():
    inputs = inputs_of(q_len=20, kv_len=10, mask="causal")

    def dust(inputs):
        def hide(row, key):
            return key > row - 10

        return textbook(inputs, hide=hide, alter=lambda o: o + 1e-9 * (o == 0))

    result = run(dust, inputs)

    assert "o is not 0 in 40 rows that see no key" in result.reason


def test_reading_past_the_end_of_a_page_is_caught():
    inputs = inputs_of(q_len=1, kv_len=9, kv_layout="paged", page_size=4)

    def overread(inputs):
        """Whole pages, the scores of the tail hidden, its values not."""

        def attend():
            table = inputs.page_table.long()
            k, v = (
                pages[table].flatten(1, 2).transpose(1, 2).repeat_interleave(2, 1)
                for pages in (inputs.k_pages, inputs.v_pages)
            )
            scores = inputs.q @ k.mT * inputs.scale
            scores[..., 9:] = float("-inf")
            return scores.softmax(-1) @ v

        return attend

    result = run(overread, inputs)

    assert not result.passed
    assert "NaN" in result.reason


def test_an_append_that_is_forgotten_is_caught():
    inputs = inputs_of(q_len=2, kv_len=9, append=2)

    assert not run(textbook, inputs).passed
    assert run(naive.prepare, inputs).passed
    redraw(inputs)
    assert not run(textbook, inputs).passed


def test_a_remembered_answer_is_caught_after_q_was_redrawn():
    inputs = inputs_of(q_len=20, kv_len=30)
    first = Reference.of(inputs)

    def remembering(inputs):
        answer = textbook(inputs)()
        return lambda: answer

    prepared = Prepared(SimpleNamespace(prepare=remembering), inputs, {})
    assert check(prepared.outputs(), first).passed

    redraw(inputs)
    assert not check(prepared.outputs(), Reference.few_rows(inputs, like=first)).passed

    redraw(inputs, back=True)
    assert check(prepared.outputs(), first).passed


@pytest.mark.parametrize("mode", ["bwd", "fwd_bwd"])
@pytest.mark.parametrize("which", ["dq", "dk", "dv"])
def test_each_gradient_is_checked_alone(mode, which):
    inputs = inputs_of(q_len=20, kv_len=30, mode=mode)
    reference = Reference.of(inputs)
    right = Prepared(SimpleNamespace(prepare=textbook), inputs, {}).outputs()
    assert check(right, reference).passed

    names = ("dq", "dk", "dv")
    wrong = [
        one * 1.01 if name == which else one
        for name, one in zip(names, right.gradients, strict=True)
    ]
    result = check(Outputs(right.o, right.lse, tuple(wrong)), reference)

    assert not result.passed
    assert result.reason.startswith(f"{which} is off by 0.0")


def test_a_gradient_that_stays_on_one_row_is_caught():
    inputs = inputs_of(q_len=20, kv_len=30, mode="bwd", mask="causal")
    right = Prepared(naive, inputs, {}).outputs()
    dq, dk, dv = right.gradients
    dk = dk.clone()
    dk[0, 1, 3] = dk[0, 1, 4]

    result = check(Outputs(right.o, right.lse, (dq, dk, dv)), Reference.of(inputs))

    assert "dk is off" in result.reason
    assert "KV head 1, key 3" in result.reason


def test_a_library_with_a_backward_of_its_own_may_give_no_output():
    inputs = inputs_of(q_len=20, mode="bwd")
    gradients = Prepared(naive, inputs, {}).outputs().gradients

    assert check(Outputs(None, None, gradients), Reference.of(inputs)).passed


def test_lse_is_checked_where_it_is_returned():
    inputs = inputs_of(q_len=20, kv_len=10, mask="causal")
    right = Prepared(naive, inputs, {}).outputs()
    reference = Reference.of(inputs)

    assert check(Outputs(right.o, right.lse, None), reference).passed
    off = check(Outputs(right.o, right.lse + 1e-3, None), reference)
    assert "lse is off by" in off.reason
    log2 = check(Outputs(right.o, right.lse * 1.4427, None), reference)
    assert not log2.passed
    # Libraries differ in what they say of a row without a key.
    flipped = torch.where(right.lse.isinf(), -right.lse, right.lse)
    assert check(Outputs(right.o, flipped, None), reference).passed
    nan = check(Outputs(right.o, right.lse * float("nan"), None), reference)
    assert "lse is NaN or inf in 40 of 80 rows, first at batch 0, head 0, row 10" in nan.reason


def test_nothing_returned_is_not_right():
    inputs = inputs_of(q_len=4)
    assert not check(Outputs(None, None, None), Reference.of(inputs)).passed


def test_a_row_of_a_packed_batch_is_named_by_its_request():
    inputs = inputs_of(requests="2q3_q5s8")
    right = Prepared(naive, inputs, {}).outputs()
    o = right.o.clone()
    o[8, 2] = 9.0

    result = check(Outputs(o, None, None), Reference.of(inputs))

    assert "at request 2, head 2, row 2:" in result.reason


def test_a_sampled_check_still_sees_nan_anywhere(monkeypatch):
    monkeypatch.setattr("attnbench.planning.sizes.FULL_CHECK_SCORES", 0)
    inputs = inputs_of(batch=8, q_len=200, kv_len=200, head_dim=4)
    right = Prepared(naive, inputs, {}).outputs()
    reference = Reference.of(inputs)
    assert check(right, reference).passed
    seen = set(zip(*(axis.tolist() for axis in reference.expected["o"].where), strict=True))
    unseen = next(n for n in range(200) if (3, 1, n) not in seen)

    o = right.o.clone()
    o[3, 1, unseen] = float("nan")

    result = check(Outputs(o, None, None), reference)
    assert f"first at batch 3, head 1, row {unseen}" in result.reason


@pytest.mark.parametrize("dtype", sorted(FLOORS))
def test_the_floor_is_the_dtypes_or_that_of_a_long_sum(dtype):
    short = Problem(**{**HEADS, "q_len": 4, "dtype": dtype})
    assert error_floor(short) == FLOORS[dtype]
    long = Problem(**{**HEADS, "q_len": 1, "kv_len": 2**19, "dtype": dtype})
    assert error_floor(long) == max(FLOORS[dtype], 2**-24 * (2**19 / 3) ** 0.5)


@pytest.mark.parametrize("dtype", ["fp8_e4m3", "fp8_e5m2", "tf32", "fp16", "bf16"])
@pytest.mark.parametrize("dist", ["normal", "uniform", "zeros", "outliers"])
def test_naive_is_right_in_every_dtype_and_distribution(dtype, dist):
    inputs = inputs_of(q_len=20, kv_len=30, dtype=dtype, input_dist=dist)
    result = run(naive.prepare, inputs)
    assert result.passed, result.reason
