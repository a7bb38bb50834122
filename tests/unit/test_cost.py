"""Every class of FLOPs and bytes against enumeration, and docs/cost.md against the code."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.cost import COST_MODEL, compute_cost
from attnbench.problem import DTYPE_BITS, Problem
from attnbench.problem.batch import Request, format_requests
from attnbench.problem.pairs import kept_blocks

PAGE = Path(__file__).parents[2] / "docs" / "cost.md"
CLASSES = ("bytes_q", "bytes_k", "bytes_v", "bytes_o", "bytes_lse", "bytes_scales", "bytes_table")

LLAMA = {"q_heads": 32, "kv_heads": 8, "head_dim": 128, "dtype": "bf16"}
DECODE = {**LLAMA, "q_len": 1, "kv_len": 4096, "mask": "causal"}
TRAIN = {**LLAMA, "q_len": 2048, "mask": "causal"}
MLA_PREFILL = {"q_heads": 128, "head_dim": 192, "v_head_dim": 128, "dtype": "bf16", "q_len": 2048}
MLA_PREFILL |= {"mask": "causal"}
MLA_DECODE = {"q_heads": 128, "kv_heads": 1, "head_dim": 576, "v_head_dim": 512, "dtype": "bf16"}
MLA_DECODE |= {"q_len": 1, "kv_len": 4096, "mask": "causal", "latent": True}

# The worked examples of docs/cost.md, in its order; each is a row of its tables.
EXAMPLES = (
    Problem(**{**DECODE, "kv_heads": 32}),
    Problem(**DECODE),
    Problem(**{**DECODE, "kv_heads": 1}),
    Problem(**DECODE, batch=16),
    Problem(**{**DECODE, "mask": "window"}, window=128),
    Problem(**{**DECODE, "mask": "window"}, window=128, sinks=4),
    Problem(**DECODE, kv_dtype="fp8_e4m3"),
    Problem(**DECODE, kv_dtype="int8"),
    Problem(**DECODE, kv_dtype="int4"),
    Problem(**DECODE, kv_layout="paged"),
    Problem(**DECODE, append=1),
    Problem(**MLA_DECODE),
    Problem(**TRAIN),
    Problem(**{**LLAMA, "q_len": 512, "kv_len": 4096, "mask": "causal"}),
    Problem(**{**LLAMA, "q_len": 4096, "kv_len": 512, "mask": "causal"}),
    Problem(**{**LLAMA, "q_len": 512, "kv_len": 4096, "mask": "causal", "mask_align": "top_left"}),
    Problem(**LLAMA, requests="2q2k_32q1s1k", mask="causal"),
    Problem(**TRAIN, mode="bwd"),
    Problem(**TRAIN, mode="fwd_bwd"),
    Problem(**MLA_PREFILL),
    Problem(**MLA_PREFILL, mode="bwd"),
    Problem(**TRAIN, attention="block_sparse"),
    Problem(**TRAIN, attention="linear"),
    Problem(**TRAIN, attention="additive"),
)


def sees(problem, request, row, key):
    """The mask, said of one row and one key, straight from the words of the design."""
    if problem.attention == "block_sparse":
        columns = dict(kept_blocks(problem, request))[row // problem.block]
        if key // problem.block not in columns:
            return False
    if problem.mask == "none":
        return True
    bottom_right = problem.mask_align == "bottom_right"
    place = row + (request.kv_len - request.q_len if bottom_right else 0)
    if key > place:
        return False
    return problem.mask == "causal" or key > place - problem.window or key < problem.sinks


def test_a_layer_is_attention_and_four_projections():
    heads = {"q_heads": 6, "kv_heads": 3, "head_dim": 8, "dtype": "bf16"}
    layer = compute_cost(Problem(batch=2, q_len=10, mask="causal", attention="layer", **heads))
    alone = compute_cost(Problem(batch=2, q_len=10, mask="causal", **heads))
    hidden, tokens = 6 * 8, 2 * 10
    shared = 3 * 8

    assert layer.flops - alone.flops == 2 * tokens * hidden * (2 * hidden + 2 * shared)
    assert layer.flops_dense - alone.flops_dense == layer.flops - alone.flops
    assert layer.pairs == alone.pairs
    assert layer.bytes_q == 2 * (tokens * hidden + hidden * hidden)
    assert layer.bytes_k == layer.bytes_v == 2 * shared * hidden
    assert layer.bytes_o == 2 * (tokens * hidden + hidden * hidden)


def counted_flops(problem, pairs, request):
    """FLOPs of one request and one query head, product by product."""
    dim, v_dim = problem.head_dim, problem.v_head_dim
    if problem.attention == "linear":
        states = sum(2 * dim * v_dim for _ in range(request.kv_len))  # k vᵀ onto the state
        reads = sum(2 * dim * v_dim for _ in range(request.q_len))  # q times the state
        inside = sum(row // problem.chunk == key // problem.chunk for row, key in pairs)
        return states + reads + (inside if problem.mask == "causal" else 0) * 2 * (dim + v_dim)
    if problem.attention == "additive":
        return sum(2 * problem.additive_dim + 2 * v_dim for _ in pairs)
    forward = sum(2 * dim + 2 * v_dim for _ in pairs)  # q·k, p·v
    # q·k again, do·v; then what each pair adds to dv, dq and dk
    backward = sum(2 * dim + 2 * v_dim + 2 * v_dim + 2 * dim + 2 * dim for _ in pairs)
    return {"fwd": forward, "bwd": backward, "fwd_bwd": forward + backward}[problem.mode]


def counted(problem):
    """Everything that ``price`` says, by walking over every row, key and element."""
    bits, kv_bits = DTYPE_BITS[problem.dtype], DTYPE_BITS[problem.kv_dtype]
    count, flops = Counter(), 0
    for request in problem.request_list:
        rows, keys = range(request.q_len), range(request.kv_len)
        pairs = [(row, key) for row in rows for key in keys if sees(problem, request, row, key)]
        count["pairs"] += len(pairs)
        flops += counted_flops(problem, pairs, request) * problem.q_heads
        used = {key for _, key in pairs}
        for name, width, elements_wide in (
            ("bytes_q", problem.head_dim, bits),
            ("bytes_o", problem.v_head_dim, bits),
        ):
            size = request.q_len * problem.q_heads * width * elements_wide
            times = {"fwd": 1, "bwd": 2, "fwd_bwd": 3}[problem.mode]
            count[name] += times * size
        lse = {"fwd": 0, "bwd": 1, "fwd_bwd": 2}[problem.mode]
        count["bytes_lse"] += lse * request.q_len * problem.q_heads * 32
        passes = 2 if problem.mode == "fwd_bwd" else 1
        moved = passes * len(used) + problem.append
        written = 0 if problem.mode == "fwd" else request.kv_len  # dk and dv, of every key
        for _ in range(problem.n_kv_heads):
            count["bytes_k"] += (moved + written) * problem.head_dim * kv_bits
            if not problem.latent:
                count["bytes_v"] += (moved + written) * problem.v_head_dim * kv_bits
        tensors = 1 if problem.latent else 2
        parameters = 2 if problem.kv_dtype == "int4" else 1
        scales = problem.n_kv_heads * tensors * parameters * 32 if problem.is_quantized else 0
        count["bytes_scales"] += moved * scales
        stored = request.kv_len
        if problem.kv_layout == "paged":
            count["bytes_table"] += 32 * len({key // problem.page_size for key in used})
            pages = {key // problem.page_size for key in keys}
            stored = len(pages) * problem.page_size
        width = problem.head_dim + (0 if problem.latent else problem.v_head_dim)
        count["kv_cache_bytes"] += stored * (problem.n_kv_heads * width * kv_bits + scales)
    names = [*CLASSES, "kv_cache_bytes"]
    assert all(count[name] % 8 == 0 for name in names)
    return {"pairs": count["pairs"], "flops": flops, **{name: count[name] // 8 for name in names}}


@st.composite
def problems(draw):
    size = st.integers(1, 11)
    attention = draw(st.sampled_from(["softmax"] * 5 + ["block_sparse", "linear", "additive"]))
    mode = draw(st.sampled_from(["fwd", "fwd", "bwd", "fwd_bwd"]))
    mask = draw(st.sampled_from(["none", "causal", "window"]))
    if attention == "linear":
        mask = "none" if mask == "none" else "causal"
    one = {"attention": attention, "mask": mask}
    one |= {"mask_align": draw(st.sampled_from(["bottom_right", "top_left"]))}
    if mask == "window":
        sinks = draw(st.integers(0, 5)) if attention == "softmax" else 0
        one |= {"window": draw(st.integers(1, 12)), "sinks": sinks}
    kv_heads, group = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    one |= {"q_heads": kv_heads * group, "kv_heads": kv_heads}
    one |= {"head_dim": 2 * draw(st.integers(1, 4)), "v_head_dim": 2 * draw(st.integers(1, 4))}
    one |= {"dtype": draw(st.sampled_from(["fp32", "tf32", "fp16", "bf16", "fp8_e4m3"]))}
    if attention == "linear":
        one |= {"q_len": draw(size), "batch": draw(size), "chunk": draw(st.integers(1, 5))}
    elif draw(st.booleans()):
        request = st.builds(Request, size, size)
        one |= {"requests": format_requests(draw(st.lists(request, min_size=1, max_size=3)))}
    else:
        one |= {"batch": draw(st.integers(1, 3)), "q_len": draw(size), "kv_len": draw(size)}
    if attention == "block_sparse":
        one |= {"block": draw(st.integers(1, 4)), "density": draw(st.sampled_from([0.2, 0.5, 1]))}
    if attention in ("linear", "additive") or mode == "fwd":
        return Problem(**one, **draw(forward_only(one)))
    return Problem(**one, mode=mode)


@st.composite
def forward_only(draw, one):
    chosen = {"append": draw(st.integers(0, 1))}
    if draw(st.booleans()):
        chosen |= {"kv_layout": "paged", "page_size": draw(st.integers(1, 6))}
    if draw(st.booleans()):
        chosen |= {"kv_dtype": draw(st.sampled_from(["fp16", "fp8_e5m2", "int8", "int4"]))}
    if one["v_head_dim"] <= one["head_dim"]:
        chosen |= {"latent": draw(st.booleans())}
    return chosen


@settings(max_examples=600)
@given(problems())
def test_every_count_is_what_enumeration_finds(problem):
    cost = asdict(compute_cost(problem))
    dense, model = cost.pop("flops_dense"), cost.pop("cost_model")

    assert cost == counted(problem)
    assert model == COST_MODEL
    assert dense >= cost["flops"]


@given(problems())
def test_the_least_traffic_is_the_sum_of_its_classes(problem):
    cost = compute_cost(problem)

    assert cost.min_bytes == sum(getattr(cost, name) for name in CLASSES)
    assert cost.intensity == cost.flops / cost.min_bytes


@given(problems())
def test_dense_flops_are_those_without_a_mask(problem):
    if problem.attention == "linear":
        assert compute_cost(problem).flops_dense == compute_cost(problem).flops
        return
    one = {**problem.fields(), "mask": "none", "attention": "softmax"}
    if problem.attention == "additive":
        one["attention"] = "additive"
    for name in ("window", "sinks", "block", "density"):
        one.pop(name, None)

    assert compute_cost(problem).flops_dense == compute_cost(Problem(**one)).flops


@pytest.mark.parametrize(
    ("given", "ratio"), [(TRAIN, 2.5), (MLA_PREFILL, 2.6), ({**MLA_DECODE, "latent": False}, 2.529)]
)
def test_backward_is_five_products_of_their_own_widths(given, ratio):
    forward, backward = (compute_cost(Problem(**given, mode=mode)).flops for mode in ("fwd", "bwd"))

    assert backward / forward == pytest.approx(ratio, abs=0.0005)


def test_a_constant_factor_for_backward_is_too_low_where_v_is_narrower():
    forward, backward = (
        compute_cost(Problem(**MLA_PREFILL, mode=mode)).flops for mode in ("fwd", "bwd")
    )

    # FlashAttention 4 multiplies by 2.5 whatever the widths are.
    assert 100 * (2.5 * forward / backward - 1) == pytest.approx(-3.8, abs=0.06)


@pytest.mark.parametrize(("head_dim", "error"), [(64, 0.78), (128, 0.39)])
def test_softmax_is_not_counted(head_dim, error):
    problem = Problem(q_len=2048, q_heads=1, head_dim=head_dim, dtype="bf16")
    cost = compute_cost(problem)

    # torch's sdpa and flex benchmarks add 2·M·N for it.
    assert 100 * 2 * 2048 * 2048 / cost.flops == pytest.approx(error, abs=0.005)
    assert cost.flops == 4 * 2048 * 2048 * head_dim


def test_flops_go_with_query_heads_and_cache_bytes_with_kv_heads():
    heads = {
        kv_heads: compute_cost(Problem(**{**DECODE, "kv_heads": kv_heads}))
        for kv_heads in (1, 8, 32)
    }

    assert len({cost.flops for cost in heads.values()}) == 1
    assert heads[8].flops == 4 * 4096 * 128 * 32
    assert [cost.bytes_k for cost in heads.values()] == [2**20, 2**23, 2**25]


@pytest.mark.parametrize(("kv_dtype", "factor"), [("bf16", 1), ("int8", 2), ("int4", 4)])
@pytest.mark.parametrize("kv_heads", [1, 2, 8, 32])
def test_the_intensity_of_decode_is_the_group_size_over_half_the_bytes_of_an_element(
    kv_heads, kv_dtype, factor
):
    one = {**DECODE, "kv_heads": kv_heads, "kv_len": 131072, "kv_dtype": kv_dtype}
    cost = compute_cost(Problem(**one))

    assert cost.flops / (cost.bytes_k + cost.bytes_v) == factor * 32 / kv_heads


@pytest.mark.parametrize(
    ("batch", "q_heads", "kv_len", "error"),
    [(32, 32, 4096, 0.05), (1, 64, 512, 0.77), (1, 16, 256, 2.9)],
)
def test_the_output_is_counted_where_others_leave_it_out(batch, q_heads, kv_len, error):
    kv_heads = 1 if q_heads == 16 else 8
    one = {**DECODE, "batch": batch, "q_heads": q_heads, "kv_heads": kv_heads, "kv_len": kv_len}
    cost = compute_cost(Problem(**one))

    assert 100 * cost.bytes_o / cost.min_bytes == pytest.approx(error, abs=0.06)


def test_scales_are_counted_where_others_leave_them_out():
    int8, int4 = (compute_cost(Problem(**DECODE, kv_dtype=kind)) for kind in ("int8", "int4"))

    # fp32 for each token, head and tensor: 4 of 128 bytes; with a zero point 8 of 64.
    assert int8.bytes_scales / (int8.bytes_k + int8.bytes_v) == 4 / 128
    assert int4.bytes_scales / (int4.bytes_k + int4.bytes_v) == 8 / 64


def test_an_int4_cache_is_half_a_byte_an_element():
    # xFormers' decoder benchmark takes two bytes for it.
    assert (
        4 * compute_cost(Problem(**DECODE, kv_dtype="int4")).bytes_k
        == compute_cost(Problem(**DECODE)).bytes_k
    )


def test_keys_outside_the_window_are_no_traffic():
    window = compute_cost(Problem(**{**DECODE, "mask": "window"}, window=128))

    assert window.bytes_k == 128 * 8 * 128 * 2
    assert window.kv_cache_bytes == compute_cost(Problem(**DECODE)).kv_cache_bytes


def test_a_window_with_sinks_reads_the_pages_of_both():
    one = {**DECODE, "mask": "window", "window": 128, "sinks": 4, "kv_layout": "paged"}

    assert compute_cost(Problem(**one)).bytes_table == 4 * (128 // 16 + 1)


def test_a_page_that_holds_sinks_and_window_is_one_entry():
    one = {**DECODE, "kv_len": 20, "mask": "window", "window": 18, "sinks": 1, "kv_layout": "paged"}

    assert compute_cost(Problem(**one)).bytes_table == 4 * 2


def test_a_latent_cache_is_stored_and_read_once():
    latent, separate = (
        compute_cost(Problem(**{**MLA_DECODE, "latent": one})) for one in (True, False)
    )

    assert latent.kv_cache_bytes == latent.bytes_k == 4096 * 576 * 2
    assert latent.bytes_v == 0
    assert separate.bytes_v == 4096 * 512 * 2
    assert latent.flops == separate.flops == 2 * 4096 * (576 + 512) * 128


@pytest.mark.parametrize(
    ("kv_len", "batch", "microseconds"),
    [(1024, 4, 3.9), (4096, 1, 3.9), (4096, 16, 62.5), (16384, 64, 999), (131072, 16, 1998)],
)
def test_the_least_time_of_decode_on_an_h200(kv_len, batch, microseconds):
    one = {**DECODE, "kv_len": kv_len, "batch": batch}

    assert compute_cost(Problem(**one)).min_bytes / 4.3e12 * 1e6 == pytest.approx(
        microseconds, rel=0.005
    )


def test_a_ragged_batch_is_the_sum_of_its_requests():
    whole = compute_cost(Problem(**LLAMA, requests="2q2k_32q1s1k_q512s4k", mask="causal"))
    parts = [
        (count, compute_cost(Problem(**LLAMA, q_len=q_len, kv_len=kv_len, mask="causal")))
        for count, q_len, kv_len in ((2, 2048, 2048), (32, 1, 1024), (1, 512, 4096))
    ]

    for name in ("pairs", "flops", "min_bytes", "kv_cache_bytes"):
        assert getattr(whole, name) == sum(count * getattr(part, name) for count, part in parts)


def test_rows_without_a_key_cost_no_flops():
    tall, square = (
        compute_cost(Problem(**{**TRAIN, "q_len": q_len, "kv_len": 512})) for q_len in (4096, 512)
    )

    assert tall.flops == square.flops


def test_block_sparse_decode_moves_only_the_blocks_it_keeps():
    dense = compute_cost(Problem(**DECODE))
    sparse = compute_cost(Problem(**DECODE, attention="block_sparse", density=0.25))

    assert (sparse.flops, sparse.bytes_k) == (dense.flops / 4, dense.bytes_k / 4)


def test_linear_attention_without_a_mask_has_no_work_inside_chunks():
    cost = compute_cost(Problem(**{**TRAIN, "mask": "none"}, attention="linear"))

    assert cost.flops == 32 * 4 * 2048 * 128 * 128


def page_rows():
    """The rows of the worked tables: a label in backticks, then figures."""
    rows = re.findall(
        r"^\| `([^`]+)` \| ([\d ,.|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return [(label, [cell.strip() for cell in cells.split("|")]) for label, cells in rows]


def figures(problem):
    """What the page says of a problem: FLOPs with intensity, and bytes by class, to the digit."""
    cost = compute_cost(problem)
    flops = [f"{one:,}" for one in (cost.pairs, cost.flops, cost.flops_dense)]
    classes = [f"{getattr(cost, name):,}" for name in CLASSES]
    sizes = [f"{cost.min_bytes:,}", f"{cost.kv_cache_bytes:,}"]
    return [*flops, f"{cost.intensity:.2f}"], [*classes, *sizes]


def test_every_worked_figure_of_the_page_is_computed():
    flops = [(problem.label, figures(problem)[0]) for problem in EXAMPLES]
    sizes = [(problem.label, figures(problem)[1]) for problem in EXAMPLES]

    assert page_rows() == [*flops, *sizes]


def test_the_page_names_the_version_and_every_class():
    text = PAGE.read_text(encoding="utf-8")

    assert f"cost model {COST_MODEL}" in text.lower()
    assert [name for name in CLASSES if f"`{name}`" not in text] == []
