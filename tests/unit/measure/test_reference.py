"""The reference is held against a loop over rows and keys, and naive against the same loop."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from attnbench.backends import naive
from attnbench.errors import ProblemError, Unsupported
from attnbench.measure.inputs import make_inputs, redraw
from attnbench.measure.reference import Reference
from attnbench.planning import sizes
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

FEW = settings(max_examples=60, deadline=None)
LENGTHS = st.integers(1, 6)
DENSE = st.fixed_dictionaries({"batch": st.integers(1, 2), "q_len": LENGTHS, "kv_len": LENGTHS})
PACKED = st.fixed_dictionaries(
    {"requests": st.sampled_from(["q3", "q1s4_2q2s3", "2q3s5_q4s2_q1s6"])}
)
HEADS = st.sampled_from(
    [
        {"q_heads": 2, "kv_heads": 2},
        {"q_heads": 4, "kv_heads": 2},
        {"q_heads": 3, "kv_heads": 1},
    ]
)
MASKS = st.sampled_from(
    [
        {},
        {"mask": "causal"},
        {"mask": "causal", "mask_align": "top_left"},
        {"mask": "window", "window": 2},
        {"mask": "window", "window": 1, "sinks": 2, "mask_align": "top_left"},
        {"mask": "causal", "attention": "block_sparse", "block": 2, "density": 0.5},
    ]
)
SCORES = st.fixed_dictionaries(
    {},
    optional={
        "softcap": st.just(1.5),
        "bias": st.just("alibi"),
        "sink_logits": st.sampled_from([True]),
        "scale": st.just(0.7),
        "rope": st.sampled_from(["neox", "gptj"]),
        "v_head_dim": st.just(6),
    },
)
CACHES = st.fixed_dictionaries(
    {},
    optional={
        "kv_dtype": st.sampled_from(["fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "int8", "int4"]),
        "append": st.integers(1, 2),
        "latent": st.sampled_from([True]),
    },
)
PAGES = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "kv_layout": st.just("paged"),
            "page_size": st.integers(1, 4),
            "page_order": st.sampled_from(["identity", "shuffled"]),
            "page_format": st.sampled_from(["nhd", "hnd"]),
        }
    ),
)


def problem_of(*parts, **fields):
    joined = {"head_dim": 8, "dtype": "fp32", **fields}
    for part in parts:
        joined |= part
    try:
        return Problem(**joined)
    except ProblemError:
        assume(condition=False)


def as_rows(inputs, answers, which):
    """Answers of the loop in the order of the output's rows."""
    problem = inputs.problem
    requests = problem.request_list
    heads = range(problem.q_heads)
    if problem.is_ragged:
        order = [(n, h, i) for n, r in enumerate(requests) for i in range(r.q_len) for h in heads]
    else:
        order = [(n, h, i) for n, r in enumerate(requests) for h in heads for i in range(r.q_len)]
    return torch.stack([answers[one][which] for one in order]).detach()


