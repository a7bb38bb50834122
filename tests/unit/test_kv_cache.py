"""Every layout keeps every value: plain to pages, to packed, to quantized values, and back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.errors import InputError
from attnbench.kv_cache import (
    TORCH_DTYPES,
    Pages,
    Quantized,
    dequantize,
    lengths_before,
    pack,
    page,
    quantize,
    rope_tables_by_slot,
    slots_of,
    unpack,
    unpage,
)
from attnbench.measure.inputs import make_inputs
from attnbench.measure.sequences import Block, groups_of, read_k
from attnbench.problem import Problem

pytestmark = pytest.mark.torch
formats = st.sampled_from(["nhd", "hnd"])


@st.composite
def caches(draw):
    """(plain rows, lens, page size, a permutation of the pages)."""
    lens = draw(st.lists(st.integers(1, 20), min_size=1, max_size=4))
    size, heads, dim = draw(st.integers(1, 8)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    dice = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    rows = torch.randn(len(lens), heads, max(lens), 2 * dim, generator=dice)
    total = sum(-(-one // size) for one in lens) + 1
    return rows, lens, size, torch.randperm(total, generator=dice)


def same(one, other):
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


@settings(max_examples=40)
@given(caches(), formats)
def test_pages_give_back_what_they_were_made_of(cache, page_format):
    rows, lens, size, order = cache

    paged = page(rows, page_size=size, lens=lens, page_format=page_format, order=order)

    for one, (sequence, length) in zip(unpage(paged), zip(rows, lens, strict=True), strict=True):
        assert same(one, sequence[:, :length])


@settings(max_examples=40)
@given(caches(), formats)
def test_what_belongs_to_no_token_is_nan_and_past_an_end_stands_the_unused_page(cache, page_format):
    rows, lens, size, order = cache

    paged = page(rows, page_size=size, lens=lens, page_format=page_format, order=order)

    width = rows.shape[1] * rows.shape[3]
    slots = paged.pages.shape[0] * size
    assert int(paged.pages.isnan().sum()) == (slots - sum(lens)) * width
    assert paged.pages[int(order[-1])].isnan().all()
    for entries, length in zip(paged.table.tolist(), lens, strict=True):
        needed = -(-length // size)
        assert set(entries[needed:]) <= {int(order[-1])}
        assert int(order[-1]) not in entries[:needed]


@settings(max_examples=40)
@given(caches(), formats, st.sampled_from(["int8", "int4", "fp8_e4m3", "fp8_e5m2"]))
def test_quantized_values_and_their_scales_take_the_same_pages(cache, page_format, dtype):
    rows, lens, size, order = cache
    quantized = quantize(rows, dtype)
    layout = {"page_size": size, "lens": lens, "order": order}

    values = unpage(page(quantized.values, page_format=page_format, **layout))
    scales = unpage(page(quantized.scale, **layout))
    zeros = None if quantized.zero is None else unpage(page(quantized.zero, **layout))

    whole = dequantize(quantized, torch.float32)
    for one, length in enumerate(lens):
        zero = None if zeros is None else zeros[one]
        got = dequantize(Quantized(values[one], scales[one], zero), torch.float32)
        assert same(got, whole[one, :, :length])


@settings(max_examples=40)
@given(caches())
def test_packed_sequences_are_given_back(cache):
    rows, lens, _, _ = cache
    sequences = [one[:, :length] for one, length in zip(rows, lens, strict=True)]

    packed, cu_seqlens = pack(sequences)

    assert packed.shape[0] == int(cu_seqlens[-1]) == sum(lens)
    assert all(map(same, unpack(packed, cu_seqlens), sequences))


@settings(max_examples=40)
@given(caches(), st.integers(1, 3))
def test_the_last_keys_lie_where_the_last_slots_are(cache, last):
    rows, lens, size, order = cache
    paged = page(rows, page_size=size, lens=lens, order=order)

    every = slots_of(paged.table, paged.lens, size).split(lens)
    some = slots_of(paged.table, paged.lens, size, last=last)

    assert some.tolist() == torch.cat([one[-last:] for one in every]).tolist()


@pytest.mark.parametrize("page_format", ["nhd", "hnd"])
@pytest.mark.parametrize("kv_dtype", ["fp32", "int4", "fp8_e5m2"])
def test_a_problems_own_cache_is_such_a_cache(page_format, kv_dtype):
    # What the harness makes for a backend, read by these functions, is what the reference reads.
    pages = {"kv_layout": "paged", "page_size": 4, "page_format": page_format}
    heads = {"q_heads": 4, "kv_heads": 2, "head_dim": 6, "dtype": "fp32", "kv_dtype": kv_dtype}
    inputs = make_inputs(Problem(requests="q1s9_2q2s5", **heads, **pages), "cpu")
    own = (inputs.page_table, inputs.kv_lens)

    def read(tensor, kind):
        return None if tensor is None else unpage(Pages(tensor, *own, kind))

    values, scales = read(inputs.k_pages, page_format), read(inputs.k_scale, "hnd")
    zeros, first = read(inputs.k_zero, "hnd"), 0
    for group in groups_of(inputs.problem):
        block = Block(group=group, batch=slice(0, group.count), heads=slice(0, 2))
        expected = read_k(inputs, block, torch.float32)
        for one in range(group.count):
            got = values[first + one]
            if scales is not None:
                zero = None if zeros is None else zeros[first + one]
                got = dequantize(Quantized(got, scales[first + one], zero), torch.float32)
            assert torch.equal(got, expected[one])
        first += group.count


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"page_format": "nhdd"}, "page_format is one of nhd, hnd"),
        ({"lens": [3]}, "1 lens for 2 sequences"),
        ({"lens": [3, 9]}, "lens are 1 to 5"),
        ({"order": torch.arange(3)}, "not a permutation of the 7 pages"),
    ],
)
def test_what_makes_no_cache_is_refused(settings, words):
    with pytest.raises(InputError, match=words):
        page(torch.zeros(2, 1, 5, 2), page_size=2, **settings)


def test_every_dtype_of_a_cache_has_a_storage():
    assert {name: kind.itemsize for name, kind in TORCH_DTYPES.items()} == {
        **dict.fromkeys(("fp32", "tf32"), 4),
        **dict.fromkeys(("fp16", "bf16"), 2),
        **dict.fromkeys(("fp8_e4m3", "fp8_e5m2", "int8", "int4"), 1),
    }


ROWS = st.lists(
    st.lists(st.floats(-100, 100, width=32), min_size=8, max_size=8), min_size=1, max_size=3
).map(torch.tensor)
# The largest error of one value, of the largest (int4: of the range) in its row.
WORST = {"int8": 0.5 / 127, "int4": 0.5 / 15, "fp8_e4m3": 2**-4, "fp8_e5m2": 2**-3}


@given(ROWS, st.sampled_from(sorted(WORST)))
def test_the_round_trip_is_within_half_a_step(rows, dtype):
    quantized = quantize(rows, dtype)
    back = dequantize(quantized, torch.float64)

    largest = rows.abs().amax(-1) if dtype != "int4" else rows.amax(-1) - rows.amin(-1)
    error = (back - rows.double()).abs().amax(-1)
    assert back.isfinite().all()
    assert (error <= WORST[dtype] * largest.double() * (1 + 1e-4) + 1e-30).all()


def test_int4_has_two_values_a_byte_low_nibble_first():
    rows = torch.arange(16.0).unsqueeze(0)

    values, scale, zero = quantize(rows, "int4")

    assert values.tolist() == [[16 * (n + 1) + n for n in range(0, 16, 2)]]
    assert (scale.item(), zero.item()) == (1, 0)


def test_int8_is_symmetric():
    values, scale, zero = quantize(torch.tensor([[-2.0, 1.0]]), "int8")

    assert values.tolist() == [[-127, 64]]
    assert scale.item() == pytest.approx(2 / 127)
    assert zero is None


@pytest.mark.parametrize("dtype", sorted(WORST))
def test_a_row_of_zeros_stays_zero(dtype):
    back = dequantize(quantize(torch.zeros(2, 4), dtype), torch.float32)
    assert (back == 0).all()


STEP = {"batch": 2, "q_len": 1, "kv_len": 21, "q_heads": 2, "head_dim": 8, "dtype": "fp16"}
PAGED = {"kv_layout": "paged", "page_size": 8}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, None), ({"append": 1}, [20, 20]), (PAGED, [21, 21]), ({**PAGED, "append": 1}, [20, 20])],
)
def test_the_length_of_the_cache_before_the_call(fields, expected):
    found = lengths_before(make_inputs(Problem(**STEP, **fields), "cpu"))

    assert (found is None) if expected is None else (found.tolist() == expected)


@pytest.mark.parametrize(("layout", "slots"), [({}, 21), (PAGED, 24)])
def test_every_slot_of_the_cache_has_a_row_in_the_dtype_of_q(layout, slots):
    inputs = make_inputs(Problem(**STEP, **layout, append=1, rope="neox"), "cpu")
    k = inputs.k.transpose(1, 2) if inputs.k_pages is None else inputs.k_pages

    cos, sin = rope_tables_by_slot(inputs, k)

    assert cos.shape == sin.shape == (slots, 4)
    assert cos.dtype == torch.float16
    assert torch.equal(cos[:21], inputs.cos[:21].half())


def test_without_rope_there_are_no_tables():
    inputs = make_inputs(Problem(**STEP), "cpu")

    assert rope_tables_by_slot(inputs, inputs.k.transpose(1, 2)) == (None, None)
