from __future__ import annotations

import hashlib
import json
import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.errors import ProblemError
from attnbench.problem import (
    CHOICES,
    DTYPE_BITS,
    DTYPES,
    FIELDS,
    KV_DTYPES,
    PROBLEM_FIELDS,
    Problem,
    digest,
)
from attnbench.problem.batch import Request, format_requests

DECODE = {"q_len": 1, "kv_len": 4096, "q_heads": 32, "kv_heads": 8, "head_dim": 128}
DECODE |= {"dtype": "bf16"}
MLA = {"q_heads": 128, "kv_heads": 1, "head_dim": 576, "v_head_dim": 512, "dtype": "bf16"}

# Never edit these: results of years are joined by them. A field added to Problem has a default that
# means what was so before it, and then they hold.
GOLDEN_IDS = {
    "mha": ({"q_len": 2048, "q_heads": 32, "head_dim": 128, "dtype": "fp16"}, "c05f227504a2"),
    "decode": ({**DECODE, "batch": 16, "mask": "causal"}, "951246e8f236"),
    "mqa training": (
        {"mode": "fwd_bwd", "batch": 4, "q_len": 8192, "q_heads": 16, "kv_heads": 1}
        | {"head_dim": 64, "dtype": "bf16", "mask": "causal"},
        "b843e3015fe0",
    ),
    "ragged": (
        {"requests": "2q2k_32q1s1k", "q_heads": 64, "kv_heads": 8, "head_dim": 128}
        | {"dtype": "bf16", "mask": "causal"},
        "ad57cb16b689",
    ),
    "window and sinks": (
        {**DECODE, "mask": "window", "window": 128, "sinks": 4, "sink_logits": True},
        "bf83b4f517e5",
    ),
    "top-left cross": (
        {"q_len": 512, "kv_len": 4096, "q_heads": 8, "head_dim": 64, "dtype": "fp32"}
        | {"mask": "causal", "mask_align": "top_left"},
        "432b28851a3d",
    ),
    "softcap, scale, alibi": (
        {**DECODE, "softcap": 50.0, "scale": 0.0625, "bias": "alibi", "seed": 7},
        "f4af29a64636",
    ),
    "paged int4 with rope and append": (
        {**DECODE, "kv_dtype": "int4", "kv_layout": "paged", "page_size": 64}
        | {"page_order": "identity", "page_format": "hnd", "rope": "neox", "append": 1},
        "0dc1d19016e0",
    ),
    "latent": (
        {**MLA, "batch": 64, "q_len": 1, "kv_len": 32768, "mask": "causal", "latent": True},
        "fa4916308590",
    ),
    "block sparse": (
        {"q_len": 32768, "q_heads": 32, "head_dim": 128, "dtype": "bf16", "mask": "causal"}
        | {"attention": "block_sparse", "density": 0.125, "pattern": "local_global"},
        "98eb0c2084c1",
    ),
}


def make(**given):
    return Problem(**{"q_len": 16, "q_heads": 8, "head_dim": 64, "dtype": "bf16", **given})


@st.composite
def lengths(draw):
    if draw(st.booleans()):
        one = st.builds(Request, st.integers(1, 3000), st.integers(1, 3000))
        return {"requests": format_requests(draw(st.lists(one, min_size=1, max_size=5)))}
    size = st.integers(1, 5000)
    return {"batch": draw(size), "q_len": draw(size), "kv_len": draw(st.none() | size)}


def optional(draw, **strategies):
    """Draw some of these fields, and leave the others to their defaults."""
    return {name: draw(one) for name, one in strategies.items() if draw(st.booleans())}


