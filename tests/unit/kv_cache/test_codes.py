from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attnbench.kv_cache import dequantise, quantise

pytestmark = pytest.mark.torch

ROWS = st.lists(
    st.lists(st.floats(-100, 100, width=32), min_size=8, max_size=8), min_size=1, max_size=3
).map(torch.tensor)
# The largest error of one value, of the largest (int4: of the range) in its row.
WORST = {"int8": 0.5 / 127, "int4": 0.5 / 15, "fp8_e4m3": 2**-4, "fp8_e5m2": 2**-3}


@given(ROWS, st.sampled_from(sorted(WORST)))
def test_the_round_trip_is_within_half_a_step(rows, dtype):
    codes = quantise(rows, dtype)
    back = dequantise(codes, torch.float64)

    largest = rows.abs().amax(-1) if dtype != "int4" else rows.amax(-1) - rows.amin(-1)
    error = (back - rows.double()).abs().amax(-1)
    assert back.isfinite().all()
    assert (error <= WORST[dtype] * largest.double() * (1 + 1e-4) + 1e-30).all()


def test_int4_has_two_codes_a_byte_low_nibble_first():
    rows = torch.arange(16.0).unsqueeze(0)

    codes, scale, zero = quantise(rows, "int4")

    assert codes.tolist() == [[16 * (n + 1) + n for n in range(0, 16, 2)]]
    assert (scale.item(), zero.item()) == (1, 0)


def test_int8_is_symmetric():
    codes, scale, zero = quantise(torch.tensor([[-2.0, 1.0]]), "int8")

    assert codes.tolist() == [[-127, 64]]
    assert scale.item() == pytest.approx(2 / 127)
    assert zero is None


@pytest.mark.parametrize("dtype", sorted(WORST))
def test_a_row_of_zeros_stays_zero(dtype):
    back = dequantise(quantise(torch.zeros(2, 4), dtype), torch.float32)
    assert (back == 0).all()