@FEW
@given(st.one_of(DENSE, PACKED), HEADS, MASKS, SCORES, CACHES, PAGES)
@example(
    lengths={"requests": "q1s4_2q2s3"},
    heads={"q_heads": 2, "kv_heads": 2},
    mask={"mask": "causal", "attention": "block_sparse", "block": 2, "density": 0.5},
    scores={"sink_logits": True},  # a row that sees no key but the sink
    cache={},
    pages={},
)
def test_the_reference_and_naive_are_the_definition(
    by_definition, lengths, heads, mask, scores, cache, pages
):
    problem = problem_of(lengths, heads, mask, scores, cache, pages)
    inputs = make_inputs(problem, "cpu")

    answers = by_definition(inputs)
    reference = Reference.of(inputs)
    o, lse = naive.prepare(inputs)()

    expected, expected_lse = as_rows(inputs, answers, 0), as_rows(inputs, answers, 1)
    exact = reference.expected["o"].exact
    # Angles and the scales of appended rows are fp32 by definition; the loop has them in fp64.
    is_fp32 = problem.rope != "none" or (problem.append and problem.is_quantized)
    close = {"rtol": 1e-5, "atol": 1e-5} if is_fp32 else {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(exact, expected, **close)
    torch.testing.assert_close(
        reference.expected["lse"].exact.flatten(), expected_lse.double(), **close
    )
    torch.testing.assert_close(
        o.reshape(-1, problem.v_dim).double(), expected, rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(lse.flatten().double(), expected_lse.double(), rtol=1e-4, atol=1e-4)


@FEW
@given(st.one_of(DENSE, PACKED), HEADS, MASKS, SCORES)
def test_gradients_are_those_of_the_definition(by_definition, lengths, heads, mask, scores):
    problem = problem_of(lengths, heads, mask, scores, mode="fwd_bwd")
    inputs = make_inputs(problem, "cpu")

    answers = by_definition(inputs)
    rows = [
        (answers[one][0] * _grad_row(inputs, *one)).sum()
        for one in answers
        if answers[one][0].requires_grad
    ]
    assume(rows)
    wanted = (inputs.q, inputs.k, inputs.v)
    expected = torch.autograd.grad(sum(rows), wanted, allow_unused=True, materialize_grads=True)
    reference = Reference.of(inputs)

    for name, gradient in zip(("dq", "dk", "dv"), expected, strict=True):
        exact = reference.expected[name].exact
        # The loop's gradients come back through fp32 leaves.
        torch.testing.assert_close(
            exact, gradient.reshape(exact.shape).double(), rtol=1e-4, atol=1e-5
        )


def _grad_row(inputs, number, head, row):
    if inputs.cu_seqlens_q is not None:
        return inputs.grad_out[int(inputs.cu_seqlens_q[number]) + row, head].double()
    return inputs.grad_out[number, head, row].double()


@FEW
@given(st.one_of(DENSE, PACKED), HEADS, MASKS, st.sampled_from(["fwd", "fwd_bwd"]), st.data())
def test_working_in_small_chunks_changes_nothing(lengths, heads, mask, mode, data):
    inputs = make_inputs(problem_of(lengths, heads, mask, mode=mode), "cpu")
    whole = Reference.of(inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("attnbench.measure.oracle.CHUNK_SCORES", data.draw(st.integers(1, 300)))
        chunked = Reference.of(inputs)

    for name, one in whole.expected.items():
        torch.testing.assert_close(chunked.expected[name].exact, one.exact)


@FEW
@given(st.one_of(DENSE, PACKED), HEADS, MASKS, SCORES, st.sampled_from(["fwd", "fwd_bwd"]))
def test_sampled_rows_are_rows_of_the_whole(lengths, heads, mask, scores, mode):
    inputs = make_inputs(problem_of(lengths, heads, mask, scores, mode=mode), "cpu")
    whole = Reference.of(inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("attnbench.planning.sizes.FULL_CHECK_SCORES", 0)
        sampled = Reference.of(inputs)

    assert set(sampled.expected) == set(whole.expected)
    for name, one in sampled.expected.items():
        all_rows = whole.expected[name]
        tensor = all_rows.exact.reshape(all_rows.shape)
        picked = tensor[one.where]
        torch.testing.assert_close(one.exact, picked.reshape(one.exact.shape))


def test_first_and_last_of_each_axis_are_among_the_sampled_rows(monkeypatch):
    monkeypatch.setattr("attnbench.planning.sizes.FULL_CHECK_SCORES", 0)
    problem = Problem(
        batch=9, q_len=300, kv_len=300, q_heads=8, kv_heads=4, head_dim=8, dtype="fp32"
    )

    where = Reference.of(make_inputs(problem, "cpu")).expected["o"].where

    triples = set(zip(*(axis.tolist() for axis in where), strict=True))
    assert {(0, 0, 0), (8, 7, 299)} <= triples
    assert {63, 64, 127, 128} <= {row for _, _, row in triples}
    assert 230 <= len(triples) <= sizes.SAMPLED_ROWS


def test_few_rows_are_few_and_of_the_q_that_was_redrawn():
    problem = Problem(batch=4, q_len=64, q_heads=4, head_dim=8, dtype="bf16")
    inputs = make_inputs(problem, "cpu")
    before = Reference.of(inputs)

    redraw(inputs)
    after = Reference.few_rows(inputs, like=before)

    one = after.expected["o"]
    was = before.expected["o"]
    rows = was.exact.reshape(was.shape)[one.where]
    assert one.exact.shape[0] <= sizes.REDRAWN_ROWS
    assert not torch.allclose(rows.double(), one.exact.double())
    assert one.plain_error >= was.plain_error


def test_what_is_kept_is_no_more_than_predicted():
    for mode in ("fwd", "bwd"):
        problem = Problem(
            batch=2, q_len=70, kv_len=90, q_heads=4, head_dim=8, dtype="fp32", mode=mode
        )
        reference = Reference.of(make_inputs(problem, "cpu"))
        kept = sum(one.exact.nbytes for name, one in reference.expected.items() if name != "lse")
        assert kept == sizes.reference_cost(problem).kept_bytes


def test_an_attention_without_a_reference_is_unsupported():
    turned = {"attention": "linear", "rope": "neox"}
    problem = Problem(q_len=4, q_heads=2, head_dim=8, dtype="fp32", **turned)
    with pytest.raises(Unsupported, match="no reference for linear attention with rope"):
        Reference.of(make_inputs(problem, "cpu"))


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
        hidden = [(query @ of_q + key @ of_k).tanh() for key in keys]
        scores = [inputs.scale * (inputs.w_score[head].double() * one).sum() for one in hidden]
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
