from __future__ import annotations

import json
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.case import Case
from attnbench.errors import AttnbenchError, InputError
from attnbench.filter import (
    DERIVED,
    case_fields,
    check_condition,
    did_you_mean,
    find_mistake,
    from_map,
    nearest,
    parse,
    plain_fields,
)
from attnbench.problem import FIELDS, Problem

DENSE = {"batch": 16, "q_len": 1, "kv_len": 4096, "q_heads": 32, "kv_heads": 8, "head_dim": 128}
CASE = Case(
    problem=Problem(**DENSE, dtype="bf16"),
    backend="sdpa",
    options=(("kernel", "flash"),),
    model="llama-3-8b, mistral-7b",
    tp=1,
    weight=32.0,
)
FIELDS_OF_CASE = case_fields(CASE)


def picks(text: str, fields=FIELDS_OF_CASE) -> bool:
    return parse(text, extra=("kernel", "upcast", "notes", "status")).matches(fields)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "decode",
        "DECODE bf16",
        "32/8x128",
        "sdpa[kernel=flash]",
        "'decode 16q1s4k'",
        CASE.label,
        CASE.id,
        CASE.problem.id[:4],
        "kv_len=4k",
        "kv_len = 4096",
        "kv_len>=4k batch=1,16",
        "kv_len>1k and kv_len<8k",
        "batch!=1,8",
        "mask=none",
        "phase=decode group_size=4",
        "model=mistral-7b",
        "model=llama-3-8b tp=1 weight>31.5",
        "backend=SDPA kernel=flash",
        "backend_label=sdpa[kernel=flash]",
        "not backend=naive",
        "(mask=causal or kv_len<=4k) dtype=bf16",
        "mask=causal or mask=window or mask=none",
        "not (prefill or naive)",
        "sink_logits=false",
        "softcap!=50",
        "upcast!=true",
        "scale<0.1",
    ],
)
def test_a_filter_selects_the_case_that_it_describes(text):
    assert picks(text)


@pytest.mark.parametrize(
    "text",
    [
        "prefill",
        "decode naive",
        "not decode",
        "kv_len>4k",
        "kv_len!=4k",
        "batch=1,8",
        "model!=mistral-7b",
        "window<=4k",
        "window>=1",
        "window=128",
        "upcast=true",
        "backend=sdp",
        f"{CASE.id[:3]}",
        "mask=causal or prefill",
    ],
)
def test_a_filter_leaves_out_what_it_does_not_describe(text):
    assert not picks(text)


def test_a_blank_binds_more_than_or():
    assert picks("naive prefill or decode sdpa")
    assert not picks("naive (prefill or decode) sdpa")


def test_a_row_of_a_table_can_be_picked_as_well():
    row = {
        **{name: FIELDS_OF_CASE[name] for name in (*FIELDS, *DERIVED) if name != "label"},
        "window": float("nan"),
        "backend_options": json.dumps({"kernel": "flash"}),
        "notes": ["NOISY", "THROTTLED"],
        "status": "ok",
    }

    assert picks("decode kernel=flash notes=NOISY status=ok window!=5", row)
    assert not picks("kernel=math", row)
    assert not picks("window<5", row)
    assert not picks("notes=RESUMED", row)


def test_the_nulls_and_numbers_of_pandas_are_understood():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "case_label": ["decode a", "decode b"],
            "case_id": ["aaaaaaaaaaaa", "bbbbbbbbbbbb"],
            "kv_len": pd.array([4096, None], dtype="Int64"),
            "sink_logits": pd.array([True, False], dtype="boolean"),
        }
    )
    rows = frame.to_dict("records")

    assert [picks("kv_len>=4k", row) for row in rows] == [True, False]
    assert [picks("kv_len!=4k", row) for row in rows] == [False, True]
    assert [picks("sink_logits=true", row) for row in rows] == [True, False]


