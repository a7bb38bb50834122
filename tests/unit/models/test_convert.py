"""Mean-pooling of K and V projections, by hand, by properties, and through attention itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.errors import InputError
from attnbench.models import mean_pool_heads


@st.composite
def projections(draw):
    """(weight, heads, head_dim, a divisor of heads)."""
    kv_heads, group = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    head_dim, hidden = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    heads = kv_heads * group
    dice = np.random.default_rng(draw(st.integers(0, 99)))
    return dice.standard_normal((heads * head_dim, hidden)), heads, head_dim, kv_heads


def test_adjacent_cells_are_averaged():
    weight = np.array([[1.0], [10.0], [3.0], [30.0], [100.0], [0.0], [200.0], [4.0]])

    pooled = mean_pool_heads(weight, heads=4, kv_heads=2)

    assert pooled.tolist() == [[2.0], [20.0], [150.0], [2.0]]


@settings(max_examples=40)
@given(projections())
def test_as_many_kv_heads_as_heads_is_the_identity(projection):
    weight, heads, _, _ = projection

    assert np.array_equal(mean_pool_heads(weight, heads=heads, kv_heads=heads), weight)


@settings(max_examples=40)
@given(projections())
def test_each_kv_head_is_the_mean_of_its_group(projection):
    weight, heads, head_dim, kv_heads = projection
    group = heads // kv_heads

    pooled = mean_pool_heads(weight, heads=heads, kv_heads=kv_heads)

    assert pooled.shape == (kv_heads * head_dim, weight.shape[1])
    for one in range(kv_heads):
        of_group = [
            weight[head * head_dim : (head + 1) * head_dim]
            for head in range(one * group, (one + 1) * group)
        ]
        expected = sum(of_group) / group
        assert np.allclose(pooled[one * head_dim : (one + 1) * head_dim], expected)


@settings(max_examples=40)
@given(projections())
def test_pooling_in_two_steps_is_pooling_in_one(projection):
    weight, heads, _, kv_heads = projection

    half = mean_pool_heads(weight, heads=heads, kv_heads=kv_heads)
    twice = mean_pool_heads(half, heads=kv_heads, kv_heads=1)

    assert np.allclose(twice, mean_pool_heads(weight, heads=heads, kv_heads=1))


@settings(max_examples=40)
@given(projections())
def test_heads_that_were_equal_stay_what_they_were(projection):
    weight, heads, head_dim, kv_heads = projection
    shared = np.repeat(
        weight.reshape(heads, head_dim, -1)[:kv_heads], heads // kv_heads, axis=0
    ).reshape(weight.shape)

    pooled = mean_pool_heads(shared, heads=heads, kv_heads=kv_heads)

    assert np.allclose(pooled, weight[: kv_heads * head_dim])


def test_a_bias_is_pooled_as_its_weight():
    bias = np.arange(6.0)

    assert mean_pool_heads(bias, heads=3, kv_heads=1).tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    ("heads", "kv_heads", "words"),
    [
        (4, 3, "4 heads cannot be pooled to 3 kv_heads"),
        (4, 0, "4 heads cannot be pooled to 0 kv_heads"),
        (3, 1, "8 rows of a projection are not 3 heads"),
    ],
)
def test_what_does_not_divide_is_refused(heads, kv_heads, words):
    with pytest.raises(InputError, match=words):
        mean_pool_heads(np.ones((8, 2)), heads=heads, kv_heads=kv_heads)


@pytest.mark.torch
def test_a_tensor_stays_a_tensor_of_its_dtype():
    import torch

    weight = torch.randn(8, 5, dtype=torch.bfloat16)

    pooled = mean_pool_heads(weight, heads=4, kv_heads=2)

    assert pooled.dtype == torch.bfloat16
    expected = weight.float().view(2, 2, 2, 5).mean(1).view(4, 5)
    assert torch.allclose(pooled.float(), expected, atol=1e-2)


@pytest.mark.torch
def test_a_layer_whose_heads_agree_attends_the_same_after_pooling():
    import torch

    hidden, heads, kv_heads, head_dim = 12, 6, 2, 4
    x = torch.randn(3, 7, hidden, dtype=torch.float64)
    w_q = torch.randn(heads * head_dim, hidden, dtype=torch.float64)
    shared = torch.randn(2, kv_heads, head_dim, hidden, dtype=torch.float64)
    w_k, w_v = shared.repeat_interleave(heads // kv_heads, 1).flatten(1, 2)

    def attend(w_k, w_v, groups):
        q, k, v = ((x @ w.mT).unflatten(2, (-1, head_dim)).transpose(1, 2) for w in (w_q, w_k, w_v))
        assert k.shape[1] == groups
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    pooled = [mean_pool_heads(one, heads=heads, kv_heads=kv_heads) for one in (w_k, w_v)]

    assert torch.allclose(attend(w_k, w_v, heads), attend(*pooled, kv_heads))
