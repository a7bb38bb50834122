"""Whole texts in, suites out; what is said of wrong ones stands in test_bad_suites."""

from __future__ import annotations

import contextlib
import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnbench.errors import AttnbenchError, InputError, NothingSelected
from attnbench.filter import case_fields
from attnbench.suite import load, loads

DESIGN = """\
# yaml-language-server: $schema=./suite.schema.json
suite: decode
about: One new token against a KV cache, and what grouping saves.
tags: [decode, gqa]
source: https://example.org/paper

problem: {q_len: 1, head_dim: 128, dtype: bf16}

sweep:
  batch: [1, 8, 64]
  kv_len: {pow2: [1k, 128k]}           # both ends included
  heads:                               # tied: these move together
    - {q_heads: 32, kv_heads: 32}      # MHA
    - {q_heads: 32, kv_heads: 8}       # GQA, 8 groups
    - {q_heads: 32, kv_heads: 1}       # MQA

exclude:
  - {kv_len: ">=64k", batch: 64, kv_heads: 32}
  - {backend: naive, kv_len: ">=32k"}

backends:
  naive:
  sdpa:
    options: {kernel: [flash, cudnn]}
  ./my_attn.py:

baseline: sdpa[kernel=flash]
measure: {max_noise: 0.01, case_limit_s: 5, timer: [wall, event], l2: cold}
gate:
  max_slowdown: 3%
  limits:
    - {where: kv_len<4k, max_slowdown: 10%}
    - {where: "kernel=flash kv_len>=64k", max_slowdown: 0.01}
published:
  - {where: batch=64 kv_len=8k, device: NVIDIA H200, backend: theirs, latency_us: 142, gbps: 4.1}
"""
SMALL = """\
suite: small
problem: {q_len: 1, q_heads: 32, head_dim: 128, dtype: bf16}
backends: {naive: , sdpa: }
"""


def said(text: str) -> str:
    return textwrap.dedent(text).strip("\n")


def test_a_suite_is_loaded_whole(loaded):
    suite = loaded(DESIGN)

    assert suite.name == "decode"
    assert suite.about == "One new token against a KV cache, and what grouping saves."
    assert suite.tags == ("decode", "gqa")
    assert suite.source == "https://example.org/paper"
    assert suite.labels == ("naive", "sdpa[kernel=flash]", "sdpa[kernel=cudnn]", "my_attn")
    assert suite.options == ("kernel", "upcast")
    assert suite.baseline == "sdpa[kernel=flash]"
    assert suite.folder == Path("suites")
    assert suite.path is None
    assert suite.text == DESIGN
    assert len(suite.sha256) == 64


def test_the_cases_are_the_product_without_what_is_excluded(loaded):
    suite = loaded(DESIGN)
    # 72 problems by 4 labels; 2 problems by 4, and naive on 27 problems less those 2.
    assert suite.excluded == 8 + 25
    assert len(suite.cases) == 288 - 33
    assert len({case.problem.id for case in suite.cases}) == 70
    assert len({case.id for case in suite.cases}) == len(suite.cases)


def test_the_first_axis_is_outermost_and_backends_are_adjacent(loaded):
    labels = [case.label for case in loaded(DESIGN).cases[:6]]

    assert labels == [
        "decode q1s1k 32/32x128 bf16 · naive",
        "decode q1s1k 32/32x128 bf16 · sdpa[kernel=flash]",
        "decode q1s1k 32/32x128 bf16 · sdpa[kernel=cudnn]",
        "decode q1s1k 32/32x128 bf16 · my_attn",
        "decode q1s1k 32/8x128 bf16 · naive",
        "decode q1s1k 32/8x128 bf16 · sdpa[kernel=flash]",
    ]


def test_a_file_backend_is_seen_from_the_suites_folder(loaded):
    sources = {case.backend: case.source for case in loaded(DESIGN).cases}

    assert sources == {"naive": "built in", "sdpa": "built in", "my_attn": "suites/my_attn.py"}


def test_measure_gate_and_published_become_values(loaded):
    suite = loaded(DESIGN)
    longest = case_fields(suite.cases[-3])
    shortest = case_fields(suite.cases[0])

    assert suite.measure.timers == ("wall", "event")
    assert suite.measure.l2_states == ("cold",)
    assert suite.measure.case_limit_s == 5
    assert suite.measure.processes == 3
    assert suite.gate.given
    assert suite.gate.max_slowdown == 0.03
    assert suite.gate.limit_for(shortest) == 0.1
    assert suite.gate.limit_for(longest) == 0.01
    assert suite.gate.limit_for({**shortest, "kv_len": 4096}) == 0.03
    (published,) = suite.published
    assert (published.latency_us, published.tflops, published.gbps) == (142, None, 4.1)
    assert published.where.matches({**shortest, "batch": 64, "kv_len": 8192})


