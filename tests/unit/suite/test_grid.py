from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from attnbench.problem import Problem
from attnbench.suite import overrides
from attnbench.suite.grid import grid_of
from attnbench.suite.shape import shape_of
from attnbench.suite.source import read

HEAD = "suite: x\nbackends: {naive: }\n"


def grid(text: str, *words: str):
    source, _ = read(HEAD + text, "x.yaml")
    shape = shape_of(source)
    assert shape.faults == ()
    set_words, faults = overrides.read(words)
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
