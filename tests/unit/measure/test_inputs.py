from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.measure.calls import Prepared
from attnbench.measure.check import check
from attnbench.measure.inputs import (
    alibi_slopes,
    checksum,
    input_bytes,
    make_inputs,
    matmul_precision,
    redraw,
    tensors_of,
)
from attnbench.measure.oracle import blocks_of
from attnbench.measure.reference import Reference
from attnbench.measure.sequences import groups_of, read_k
from attnbench.planning import sizes
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

HEADS = {"q_heads": 4, "kv_heads": 2, "head_dim": 8, "dtype": "bf16"}
PAGED = {"kv_layout": "paged", "page_size": 4}
NAN_BYTES = (0x7F, 0xFF)


def inputs_of(*, seed=None, poison=True, **fields):
    return make_inputs(Problem(**{**HEADS, **fields}), "cpu", seed=seed, poison=poison)


def same_bits(one, other):
    return one.dtype == other.dtype and torch.equal(one.view(torch.uint8), other.view(torch.uint8))


def is_nan(tensor):
    return tensor.float().isnan()


VARIANTS = st.fixed_dictionaries(
    {"batch": st.integers(1, 3), "q_len": st.integers(2, 5), "kv_len": st.integers(2, 9)},
    optional={
        "kv_dtype": st.sampled_from(["fp32", "fp16", "fp8_e4m3", "fp8_e5m2", "int8", "int4"]),
        "append": st.integers(0, 2),
        "latent": st.booleans(),
        "bias": st.just("alibi"),
        "sink_logits": st.sampled_from([True]),
        "rope": st.sampled_from(["neox", "gptj"]),
        "v_head_dim": st.just(4),
    },
)
PAGES = st.sampled_from([{}, PAGED, {**PAGED, "page_format": "hnd", "page_order": "identity"}])


@settings(deadline=None, max_examples=100)
@given(VARIANTS, PAGES, st.booleans())
def test_bytes_are_predicted_exactly(fields, pages, is_packed):
    if is_packed:
        fields = {name: value for name, value in fields.items() if "len" not in name}
        fields = {**fields, "requests": "2q2s5_q3s9"}
        del fields["batch"]

    inputs = inputs_of(**fields, **pages)

    assert input_bytes(inputs) == sizes.predict_input_bytes(inputs.problem)


@pytest.mark.parametrize(
    "fields",
    [
        {"attention": "additive", "additive_dim": 6, "kv_len": 7},
        {"attention": "layer", "mask": "causal"},
        {"attention": "layer", "dtype": "bf16", "q_heads": 6, "kv_heads": 3},
    ],
)
def test_bytes_of_weights_are_predicted_too(fields):
    inputs = inputs_of(q_len=5, **fields)

    assert input_bytes(inputs) == sizes.predict_input_bytes(inputs.problem)


def test_weights_keep_the_variance_of_what_they_are_applied_to():
    inputs = inputs_of(q_len=64, batch=8, head_dim=32, q_heads=8, kv_heads=8, attention="layer")

    x = inputs.q.transpose(1, 2).flatten(2)
    assert float((x @ inputs.w_q.mT).float().std()) == pytest.approx(1.0, rel=0.05)


def test_bytes_of_a_backward_are_predicted_too():
    inputs = inputs_of(q_len=5, kv_len=7, mode="bwd")

    assert input_bytes(inputs) == sizes.predict_input_bytes(inputs.problem)
    assert inputs.q.requires_grad
    assert inputs.k.requires_grad
    assert inputs.v.requires_grad
    assert inputs.grad_out.shape == (1, 4, 5, 8)


def test_dense_shapes():
    inputs = inputs_of(batch=3, q_len=5, kv_len=7, v_head_dim=6)

    assert inputs.q.shape == (3, 4, 5, 8)
    assert inputs.k.shape == (3, 2, 7, 8)
    assert inputs.v.shape == (3, 2, 7, 6)
    assert inputs.q.dtype == torch.bfloat16
    assert (inputs.max_q_len, inputs.max_kv_len) == (5, 7)
    assert set(tensors_of(inputs)) == {"q", "k", "v"}


