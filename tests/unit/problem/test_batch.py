from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.errors import ProblemError
from attnbench.problem.batch import Request, format_requests, group_text, parse_requests

lengths = st.one_of(st.integers(1, 5000), st.sampled_from([1024, 2048, 131072, 2**20]))
requests = st.lists(st.builds(Request, lengths, lengths), min_size=1, max_size=12).map(tuple)


@given(requests)
def test_a_batch_that_was_written_reads_back(batch):
    assert parse_requests(format_requests(batch)) == batch


@given(requests)
def test_the_canonical_text_is_a_fixed_point(batch):
    text = format_requests(batch)

    assert format_requests(parse_requests(text)) == text


# The examples of vLLM's benchmarks/attention_benchmarks/README.md and of its configurations.
@pytest.mark.parametrize(
    ("text", "batch"),
    [
        ("q2k", [Request(2048, 2048)]),
        ("q1s1k", [Request(1, 1024)]),
        ("8q1s1k", [Request(1, 1024)] * 8),
        ("q4s1k", [Request(4, 1024)]),
        ("16q4s1k", [Request(4, 1024)] * 16),
        ("2q2k_32q1s1k", [Request(2048, 2048)] * 2 + [Request(1, 1024)] * 32),
        ("2q2k_8q1s1k", [Request(2048, 2048)] * 2 + [Request(1, 1024)] * 8),
        ("4q1k_16q1s2k", [Request(1024, 1024)] * 4 + [Request(1, 2048)] * 16),
        ("q1ks2k", [Request(1024, 2048)]),
        ("2q1ks4k", [Request(1024, 4096)] * 2),
        ("q512", [Request(512, 512)]),
    ],
)
def test_vllms_examples_mean_what_they_mean_there(text, batch):
    assert list(parse_requests(text)) == batch
    assert format_requests(batch) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1q1s1k", "q1s1k"),
        ("q1s1k_q1s1k", "2q1s1k"),
        ("q2048s2048", "q2k"),
        ("q1024k", "q1m"),
        ("q1s1k_q2_q1s1k", "q1s1k_q2_q1s1k"),
    ],
)
def test_one_batch_has_one_text_and_keeps_its_order(text, canonical):
    assert format_requests(parse_requests(text)) == canonical


@pytest.mark.parametrize("text", ["", "_", "q", "2", "q1_", "s1k", "q1k1", "q1 s2", "q1kv1k", "Q1"])
def test_a_group_that_does_not_read_is_shown_with_an_example(text):
    with pytest.raises(ProblemError, match="does not read") as caught:
        parse_requests(text)

    assert caught.value.field == "requests"
    assert (
        caught.value.hint == "write groups like 8q1s1k (8 decodes over 1024) or 2q2k, joined by _"
    )


@pytest.mark.parametrize("text", ["0q1", "q0", "q1s0", "q1_3q0s4"])
def test_zeros_are_refused(text):
    with pytest.raises(ProblemError, match="has a zero"):
        parse_requests(text)


@pytest.mark.parametrize(
    ("q_len", "kv_len", "phase"),
    [
        (1, 1, "decode"),
        (1, 4096, "decode"),
        (2, 2, "prefill"),
        (4096, 512, "prefill"),
        (2, 3, "extend"),
        (512, 4096, "extend"),
    ],
)
def test_the_phase_is_reported_by_the_lengths(q_len, kv_len, phase):
    assert Request(q_len, kv_len).phase == phase


def test_a_group_of_one_has_no_count():
    assert group_text(1, Request(1, 4096)) == "q1s4k"
    assert group_text(16, Request(4096, 4096)) == "16q4k"


@pytest.mark.parametrize("text", ["999999999q1", "1048576q1_1q2"])
def test_more_requests_than_any_batch_has_are_refused_before_they_are_made(text):
    with pytest.raises(ProblemError, match="more than 1,048,576 requests"):
        parse_requests(text)