def test_a_suite_without_a_gate_says_so(loaded):
    suite = loaded(SMALL)

    assert not suite.gate.given
    assert suite.gate.max_slowdown == 0.02


def test_three_percent_may_be_written_in_two_ways(loaded):
    written = [loaded(f"{SMALL}gate: {{max_slowdown: {how}}}") for how in ("3%", "0.03", "3 %")]

    assert {suite.gate.max_slowdown for suite in written} == {0.03}


def test_a_filter_narrows_a_suite(loaded):
    suite = loaded(DESIGN)

    assert {case.backend_label for case in suite.select("kernel=flash").cases} == {
        "sdpa[kernel=flash]"
    }
    with pytest.raises(InputError, match="unknown field 'kernl'"):
        suite.select("kernl=flash")


def test_a_filter_that_selects_nothing_is_reported(loaded):
    with pytest.raises(NothingSelected) as caught:
        loaded(SMALL).select("prefill")

    assert str(caught.value) == said("""
        nothing to run: 'prefill' picks none of 2 cases
          attnbench plan small lists them""")


def test_a_file_is_loaded_from_its_path(tmp_path, catalogue):
    path = tmp_path / "mine.yaml"
    path.write_text("\N{BYTE ORDER MARK}" + SMALL.replace("sdpa:", "./b.py:"), encoding="utf-8")
    suite = load(path, catalogue)

    assert suite.path == path
    assert suite.folder == tmp_path
    assert suite.cases[1].source == str(tmp_path / "b.py")


def test_a_file_that_cannot_be_read_is_reported(tmp_path, catalogue):
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"suite: caf\xe9")

    with pytest.raises(InputError, match=r"latin.yaml is not UTF-8 text \(byte 10\)"):
        load(latin, catalogue)
    with pytest.raises(InputError, match=r"cannot read the suite .*: No such file"):
        load(tmp_path / "none.yaml", catalogue)
    with pytest.raises(InputError, match=r"cannot read the suite .*: Is a directory"):
        load(tmp_path, catalogue)


def test_parquet_is_not_read_as_a_suite(tmp_path, catalogue):
    path = tmp_path / "run.parquet"
    path.write_bytes(b"PAR1\x15\x04\x15\xff\xfe")

    with pytest.raises(InputError, match="is not a suite; it looks like Parquet") as caught:
        load(path, catalogue)

    assert caught.value.hint == f"try attnbench show {path}"


def test_ten_thousand_cases_are_loaded(loaded):
    text = SMALL.replace("q_len: 1", "q_len: 1, kv_layout: paged") + (
        "sweep:\n  batch: [{}]\n  kv_len: {{pow2: [1, 1m]}}\n  page_size: [8, 16, 32, 64, 128]\n"
        "  kv_heads: [4, 8]\nexclude: [{{backend: naive, batch: 1000}}]\n"
    ).format(", ".join(map(str, range(1, 25))))

    assert len(loaded(text).cases) == 24 * 21 * 5 * 2 * 2


CHARACTERS = st.sampled_from(list("{}[]:,-'\"#&*!|>%@`?\t\n \\~^=<0k.x\N{SNOWMAN}\u2028\x00\x85"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(DESIGN)), CHARACTERS | st.none()), max_size=6))
def test_a_corrupt_suite_never_raises_anything_but_our_errors(catalogue, edits):
    text = list(DESIGN)
    for at, character in edits:
        text[at : at + 1] = [] if character is None else [character]
    with contextlib.suppress(AttnbenchError):
        loads("".join(text), "x.yaml", Path(), catalogue)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["kv_len", "pow2", "where", "x", ""]), inner)
        ),
        max_leaves=6,
    ),
    st.sampled_from(
        [
            *("suite", "about", "tags", "source", "published", "problem", "sweep", "exclude"),
            *("backends", "baseline", "measure", "gate"),
        ]
    ),
)
def test_any_value_of_any_key_never_raises_anything_but_our_errors(catalogue, value, key):
    lines = [line for line in SMALL.splitlines() if not line.startswith(f"{key}:")]
    text = "\n".join([*lines, f"{key}: {json.dumps(value)}"])
    with contextlib.suppress(AttnbenchError):
        loads(text, "x.yaml", Path(), catalogue)
