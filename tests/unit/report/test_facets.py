"""What stands in one panel, and its title."""

from __future__ import annotations

import pytest

from attnbench.report.facets import Facet, largest, shared, split
from attnbench.report.points import gather
from attnbench.store import load


@pytest.fixture
def points(made):
    def make(*problems):
        rows = [row for one in problems for row in made.ok_rows(one, "sdpa", processes=1)]
        return gather(load(made.run(rows)))

    return make


def test_problems_that_differ_in_length_alone_share_a_panel(points, made):
    found = split(points(*(made.prefill(n) for n in (256, 512, 1024))), ("length",))

    assert [len(one.points) for one in found] == [3]
    assert found[0].title == ""


def test_a_title_says_what_differs_and_nothing_else(points, made):
    found = split(points(made.decode(1, 1024, 8), made.decode(8, 1024, 1)), ("length",))

    assert [one.title for one in found] == ["batch 8, 32/1 heads", "batch 1, 32/8 heads"] or [
        one.title for one in found
    ] == ["batch 1, 32/8 heads", "batch 8, 32/1 heads"]


def test_what_a_phase_always_has_is_not_said_of_each_panel(points, made):
    found = split(points(made.decode(1), made.decode(8), made.prefill()), ("length",))

    assert sorted(one.title for one in found) == ["decode, batch 1", "decode, batch 8", "prefill"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kv_dtype": "int8"}, "kv_dtype int8"),
        ({"kv_layout": "paged"}, "paged"),
        ({"softcap": 30.0}, "softcap 30.0"),
        ({"sink_logits": True}, "sink_logits"),
        ({"v_head_dim": 64}, "v_head_dim 64"),
    ],
)
def test_any_field_of_a_problem_parts_panels_and_is_named(points, made, change, word):
    found = split(points(made.decode(), made.decode(**change)), ("length",))

    assert len(found) == 2
    assert any(word in one.title for one in found)


def test_of_equal_panels_those_that_are_kept_are_spread_over_all():
    facets = [Facet(str(n), (None,)) for n in range(10)]

    kept, left_out = largest(facets, 4)

    assert [one.title for one in kept] == ["0", "3", "6", "9"]
    assert left_out == 6


def test_larger_panels_are_kept_before_smaller_ones():
    facets = [Facet(str(n), (None,) * size) for n, size in enumerate((1, 3, 1, 2))]

    kept, left_out = largest(facets, 2)

    assert [one.title for one in kept] == ["1", "3"]
    assert left_out == 2


def test_what_all_share_is_said_by_phase(points, made):
    lines = shared(points(made.decode(1), made.decode(8), made.prefill()))

    assert lines[0].startswith("decode: 32/8 heads, head_dim 128, bf16, no mask")
    assert lines[1].startswith("prefill: batch 1, 32/8 heads, head_dim 128, bf16, causal")


def test_a_long_name_leaves_room_for_what_tells_panels_apart(made):
    rows = []
    for problem in (made.decode(), made.decode(8), made.prefill(), made.prefill(2048)):
        for backend in ("x" * 180, "short"):
            rows += made.ok_rows(problem, backend, latency_us=20.0 + len(backend))

    titles = [panel.title for panel in made.figure(rows, "speedup").panels]

    assert len(set(titles)) == len(titles) == 2
    assert all(len(title) < 70 for title in titles)
