from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.errors import SuiteError
from attnbench.models import MODELS
from attnbench.problem import Problem
from attnbench.suite.expand import grid_of, read_overrides
from attnbench.suite.schema import shape_of
from attnbench.suite.source import read

HEAD = "suite: x\nbackends: {naive: , sdpa: }\n"
MODEL = HEAD + "problem: {q_len: 1, kv_len: 1k, dtype: bf16}\n"


def of_naive(suite):
    return [case for case in suite.cases if case.backend == "naive"]


def test_equal_problems_of_two_models_are_one_case(loaded):
    suite = loaded(MODEL + "sweep: {model: [llama-3-8b, mistral-7b, llama-3-70b]}\n")
    first, second = of_naive(suite)

    assert (first.model, first.tp, first.weight) == ("llama-3-8b, mistral-7b", 1, 32)
    assert (second.model, second.tp, second.weight) == ("llama-3-70b", 1, 80)
    assert suite.derived == tuple(
        MODELS[name].derived for name in ("llama-3-8b", "mistral-7b", "llama-3-70b")
    )


def test_what_models_do_not_agree_on_is_left_open(loaded):
    text = "sweep: {model: [llama-3-8b, qwen3-30b-a3b, llama-3.1-405b], tp: [1, 2, 4, 8, 16, 32]}"
    cases = {case.problem.label.split()[2]: case for case in of_naive(loaded(MODEL + text))}

    assert cases["16/4x128"].tp == 2
    assert cases["4/1x128"].model == "llama-3-8b, qwen3-30b-a3b, llama-3.1-405b"
    assert cases["4/1x128"].tp is None
    assert cases["4/1x128"].weight is None


def test_a_model_gives_one_problem_for_each_kind_of_layer(loaded):
    window, full = of_naive(loaded(MODEL + "sweep: {model: [gpt-oss-20b]}\n"))

    assert (window.problem.mask, window.problem.window, window.weight) == ("window", 128, 12)
    assert (full.problem.mask, full.problem.window, full.weight) == ("none", None, 12)
    assert full.problem.sink_logits


def test_mla_depends_on_the_phase(loaded):
    text = HEAD + (
        "problem: {dtype: bf16, model: deepseek-v3}\n"
        "sweep: {a: [{q_len: 1, kv_len: 1k}, {q_len: 1k}, {requests: q64_2q1s128}]}\n"
    )
    decode, prefill, mixed = (case.problem for case in of_naive(loaded(text)))

    assert (decode.head_dim, decode.v_head_dim, decode.latent) == (576, 512, True)
    assert (prefill.head_dim, prefill.v_head_dim, prefill.latent) == (192, 128, False)
    assert (prefill.mask, mixed.mask, mixed.latent) == ("causal", "causal", True)


def test_the_suites_mask_is_for_layers_without_a_window(loaded):
    text = HEAD + "problem: {dtype: bf16, q_len: 1k, mask: none, model: gemma-2-9b}\n"

    assert [case.problem.mask for case in of_naive(loaded(text))] == ["window", "none"]


def test_a_config_gives_heads_and_a_dtype(loaded, tmp_path):
    facts = {"num_attention_heads": 8, "num_key_value_heads": 2, "hidden_size": 512}
    facts |= {"num_hidden_layers": 4, "torch_dtype": "float16"}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(facts))
    suite = loaded(HEAD + f"problem: {{q_len: 1, kv_len: 1k, model: {path}}}\n")

    assert of_naive(suite)[0].label == "decode q1s1k 8/2x64 fp16 · naive"
    assert suite.derived == (
        "mine: 8 heads, 2 kv_heads, head_dim 64 (hidden_size/heads), full attention, 4 layers",
    )


def test_a_plain_case_has_no_model(loaded):
    suite = loaded(HEAD + "problem: {q_len: 1, q_heads: 2, head_dim: 8, dtype: bf16}\n")

    assert [(one.model, one.tp, one.weight) for one in suite.cases] == [(None, None, None)] * 2
    assert suite.derived == ()


def test_a_value_that_stands_twice_is_measured_once(loaded):
    suite = loaded(
        HEAD + "problem: {q_len: 1, q_heads: 2, head_dim: 8, dtype: bf16}\n"
        "sweep: {kv_len: [1024, 1k, 2k]}\n"
    )

    assert len(suite.cases) == 4


def test_combinations_that_are_excluded_need_not_be_problems(loaded):
    suite = loaded(
        HEAD + "problem: {q_len: 1, head_dim: 8, dtype: bf16}\n"
        "sweep: {q_heads: [32, 40], kv_heads: [8, 16]}\n"
        "exclude: [{q_heads: 40, kv_heads: '>8', batch: 1, kv_len: 1}]\n"
    )

    assert len(suite.cases) == 6
    assert suite.excluded == 2


def test_models_that_do_not_divide_can_be_excluded(loaded):
    suite = loaded(
        MODEL + "sweep: {model: [llama-3-8b, qwen2.5-0.5b], tp: [1, 4]}\n"
        "exclude: [{model: qwen2.5-0.5b, tp: '>1'}]\n"
    )

    assert [(one.model, one.tp) for one in of_naive(suite)] == [
        ("llama-3-8b", 1),
        ("llama-3-8b", 4),
        ("qwen2.5-0.5b", 1),
    ]


def test_a_case_of_two_models_of_which_one_is_excluded_is_the_others(loaded):
    suite = loaded(
        MODEL + "sweep: {model: [llama-3-8b, mistral-7b]}\n"
        "exclude: [{model: mistral-7b}, {backend: sdpa, model: llama-3-8b}]\n"
    )

    assert [(one.backend, one.model) for one in suite.cases] == [("naive", "llama-3-8b")]
    assert suite.excluded == 3