def test_packed_shapes():
    inputs = inputs_of(requests="2q3s5_q1s8")

    assert inputs.q.shape == (7, 4, 8)
    assert inputs.k.shape == (18, 2, 8)
    assert inputs.cu_seqlens_q.tolist() == [0, 3, 6, 7]
    assert inputs.cu_seqlens_k.tolist() == [0, 5, 10, 18]
    assert inputs.cu_seqlens_q.dtype == torch.int32


@pytest.mark.parametrize("page_format", ["nhd", "hnd"])
def test_paged_shapes(page_format):
    inputs = inputs_of(
        batch=2, q_len=1, kv_len=9, kv_dtype="int4", page_format=page_format, **PAGED
    )

    places = (4, 2) if page_format == "nhd" else (2, 4)
    assert inputs.k is None
    assert inputs.k_pages.shape == (7, *places, 4)
    assert inputs.k_pages.dtype == torch.uint8
    assert inputs.k_scale.shape == inputs.k_zero.shape == (7, 2, 4)
    assert inputs.page_table.shape == (2, 3)
    assert inputs.kv_lens.tolist() == [9, 9]


@pytest.mark.parametrize("order", ["identity", "shuffled"])
def test_every_page_has_one_owner_and_one_page_has_none(order):
    inputs = inputs_of(requests="2q1s9_q1s3_q1s16", page_order=order, **PAGED)

    needed = [3, 3, 1, 4]
    owned = [
        page
        for row, count in zip(inputs.page_table.tolist(), needed, strict=True)
        for page in row[:count]
    ]
    assert sorted([*owned, inputs.page_table[2, 3].item()]) == list(range(12))
    assert (owned == sorted(owned)) == (order == "identity")