@st.composite
def problems(draw):
    kv_heads, dim = draw(st.integers(1, 8)), 2 * draw(st.integers(1, 96))
    number = st.floats(0.01, 100)
    chosen = {
        **draw(lengths()),
        "q_heads": kv_heads * draw(st.integers(1, 8)),
        "kv_heads": kv_heads,
        "head_dim": dim,
        "dtype": draw(st.sampled_from(DTYPES)),
        **optional(draw, softcap=number, scale=number, v_head_dim=st.just(dim + 2)),
        **optional(draw, bias=st.just("alibi"), seed=st.integers(0, 5), sink_logits=st.booleans()),
        **optional(draw, input_dist=st.sampled_from(CHOICES["input_dist"])),
        "mask": draw(st.sampled_from(("none", "causal", "window"))),
        **optional(draw, mask_align=st.sampled_from(CHOICES["mask_align"])),
    }
    if chosen["mask"] == "window":
        chosen |= {"window": draw(st.integers(1, 4000)), "sinks": draw(st.integers(0, 4))}
    if draw(st.booleans()):
        chosen |= {"mode": draw(st.sampled_from(("bwd", "fwd_bwd")))}
        return chosen
    if draw(st.booleans()):
        chosen |= {"kv_layout": "paged"}
        chosen |= optional(draw, page_size=st.integers(1, 256), page_format=st.just("hnd"))
        chosen |= optional(draw, page_order=st.just("identity"))
    chosen |= optional(draw, kv_dtype=st.sampled_from(KV_DTYPES), append=st.just(1))
    if draw(st.booleans()):
        chosen |= {"rope": draw(st.sampled_from(("neox", "gptj")))}
        chosen |= optional(draw, rope_base=number, rope_dim=st.just(2))
    return chosen


@pytest.mark.parametrize("name", GOLDEN_IDS)
def test_ids_never_change(name):
    given, expected = GOLDEN_IDS[name]

    assert Problem(**given).id == expected


def test_an_id_is_the_digest_of_the_canonical_text():
    text = b'{"dtype":"bf16","head_dim":64,"q_heads":8,"q_len":16,"softcap":50}'

    assert make(softcap=50.0).id == hashlib.blake2b(text, digest_size=6).hexdigest()


@settings(max_examples=300)
@given(problems())
def test_the_fields_of_a_problem_make_the_same_problem(given):
    problem = Problem(**given)
    through_json = json.loads(json.dumps(problem.fields()))

    assert Problem(**problem.fields()) == problem
    assert Problem(**through_json).id == problem.id
    assert Problem(**{name: getattr(problem, name) for name in FIELDS}) == problem


@settings(max_examples=300)
@given(problems())
def test_what_is_a_default_is_in_no_field_and_no_id(given):
    problem = Problem(**given)
    for name, value in problem.fields().items():
        if name not in ("q_heads", "head_dim", "dtype", "q_len", "requests"):
            without = {key: one for key, one in problem.fields().items() if key != name}
            try:
                other = Problem(**without)
            except ProblemError:
                continue  # window without its mask, and the like
            assert getattr(other, name) != value
            assert other.id != problem.id


@given(problems())
def test_every_drawn_problem_has_a_label_a_phase_and_requests(given):
    problem = Problem(**given)

    assert problem.label.startswith(f"{problem.phase} ")
    assert len(problem.request_list) == sum(count for count, _ in problem.request_groups)
    assert problem.group_size * problem.n_kv_heads == problem.q_heads


def test_a_problem_is_a_frozen_hashable_value():
    assert len({make(), make(), make(seed=1)}) == 2
    with pytest.raises(FrozenInstanceError):
        make().q_len = 2


