from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.backends import flex, naive, sdpa, triton_decode, triton_flash
from attnbench.conformance import (
    THEMES,
    WAYS,
    accepted_device,
    placeholder_case,
    trial_fields,
    trials_of,
    undeclared,
)
from attnbench.filter import parse
from attnbench.measure.reduce import interpreted_s
from attnbench.plugin import Capabilities
from attnbench.problem import DTYPES, KV_DTYPES, MASK_ALIGNS, MASKS, MODES, PHASES

BUILT_IN = [flex, naive, sdpa, triton_decode, triton_flash]
EVERYTHING = Capabilities(
    modes=MODES,
    kv_dtypes=KV_DTYPES,
    masks=MASKS,
    mask_aligns=MASK_ALIGNS,
    ragged=True,
    paged=True,
    page_formats={"nhd", "hnd"},
    softcap=True,
    alibi=True,
    sinks=True,
    sink_logits=True,
    rope=True,
    append=True,
    attentions={"softmax", "linear", "additive", "block_sparse"},
)


def a_set(words):
    return st.sets(st.sampled_from(words), min_size=1)


capabilities = st.builds(
    Capabilities,
    phases=st.none() | a_set(PHASES),
    modes=a_set(MODES),
    dtypes=st.none() | a_set(DTYPES),
    kv_dtypes=st.sets(st.sampled_from(KV_DTYPES)),
    masks=a_set(MASKS),
    mask_aligns=a_set(MASK_ALIGNS),
    head_dims=st.none() | a_set([8, 40, 64, 128, 576]),
    page_sizes=st.none() | a_set([1, 16, 128]),
    page_formats=a_set(["nhd", "hnd"]),
    attentions=a_set(["softmax", "linear", "additive", "block_sparse"]),
    devices=st.none() | a_set(["cpu", "cuda"]),
    min_arch=st.none() | st.just("sm_90"),
    **{
        name: st.booleans() for name in ("grouped", "wide_v", "ragged", "paged", "softcap", "alibi")
    },
    **{name: st.booleans() for name in ("sinks", "sink_logits", "rope", "append")},
)


def trials(declared):
    return trials_of(placeholder_case("mine"), declared)


def test_who_declares_everything_is_asked_in_every_theme_and_way():
    asked = trials(EVERYTHING)

    assert list(dict.fromkeys(one.theme for one in asked)) == list(THEMES)
    assert {one.way for one in asked} == set(WAYS)
    assert undeclared(asked) == []


@settings(max_examples=12, deadline=None)
@given(capabilities)
def test_nothing_is_asked_that_was_not_declared(declared):
    device = accepted_device(declared)

    for one in trials(declared):
        assert declared.why_not(one.case.problem, device) is None


@settings(max_examples=12, deadline=None)
@given(capabilities)
def test_no_trial_is_asked_twice_and_its_filter_selects_only_it(declared):
    asked = trials(declared)

    assert len({(one.case.problem, one.way) for one in asked}) == len(asked)
    for one in asked[:1]:
        chosen = parse(one.filter, extra=("theme", "way"))
        assert [two for two in asked if chosen.matches(trial_fields(two))] == [one]


def test_plain_dense_attention_is_asked_as_plain_dense_attention():
    asked = trials(Capabilities())

    assert undeclared(asked) == [
        *("masks", "empty_rows", "features", "rope", "append", "ragged", "paged", "quantised"),
        *("variants", "gradients"),
    ]
    lengths = {(one.case.problem.q_len, one.case.problem.kv_len) for one in asked}
    assert {(1, 1), (17, 17), (127, 127), (129, 129), (129, 17)} <= lengths


@pytest.mark.parametrize("module", BUILT_IN)
def test_a_built_in_backend_is_asked_within_minutes(module):
    asked = trials(module.capabilities)

    assert 100 < len(asked) < 450
    if hasattr(module, "inspected"):  # interpreted on a CPU: three calls a trial
        assert 3 * sum(interpreted_s(one.case.problem) for one in asked) < 300


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        (Capabilities(head_dims={96, 128}), {"head_dim": 96}),
        (Capabilities(dtypes={"bf16", "fp16"}), {"dtype": "fp16"}),
        (Capabilities(grouped=False), {"kv_heads": 4}),
        (Capabilities(masks={"causal"}), {"mask": "causal"}),
        (Capabilities(masks={"window"}), {"mask": "window", "window": 64}),
        (Capabilities(attentions={"linear"}, masks={"causal"}), {"attention": "linear"}),
    ],
)
def test_what_a_problem_is_by_default_follows_from_what_is_declared(declared, problem):
    asked = trials(declared)

    first = asked[0].case.problem
    assert {name: getattr(first, name) for name in problem} == problem


def test_the_pages_are_of_the_sizes_that_are_declared():
    asked = trials(Capabilities(paged=True, page_sizes={32}, ragged=True))

    assert {one.case.problem.page_size for one in asked} == {None, 32}
