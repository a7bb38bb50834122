from __future__ import annotations

import pytest
import torch

from attnbench.kv_cache.appending import lengths_before, turns_of_slots
from attnbench.measure.inputs import make_inputs
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

STEP = {"batch": 2, "q_len": 1, "kv_len": 21, "q_heads": 2, "head_dim": 8, "dtype": "fp16"}
PAGED = {"kv_layout": "paged", "page_size": 8}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, None), ({"append": 1}, [20, 20]), (PAGED, [21, 21]), ({**PAGED, "append": 1}, [20, 20])],
)
def test_the_cache_is_told_how_long_it_is_before_the_call(fields, expected):
    found = lengths_before(make_inputs(Problem(**STEP, **fields), "cpu"))

    assert (found is None) if expected is None else (found.tolist() == expected)


@pytest.mark.parametrize(("layout", "slots"), [({}, 21), (PAGED, 24)])
def test_every_slot_of_the_cache_has_a_turn_in_the_dtype_of_q(layout, slots):
    inputs = make_inputs(Problem(**STEP, **layout, append=1, rope="neox"), "cpu")
    k = inputs.k.transpose(1, 2) if inputs.k_pages is None else inputs.k_pages

    cos, sin = turns_of_slots(inputs, k)

    assert cos.shape == sin.shape == (slots, 4)
    assert cos.dtype == torch.float16
    assert torch.equal(cos[:21], inputs.cos[:21].half())


def test_without_rope_there_are_no_turns():
    inputs = make_inputs(Problem(**STEP), "cpu")

    assert turns_of_slots(inputs, inputs.k.transpose(1, 2)) == (None, None)