def test_defaults_are_filled_in():
    problem = make()

    assert (problem.batch, problem.kv_len, problem.kv_heads) == (1, 16, 8)
    assert (problem.v_head_dim, problem.kv_dtype, problem.scale) == (64, "bf16", 0.125)
    assert problem.fields() == {"q_len": 16, "q_heads": 8, "head_dim": 64, "dtype": "bf16"}


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        ({"rope": "neox"}, {"rope_base": 10000, "rope_dim": 64}),
        ({"attention": "linear"}, {"feature": "elu1", "chunk": 64}),
        ({"attention": "additive"}, {"additive_dim": 64}),
        (
            {"attention": "block_sparse"},
            {"block": 128, "density": 0.25, "pattern": "random"},
        ),
        (
            {"kv_layout": "paged"},
            {"page_size": 16, "page_order": "shuffled", "page_format": "nhd"},
        ),
    ],
)
def test_fields_that_depend_on_another_have_their_defaults_there_and_nowhere_else(given, filled):
    assert {name: getattr(make(**given), name) for name in filled} == filled
    assert {name: getattr(make(), name) for name in filled} == dict.fromkeys(filled)
    assert make(**given).id == make(**given, **filled).id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"batch": 1, "kv_len": 16, "kv_heads": 8, "v_head_dim": 64, "kv_dtype": "bf16"}),
        ({"softcap": 50}, {"softcap": 50.0}),
        ({"scale": 0.125}, {"scale": 1 / math.sqrt(64)}),
        ({"mask_align": "top_left"}, {}),
        ({"q_len": None, "requests": "q1s1k_q1s1k"}, {"q_len": None, "requests": "2q1s1024"}),
    ],
)
def test_equal_problems_have_one_id(one, other):
    assert make(**one) == make(**other)
    assert make(**one).id == make(**other).id


def test_a_packed_batch_of_equal_requests_is_not_the_dense_one():
    assert make(q_len=None, requests="2q16").id != make(batch=2).id


@pytest.mark.parametrize(
    ("requests", "phase"),
    [
        ("8q1s1k", "decode"),
        ("q2k", "prefill"),
        ("q512s4k", "extend"),
        ("2q2k_8q1s1k", "mixed"),
        ("q2k_q4k_q4ks2k", "prefill"),
    ],
)
def test_the_phase_is_the_common_one(requests, phase):
    assert make(q_len=None, requests=requests).phase == phase


@pytest.mark.parametrize(
    ("given", "is_quantized"),
    [
        ({}, False),
        ({"kv_dtype": "fp16"}, False),
        ({"kv_dtype": "int8"}, True),
        ({"kv_dtype": "int4"}, True),
        ({"kv_dtype": "fp8_e4m3"}, True),
        ({"dtype": "fp8_e4m3"}, False),
        ({"dtype": "fp8_e4m3", "kv_dtype": "fp8_e5m2"}, True),
    ],
)
def test_a_cache_is_quantized_where_it_is_narrower_than_the_computation(given, is_quantized):
    assert make(**given).is_quantized is is_quantized


@pytest.mark.parametrize(
    ("given", "label"),
    [
        (
            {**DECODE, "batch": 16, "mask": "causal"},
            "decode 16q1s4k 32/8x128 bf16 causal",
        ),
        ({"q_len": 2048, "q_heads": 32, "head_dim": 128}, "prefill q2k 32/32x128 bf16"),
        (
            {**MLA, "q_len": 1, "kv_len": 4096, "latent": True},
            "decode q1s4k 128/1x576/512 bf16 latent",
        ),
        ({"q_len": None, "requests": "2q2k_8q1s1k"}, "mixed 2q2k_8q1s1k 8/8x64 bf16 packed"),
        (
            {"mode": "bwd", "mask": "causal", "mask_align": "top_left", "kv_len": 32},
            "extend q16s32 8/8x64 bf16 bwd causal top_left",
        ),
        (
            {"mask": "window", "window": 4, "sinks": 2, "sink_logits": True},
            "prefill q16 8/8x64 bf16 window=4 sinks=2 sink_logits",
        ),
        (
            {"bias": "alibi", "softcap": 50.0, "scale": 1, "seed": 3},
            "prefill q16 8/8x64 bf16 alibi softcap=50 scale=1 seed=3",
        ),
        (
            {"kv_dtype": "int8", "kv_layout": "paged", "page_format": "hnd", "page_size": 32},
            "prefill q16 8/8x64 bf16 kv_dtype=int8 paged page_size=32 hnd",
        ),
        (
            {"rope": "gptj", "append": 1, "page_order": "identity", "kv_layout": "paged"},
            "prefill q16 8/8x64 bf16 rope=gptj append=1 paged page_order=identity",
        ),
        (
            {"attention": "block_sparse", "density": 0.5, "input_dist": "zeros"},
            "prefill q16 8/8x64 bf16 block_sparse density=0.5 input_dist=zeros",
        ),
    ],
)
def test_a_label_says_lengths_heads_dtype_and_what_is_no_default(given, label):
    assert make(**given).label == label