MISTAKES = {
    "kv_lne=4k": """\
        unknown field 'kv_lne'
            kv_lne=4k
            ^^^^^^ did you mean 'kv_len'?""",
    "decode mask=cusal,none": """\
        mask is one of none, causal, window; got 'cusal'
            decode mask=cusal,none
                        ^^^^^ did you mean 'causal'?""",
    "kv_len>=4x": """\
        kv_len is a number; got '4x'
            kv_len>=4x
                    ^^ write 4096 or 4k""",
    "kv_len>=": """\
        kv_len>= needs a value
            kv_len>=
                    ^""",
    "kv_len==4k": """\
        kv_len= needs a value
            kv_len==4k
                   ^^^ write = once""",
    "kv_len<1k,2k": """\
        kv_len is compared with one value here
            kv_len<1k,2k
                   ^^^^^ a,b goes with = and !=""",
    "mask<causal": """\
        mask is a word and has no order
            mask<causal
                 ^^^^^^ use = or !=""",
    "status<5k status<ok": """\
        status is compared with a number; got 'ok'
            status<5k status<ok
                             ^^ write 4096 or 4k""",
    "4k<kv_len": """\
        '4k<kv_len' compares nothing
            4k<kv_len
            ^^^^^^^^^ write field=value""",
    "(decode or naive": """\
        a ( is not closed
            (decode or naive
                            ^""",
    "decode)": """\
        this ) closes nothing
            decode)
                  ^""",
    "decode or": """\
        the filter ends where something to match should stand
            decode or
                     ^""",
    "or decode": """\
        'or' needs something to match before it
            or decode
            ^^""",
    "sdpa[kernel": """\
        [ is not closed, or closes nothing
            sdpa[kernel
                ^""",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_shown_with_its_place(text):
    with pytest.raises(InputError) as caught:
        parse(text, extra=("status",))

    assert str(caught.value) == textwrap.dedent(MISTAKES[text])


def test_nesting_without_end_is_refused():
    with pytest.raises(InputError, match="nested too deeply"):
        parse("(" * 10_000)


def test_a_mistake_can_be_asked_for_without_an_exception():
    mistake = find_mistake("decode kv_lne=1")

    assert mistake is not None
    assert (mistake.start, mistake.width) == (7, 6)
    assert find_mistake("decode kv_len=1") is None


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, True),
        ({"kv_len": 4096}, True),
        ({"kv_len": "4k", "batch": [1, 16]}, True),
        ({"kv_len": ">=4k"}, True),
        ({"kv_len": "<4k"}, False),
        ({"kv_len": "> 4k"}, False),
        ({"backend": "!=naive"}, True),
        ({"backend": ["naive", "flex"]}, False),
        ({"sink_logits": False, "kernel": "flash"}, True),
        ({"window": ">=1"}, False),
        ({"kv_len": "4k", "batch": 1}, False),
    ],
)
def test_a_map_matches_when_every_key_does(conditions, expected):
    assert from_map(conditions).matches(FIELDS_OF_CASE) is expected


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (("kv_lne", 1), ("unknown key 'kv_lne' in exclude", "did you mean 'kv_len'?", True)),
        (("kv_len", "4x"), ("kv_len is a number; got '4x'", "write 4096 or 4k", False)),
        (("mask", [1]), ("mask is one of none, causal, window; got '1'", "", False)),
        (("kv_len", []), ("kv_len needs a value", "", False)),
        (("mask", ">none"), ("mask is a word and has no order", "use = or !=", False)),
        (("kv_len", ">=64k"), None),
    ],
)
def test_a_pair_of_a_map_can_be_checked(pair, expected):
    assert check_condition(*pair) == expected


def test_case_fields_have_every_field_of_a_problem_and_what_is_derived():
    assert set(FIELDS_OF_CASE) == {*FIELDS, *DERIVED, "kernel"}
    assert FIELDS_OF_CASE["label"] == CASE.label
    plain = plain_fields(CASE.problem, "sdpa", {"kernel": "flash"}, CASE.model, 1)
    assert plain.items() <= FIELDS_OF_CASE.items()


def test_the_nearest_word_is_found_in_any_case():
    assert nearest("FLSH", ("flash", "math")) == "flash"
    assert nearest("zebra", ("flash", "math")) is None
    assert did_you_mean("zebra", ("flash",)) == ""


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_a_mistake_within_the_text(text):
    mistake = find_mistake(text)
    if mistake is None:
        parse(text).matches(FIELDS_OF_CASE)
    else:
        assert 0 <= mistake.start <= len(text)
        with pytest.raises(AttnbenchError):
            parse(text)


WORDS = st.sampled_from(["decode", "naive", "kv_len>=4k", "kv_len<4k", "batch=1,16", "mask!=none"])
FILTERS = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: f"({two[0]} {two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]} or {two[1]})"),
        inner.map(lambda one: f"not {one}"),
    ),
    max_leaves=8,
)


@given(FILTERS, FILTERS)
def test_and_or_and_not_are_those_of_logic(one, other):
    assert picks(f"{one} {other}") == (picks(one) and picks(other))
    assert picks(f"({one}) or ({other})") == (picks(one) or picks(other))
    assert picks(f"not ({one})") == (not picks(one))


@given(st.sampled_from(["batch", "kv_len", "window", "q_heads"]), st.integers(1, 1 << 20))
def test_the_comparisons_agree_with_each_other(field, value):
    is_there = FIELDS_OF_CASE[field] is not None

    assert picks(f"{field}={value}") == (not picks(f"{field}!={value}"))
    less, more = picks(f"{field}<{value}"), picks(f"{field}>={value}")
    assert (less != more) == is_there
    assert picks(f"{field}<={value}") == (less or picks(f"{field}={value}"))
