"""Copies of inputs: every value its own memory, every view still a view."""

from __future__ import annotations

import pytest
import torch

from attnbench.cost import compute_cost
from attnbench.measure.cold_cache import SHARED_FIELDS, copy_inputs
from attnbench.measure.inputs import checksum, input_bytes, make_inputs, tensors_of
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

HEADS = {"q_heads": 4, "kv_heads": 2, "head_dim": 8, "dtype": "bf16"}
PAGED = {"q_len": 3, "kv_len": 9, "kv_layout": "paged", "page_size": 4}
ALL_KINDS = pytest.mark.parametrize(
    "fields",
    [
        {"q_len": 4},
        {"q_len": 4, "mode": "fwd_bwd"},
        {"requests": "2q2s5_q3s9", "rope": "neox", "mask": "causal"},
        {**PAGED, "kv_dtype": "int4", "append": 2, "bias": "alibi"},
        {**PAGED, "kv_dtype": "int8", "page_format": "hnd", "sink_logits": True},
        {"q_len": 1, "kv_len": 8, "latent": True, "v_head_dim": 4, "kv_heads": 1, "append": 1},
    ],
    ids=["dense", "backward", "ragged", "int4 pages", "hnd pages", "latent"],
)


def inputs_of(fields):
    return make_inputs(Problem(**{**HEADS, **fields}), "cpu")


def places(inputs, names):
    tensors = tensors_of(inputs)
    return {tensors[name].untyped_storage().data_ptr() for name in names if name in tensors}


@ALL_KINDS
def test_a_copy_is_equal_in_every_bit_and_every_stride(fields):
    inputs = inputs_of(fields)
    copy = copy_inputs(inputs)

    assert checksum(copy) == checksum(inputs)
    assert input_bytes(copy) == input_bytes(inputs)
    for name, tensor in tensors_of(inputs).items():
        other = getattr(copy, name)
        assert (other.stride(), other.dtype) == (tensor.stride(), tensor.dtype)
        assert other.requires_grad == tensor.requires_grad
        assert other.is_leaf == tensor.is_leaf
        same = tensor.detach().contiguous().view(torch.uint8)
        assert torch.equal(other.detach().contiguous().view(torch.uint8), same), name


@ALL_KINDS
def test_what_a_call_is_priced_for_is_never_shared(fields):
    inputs = inputs_of(fields)
    copy = copy_inputs(inputs)
    own = set(tensors_of(inputs)) - set(SHARED_FIELDS)

    assert not places(inputs, own) & places(copy, own)
    assert places(inputs, SHARED_FIELDS) == places(copy, SHARED_FIELDS)
    cost = compute_cost(inputs.problem)
    if cost.bytes_table:
        assert "page_table" in own
    if cost.bytes_scales:
        assert {"k_scale", "v_scale"} <= own


def test_a_latent_v_lies_in_its_own_copy_of_k():
    copy = copy_inputs(inputs_of({"q_len": 1, "kv_len": 8, "latent": True, "v_head_dim": 4}))

    assert copy.v.untyped_storage().data_ptr() == copy.k.untyped_storage().data_ptr()
    assert copy.v.data_ptr() == copy.k.data_ptr()


def test_writing_one_copy_leaves_the_others():
    inputs = inputs_of({"q_len": 4})
    copy = copy_inputs(inputs)
    before = checksum(inputs)
    copy.k.zero_()

    assert checksum(inputs) == before
    assert checksum(copy) != before