COUNTS = {name: one.low for name, one in PROBLEM_FIELDS.items() if one.kind == "count"}
NUMBERS = [name for name, one in PROBLEM_FIELDS.items() if one.kind == "number"]
FLAGS = [name for name, one in PROBLEM_FIELDS.items() if one.kind == "flag"]
WHOLE = "is a whole number of at least"
REFUSALS = [
    ({"q_heads": None}, "q_heads", "a problem needs q_heads"),
    ({"head_dim": None}, "head_dim", "a problem needs head_dim"),
    ({"dtype": None}, "dtype", "a problem needs dtype"),
    ({"q_len": None}, "q_len", "a problem needs q_len, or requests"),
    *(
        ({name: "flsh"}, name, f"{name} is one of {', '.join(words)}; got 'flsh'")
        for name, words in CHOICES.items()
    ),
    *(
        ({name: value}, name, f"{name} {WHOLE} 1; got {value!r}")
        for name, low in COUNTS.items()
        if low == 1
        for value in (0, -1, 1.0, True, "4k")
    ),
    *(
        ({name: value}, name, f"{name} {WHOLE} 0; got {value!r}")
        for name, low in COUNTS.items()
        if low == 0
        for value in (-1, 0.0, False, None)
    ),
    *(
        ({name: value}, name, f"{name} is a number above 0; got {value!r}")
        for name in NUMBERS
        for value in (0, -0.5, math.inf, math.nan, True, "1")
        if name != "density"
    ),
    *(
        ({"density": value}, "density", f"density is a number above 0 and at most 1; got {value}")
        for value in (0, 1.5, math.inf)
    ),
    *(({name: 1}, name, f"{name} is true or false; got 1") for name in FLAGS),
    ({"requests": 5}, "requests", "requests is groups such as 2q2k_8q1s1k; got 5"),
    *(
        (
            {"q_len": None, "requests": "q1", name: 1},
            name,
            f"requests stands instead of {name}; give one of them",
        )
        for name in ("batch", "q_len", "kv_len")
    ),
    *(
        ({name: one.filled or 2}, name, f"{name} needs {one.needs[0]}: {' or '.join(one.needs[1])}")
        for name, one in PROBLEM_FIELDS.items()
        if one.needs is not None
    ),
    (
        {"q_heads": 30, "kv_heads": 8},
        "kv_heads",
        "30 q_heads cannot be shared by 8 kv_heads (30/8 = 3.75)",
    ),
    (
        {"kv_heads": 16},
        "kv_heads",
        "8 q_heads cannot be shared by 16 kv_heads (8/16 = 0.5)",
    ),
    (
        {"mask": "window"},
        "mask",
        "mask: window needs window, how many keys a row sees, itself included",
    ),
    ({"window": 4}, "window", "window needs mask: window"),
    ({"mask": "causal", "window": 4}, "window", "window needs mask: window"),
    ({"sinks": 4}, "sinks", "sinks needs mask: window; any other mask sees the first keys anyway"),
    (
        {"sinks": 4, "mask": "window", "window": 4, "attention": "block_sparse"},
        "sinks",
        "sinks needs attention: softmax, not block_sparse",
    ),
    ({"append": 17}, "append", "append is at most q_len and kv_len (16); got 17"),
    (
        {"q_len": None, "requests": "q16_q2s9", "append": 3},
        "append",
        "append is at most q_len and kv_len (2); got 3",
    ),
    (
        {"rope": "neox", "rope_dim": 31},
        "rope_dim",
        "rope_dim is even and at most head_dim; got 31",
    ),
    (
        {"rope": "neox", "rope_dim": 66},
        "rope_dim",
        "rope_dim is even and at most head_dim; got 66",
    ),
    (
        {"rope": "neox", "head_dim": 65},
        "rope_dim",
        "rope_dim is even and at most head_dim; got 65",
    ),
    *(
        (
            {"kv_dtype": "int4", dim: 65},
            "kv_dtype",
            "int4 packs two codes a byte along head_dim, which must be even",
        )
        for dim in ("head_dim", "v_head_dim")
    ),
    (
        {"latent": True, "v_head_dim": 65},
        "latent",
        "latent takes V from K's first columns: v_head_dim is at most head_dim",
    ),
    *(
        (
            {"attention": kind, "mode": "bwd"},
            "mode",
            f"{kind} attention is priced forward only: mode fwd",
        )
        for kind in ("linear", "additive", "layer")
    ),
    *(
        (
            {"attention": "layer", field: value},
            field,
            f"attention: layer computes q, k and v itself; it has no {what}",
        )
        for field, value, what in (
            ("kv_len", 17, "a kv_len of its own"),
            ("v_head_dim", 32, "a v_head_dim of its own"),
            ("kv_dtype", "int8", "a kv_dtype of its own"),
            ("kv_layout", "paged", "a paged cache"),
            ("append", 1, "append"),
            ("latent", True, "a latent cache"),
        )
    ),
    (
        {"attention": "linear", "kv_len": 17},
        "kv_len",
        "linear attention runs over one sequence: kv_len equals q_len",
    ),
    *(
        (
            {
                "attention": "linear",
                field: value,
                "mask": "window" if field == "window" else "none",
            },
            field,
            f"linear attention has no scores for {field} to act on",
        )
        for field, value in (
            ("window", 4),
            ("softcap", 50.0),
            ("sink_logits", True),
            ("bias", "alibi"),
        )
    ),
    *(
        (
            {"mode": "fwd_bwd", field: value},
            field,
            f"{what} has no gradient: mode fwd_bwd needs it off",
        )
        for field, value, what in (
            ("kv_layout", "paged", "a paged cache"),
            ("kv_dtype", "int8", "a quantised cache"),
            ("append", 1, "append"),
            ("latent", True, "a latent cache"),
        )
    ),
]