@pytest.mark.parametrize("kv_dtype", ["bf16", "fp8_e4m3", "fp8_e5m2", "int8", "int4"])
@pytest.mark.parametrize("page_format", ["nhd", "hnd"])
def test_what_no_sequence_owns_is_poison(kv_dtype, page_format):
    inputs = inputs_of(
        batch=2, q_len=1, kv_len=9, kv_dtype=kv_dtype, page_format=page_format, **PAGED
    )

    owned = torch.zeros(7, 4, dtype=torch.bool)
    for row in inputs.page_table.tolist():
        for token in range(9):
            owned[row[token // 4], token % 4] = True
    for name in ("k_scale", "v_scale") if inputs.k_scale is not None else ("k_pages", "v_pages"):
        tensor = getattr(inputs, name)
        tensor = tensor if "pages" in name and page_format == "nhd" else tensor.transpose(1, 2)
        assert is_nan(tensor[~owned]).all()
        assert not is_nan(tensor[owned]).any()


def test_poison_can_be_left_out():
    inputs = inputs_of(q_len=1, kv_len=9, poison=False, **PAGED)

    assert not is_nan(inputs.k_pages).any()


@pytest.mark.parametrize(
    ("fields", "places"),
    [
        ({"batch": 2, "q_len": 3, "kv_len": 7}, [5, 6]),
        ({"requests": "q2s4_q3s5"}, [2, 3, 7, 8]),
    ],
    ids=["dense", "packed"],
)
def test_slots_that_an_append_must_write_are_poison(fields, places):
    inputs = inputs_of(append=2, **fields)

    tokens = inputs.k if inputs.problem.is_ragged else inputs.k.transpose(1, 2)
    axis = 0 if inputs.problem.is_ragged else 1
    bad = is_nan(tokens).flatten(axis + 1).all(-1)
    bad = bad if axis == 0 else bad.all(0)
    assert bad.nonzero().flatten().tolist() == places


def test_one_seed_gives_one_problem_and_another_another():
    one, same, other = inputs_of(q_len=6), inputs_of(q_len=6), inputs_of(q_len=6, seed=1)

    assert all(same_bits(a, b) for a, b in zip(*map(_values, (one, same)), strict=True))
    assert not same_bits(one.q, other.q)
    assert not same_bits(one.k, other.k)
    assert not torch.equal(one.k, one.v)


def _values(inputs):
    return tensors_of(inputs).values()


def test_a_tensor_does_not_depend_on_what_else_there_is():
    plain, rich = inputs_of(q_len=6), inputs_of(q_len=6, bias="alibi", mode="bwd")

    assert same_bits(plain.q, rich.q.detach())
    assert same_bits(plain.v, rich.v.detach())


def test_redrawing_changes_q_alone_in_place_and_can_be_taken_back():
    inputs = inputs_of(q_len=6, append=2, mode="fwd")
    place, q, v = inputs.q.data_ptr(), inputs.q.clone(), inputs.v.clone()
    inputs.k[..., -2:, :] = 1

    redraw(inputs)
    assert inputs.q.data_ptr() == place
    assert not torch.equal(inputs.q, q)
    assert same_bits(inputs.v, v)
    assert is_nan(inputs.k[..., -2:, :]).all()

    redraw(inputs, back=True)
    assert torch.equal(inputs.q, q)


def test_a_leaf_that_needs_a_gradient_can_be_redrawn():
    inputs = inputs_of(q_len=6, mode="bwd")
    redraw(inputs)
    assert inputs.q.is_leaf


def test_the_checksum_watches_all_but_what_an_append_may_write():
    inputs = inputs_of(q_len=6)
    before = checksum(inputs)
    inputs.v[0, 0, 0, 0] += 1
    assert checksum(inputs) != before

    inputs = inputs_of(q_len=6, append=1)
    before = checksum(inputs)
    inputs.v[0, 0, 0, 0] += 1
    assert checksum(inputs) == before
    inputs.q[0, 0, 0, 0] += 1
    assert checksum(inputs) != before


def test_a_latent_v_lies_in_k():
    inputs = inputs_of(q_len=6, kv_heads=1, v_head_dim=4, latent=True, append=1)

    assert inputs.v.data_ptr() == inputs.k.data_ptr()
    assert inputs.v.shape == (1, 1, 6, 4)
    assert inputs.v_new.data_ptr() == inputs.k_new.data_ptr()


def test_alibi_slopes_of_a_power_of_two():
    assert alibi_slopes(8) == [2**-n for n in range(1, 9)]


def test_alibi_slopes_of_another_number_lie_between():
    assert alibi_slopes(6) == [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3]


def test_angles_of_the_rope():
    inputs = inputs_of(q_len=2, kv_len=5, rope="neox", rope_dim=4, rope_base=100.0)

    assert inputs.cos.shape == inputs.sin.shape == (5, 2)
    angles = torch.tensor([[0.0, 0.0], [1.0, 0.1], [2.0, 0.2], [3.0, 0.3], [4.0, 0.4]])
    torch.testing.assert_close(inputs.cos, angles.cos())
    torch.testing.assert_close(inputs.sin, angles.sin())


@pytest.mark.parametrize(
    ("dist", "low", "high"),
    [("normal", 3.5, 6), ("uniform", 0.99, 1.0), ("zeros", 0, 0), ("outliers", 15, 70)],
)
def test_the_largest_number_tells_the_distribution(dist, low, high):
    inputs = inputs_of(q_len=2000, input_dist=dist)
    assert low <= inputs.q.abs().max().item() <= high


def keys_of(inputs):
    """K of each sequence, ``[n, kv_heads, kv_len, dim]``, as a call reads it."""
    blocks = (
        block for group in groups_of(inputs.problem) for block in blocks_of(inputs.problem, group)
    )
    return [read_k(inputs, block, torch.float32) for block in blocks]


def large_channels(inputs):
    """Which channels of each head are beyond 5 in every token of every sequence."""
    return torch.stack([(k.abs() > 5).all(-2).all(0) for k in keys_of(inputs)]).all(0)


LONG = {"q_len": 3, "kv_len": 50, "batch": 2, "input_dist": "outliers", "head_dim": 64}


@pytest.mark.parametrize(
    "fields",
    [
        {"kv_dtype": "int8"},
        {"kv_dtype": "fp8_e4m3"},
        {"append": 2},
        {"append": 2, "kv_dtype": "int8"},
        {"latent": True, "v_head_dim": 32},
        PAGED,
        {**PAGED, "page_format": "hnd", "append": 3, "kv_dtype": "int8"},
        {"batch": None, "q_len": None, "kv_len": None, "requests": "2q3s50_q1s17", "append": 1},
        {**PAGED, "batch": None, "q_len": None, "kv_len": None, "requests": "2q3s50_q1s17"},
    ],
)
def test_outliers_of_k_are_the_same_channels_in_every_token_layout_and_new_row(fields):
    plain = inputs_of(**LONG)
    expected = large_channels(plain)

    other = inputs_of(**{**LONG, **fields})

    assert expected.sum(-1).tolist() == [2, 2]
    assert torch.equal(large_channels(other), expected)


def test_outlier_channels_are_of_their_head_and_seed_and_leave_the_others_normal():
    here, there = inputs_of(**LONG, seed=1), inputs_of(**LONG, seed=2)
    large = large_channels(here)

    assert not torch.equal(large[0], large[1])
    assert not torch.equal(large, large_channels(there))
    (k,) = keys_of(here)
    rest = k.transpose(1, 2)[..., ~large]
    assert 0.9 < float(rest.std()) < 1.1
    assert not large_channels(inputs_of(**{**LONG, "input_dist": "normal"})).any()


@pytest.mark.parametrize("head_dim", [2, 8, 64, 256])
def test_a_head_has_an_outlier_channel_at_least_and_about_three_in_a_hundred(head_dim):
    large = large_channels(inputs_of(**{**LONG, "head_dim": head_dim}))

    assert large.sum(-1).tolist() == [max(1, round(0.03 * head_dim))] * 2


def test_outliers_of_q_and_v_are_rare_elements_and_no_channel():
    inputs = inputs_of(**{**LONG, "q_len": 2000, "kv_len": 2000})

    for tensor in (inputs.q, inputs.v):
        assert 1e-4 < float((tensor.abs() > 6).float().mean()) < 2e-3
        assert float((tensor.abs() > 5).float().mean(-2).max()) < 0.01


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_outliers_leave_the_check_about_as_strict_as_normal_numbers_do(dtype):
    usual = Reference.of(inputs_of(**{**LONG, "dtype": dtype, "input_dist": "normal"}))
    large = Reference.of(inputs_of(**{**LONG, "dtype": dtype}))

    assert large.expected["o"].plain_error < 4 * usual.expected["o"].plain_error


def test_tf32_is_let_in_for_its_own_problems_alone():
    problem = Problem(q_len=4, **{**HEADS, "dtype": "tf32"})
    before = torch.get_float32_matmul_precision()

    with matmul_precision(problem):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before
    with matmul_precision(Problem(q_len=4, **HEADS)):
        assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("kv_dtype", ["bf16", "int8"])
def test_outlier_channels_are_the_same_in_every_part_of_a_large_tensor(monkeypatch, kv_dtype):
    expected = large_channels(inputs_of(**LONG))
    monkeypatch.setattr("attnbench.measure.random_inputs.DRAWN_AT_ONCE", 1000)
    monkeypatch.setattr("attnbench.measure.inputs.DRAWN_AT_ONCE", 1000)

    assert torch.equal(large_channels(inputs_of(**LONG, kv_dtype=kv_dtype)), expected)


def test_parts_of_a_large_tensor_are_drawn_one_after_another(monkeypatch):
    whole = inputs_of(q_len=6, kv_dtype="int8")
    monkeypatch.setattr("attnbench.measure.inputs.DRAWN_AT_ONCE", 24)

    parts = inputs_of(q_len=6, kv_dtype="int8")

    assert parts.k.shape == whole.k.shape
    assert not is_nan(parts.k_scale).any()
    assert parts.k.unique().numel() > 10


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
