"""Every layout keeps every value: plain to pages, to packed, to codes, and back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.errors import InputError
from attnbench.kv_cache import (
    TORCH_DTYPES,
    Codes,
    dequantise,
    pack,
    page,
    quantise,
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
def test_codes_and_their_scales_take_the_same_pages(cache, page_format, dtype):
    rows, lens, size, order = cache
    codes = quantise(rows, dtype)
    layout = {"page_size": size, "lens": lens, "order": order}

    values = unpage(page(codes.codes, page_format=page_format, **layout))
    scales = unpage(page(codes.scale, **layout))
    zeros = None if codes.zero is None else unpage(page(codes.zero, **layout))

    whole = dequantise(codes, torch.float32)
    for one, length in enumerate(lens):
        zero = None if zeros is None else zeros[one]
        got = dequantise(Codes(values[one], scales[one], zero), torch.float32)
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
        from attnbench.kv_cache import Pages

        return None if tensor is None else unpage(Pages(tensor, *own, kind))

    codes, scales = read(inputs.k_pages, page_format), read(inputs.k_scale, "hnd")
    zeros, first = read(inputs.k_zero, "hnd"), 0
    for group in groups_of(inputs.problem):
        block = Block(group=group, batch=slice(0, group.count), heads=slice(0, 2))
        expected = read_k(inputs, block, torch.float32)
        for one in range(group.count):
            got = codes[first + one]
            if scales is not None:
                zero = None if zeros is None else zeros[first + one]
                got = dequantise(Codes(got, scales[first + one], zero), torch.float32)
            assert torch.equal(got, expected[one])
        first += group.count


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"page_format": "nhdd"}, "page_format is one of nhd, hnd"),
        ({"lens": [3]}, "1 lens for 2 sequences"),
        ({"lens": [3, 9]}, "lens are 1 to 5"),
        ({"order": torch.arange(3)}, "no permutation of the 7 pages"),
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