@pytest.mark.parametrize(("given", "field", "message"), REFUSALS, ids=lambda one: str(one)[:60])
def test_what_makes_no_problem_is_refused_with_the_field_to_change(given, field, message):
    with pytest.raises(ProblemError) as caught:
        make(**given)

    assert (caught.value.field, str(caught.value)) == (field, message)


@pytest.mark.parametrize("declared", PROBLEM_FIELDS.values(), ids=PROBLEM_FIELDS)
def test_every_field_is_declared_whole(declared):
    assert declared.about
    assert declared.domain
    assert (declared.kind == "word") == bool(declared.choices)
    assert not declared.admits(object())
    if declared.needs is not None:
        assert set(declared.needs[1]) < set(CHOICES[declared.needs[0]])


def test_every_field_has_one_default_that_means_as_before():
    assert [field.name for field in fields(Problem)] == list(FIELDS)


def test_every_dtype_has_a_width():
    assert set(DTYPE_BITS) == {*DTYPES, *KV_DTYPES}


def test_replacing_a_field_checks_again():
    with pytest.raises(ProblemError, match="cannot be shared"):
        replace(make(), kv_heads=3)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 50.0}, {"a": 50}),
        ({"a": (1, 2.0)}, {"a": [1, 2]}),
    ],
)
def test_a_digest_is_over_the_canonical_form(one, other):
    assert digest(one) == digest(other)


def test_a_digest_tells_true_from_one_and_is_12_hex_digits():
    assert digest({"a": True}) != digest({"a": 1})
    assert digest({"a": 0.5}) != digest({"a": "0.5"})
    assert digest({}) == "b4b8bf78e9ad"