@pytest.mark.parametrize("field", ["window: 128", "q_heads: 8", "latent: true", "softcap: 50"])
def test_what_a_model_gives_may_not_stand_beside_it(loaded, field):
    with pytest.raises(SuiteError, match=f"{field.split(':')[0]} comes from the model"):
        loaded(HEAD + f"problem: {{q_len: 1, dtype: bf16, model: llama-3-8b, {field}}}\n")


def test_one_trouble_of_many_cases_is_one_fault(loaded):
    with pytest.raises(SuiteError) as caught:
        loaded(
            HEAD + "problem: {q_len: 1, head_dim: 8, dtype: bf16, kv_heads: 3}\n"
            "sweep: {q_heads: [8, 16, 32, 64, 128], batch: {pow2: [1, 64]}}\n"
        )

    (fault,) = caught.value.faults
    assert "affects 70 of 70 cases" in fault
    assert fault.count("also: ") == 3
    assert fault.endswith("and 1 more like it")


ONE_BACKEND = "suite: x\nbackends: {naive: }\n"


def grid(text: str, *words: str):
    source, _ = read(ONE_BACKEND + text, "x.yaml")
    shape = shape_of(source)
    assert shape.faults == ()
    set_words, faults = read_overrides(words)
    assert faults == []
    found, faults = grid_of(source, shape.sections, set_words)
    assert faults == []
    return found


def combinations(text: str, *words: str):
    return [fields for _, fields in grid(text, *words).combinations()]


def test_the_first_axis_is_outermost_in_the_order_of_the_file():
    found = combinations("sweep: {kv_len: [3, 4], batch: [1, 2]}")

    assert [(one["kv_len"], one["batch"]) for one in found] == [(3, 1), (3, 2), (4, 1), (4, 2)]


def test_an_axis_wins_over_the_problem():
    assert combinations("problem: {batch: 3, seed: 1}\nsweep: {batch: [1]}") == [
        {"batch": 1, "seed": 1}
    ]


def test_tied_fields_move_together_and_maps_may_differ():
    found = combinations("problem: {batch: 9}\nsweep: {a: [{q_len: 1}, {q_len: 2, batch: 3}]}")

    assert found == [{"batch": 9, "q_len": 1}, {"batch": 3, "q_len": 2}]


def test_without_a_sweep_there_is_one_problem():
    assert combinations("problem: {batch: 9}") == [{"batch": 9}]


def test_setting_a_model_takes_away_what_models_bring():
    text = (
        "problem: {q_len: 1, head_dim: 64}\n"
        "sweep: {heads: [{q_heads: 8}, {q_heads: 4}], a: [{window: 4, batch: 2}], kv_len: [1]}"
    )

    assert combinations(text, "model=llama-3-8b") == [
        {"q_len": 1, "batch": 2, "kv_len": 1, "model": "llama-3-8b"}
    ]


def test_set_replaces_a_field_wherever_it_stands_last():
    text = "problem: {seed: 1, batch: 3}\nsweep: {kv_len: [1], a: [{q_len: 1, batch: 2}]}"

    assert list(combinations(text, "batch=5,6")[0]) == ["seed", "kv_len", "q_len", "batch"]
    assert [one["batch"] for one in combinations(text, "batch=5,6")] == [5, 6]
    assert [one["kv_len"] for one in combinations(text, "kv_len=1k,2k")] == [1024, 2048]
    assert combinations(text, "q_len=7")[0]["q_len"] == 7


def test_set_reads_every_kind_of_field():
    words = ("softcap=50", "sink_logits=true", "mask=none,causal", "requests=q2k_4q1")
    first = combinations("", *words)[0]

    assert first == {"softcap": 50.0, "sink_logits": True, "mask": "none", "requests": "q2k_4q1"}


def test_a_value_knows_where_it_is_from():
    found = grid(
        "problem: {batch: 9}\nsweep: {kv_len: [3, 44], a: [{q_len: 1}, {seed: 2}]}", "window=5"
    )
    picks = (1, 0, 0)

    assert found.place("kv_len", picks).header() == "x.yaml:4:21"
    assert found.place("q_len", picks).header() == "x.yaml:4:38"
    assert found.place("batch", picks).header() == "x.yaml:3:18"
    assert found.place("window", picks).header() == "command line"
    assert found.place("seed", picks).header() == "x.yaml:3:1"


@given(st.integers(0, 30), st.integers(0, 30))
def test_powers_of_two_are_all_of_them_with_both_ends(low, more):
    high = min(low + more, 40)
    (axis,) = grid(f"sweep: {{kv_len: {{pow2: [{2**low}, {2**high}]}}}}").axes

    assert [entry["kv_len"] for entry in axis.entries] == [2**n for n in range(low, high + 1)]


AXES = st.dictionaries(
    st.sampled_from(["batch", "q_len", "kv_len", "seed", "window"]),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    max_size=4,
)


@given(AXES)
def test_a_sweep_is_the_product_of_its_axes(axes):
    text = "".join(f"  {name}: {values}\n" for name, values in axes.items())
    found = combinations(f"sweep:\n{text}" if axes else "")

    assert found == [
        dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
    ]


def test_every_field_of_a_problem_can_be_an_axis():
    assert grid("sweep: {sink_logits: [true], density: [0.5], rope: [neox]}").size == 1
    assert {"sink_logits", "density", "rope"} <= set(Problem.__slots__)
