"""Advice: ties stay ties, switches are few and stand still, and an engine can load it."""

from __future__ import annotations

import importlib.util
import json
import random
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.analysis.advise import advise
from attnbench.analysis.advise.document import document, schema_text, text
from attnbench.analysis.advise.regions import Cell, Grid, Shape, regions_of
from attnbench.errors import InputError, NothingSelected
from attnbench.stats.latency import Latency

PLACE = Path(__file__).parents[1] / "report" / "conftest.py"
SPEC = importlib.util.spec_from_file_location("report_runs", PLACE)
runs = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(runs)

SHAPE = Shape((("phase", "decode"), ("q_heads", 32), ("kv_heads", 8), ("head_dim", 128)), "t", "c")
SCHEMA = json.loads(schema_text())


def cell(good, context, batch=1, others="ABC"):
    """A cell in which the backends of ``good`` take 10 µs and the others 20."""
    centres = {label: (1e-5 if label in good else 2e-5) for label in others}
    latencies = {
        label: Latency(seconds=one, low=one, high=one, half_width=0.0, processes=5)
        for label, one in sorted(centres.items(), key=lambda pair: pair[1])
    }
    return Cell(batch=batch, context=context, good=tuple(sorted(good)), latencies=latencies)


def row(*words, batch=1):
    return [cell(set(word), 1024 << n, batch) for n, word in enumerate(words)]


def regions(*cells):
    return list(regions_of(Grid(shape=SHAPE, cells=tuple(cells))))


def said(found):
    return [("".join(sorted(one.use)), len(one.context.measured)) for one in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["A", "A", "A"], [("A", 3)]),
        (["AB", "AB"], [("AB", 2)]),
        (["A", "B"], [("A", 1), ("B", 1)]),
        (["A", "AB", "A"], [("A", 3)]),  # a tie makes no switch
        (["A", "AB", "AB", "B"], [("A", 1), ("AB", 2), ("B", 1)]),  # it may lie anywhere in it
        (["AB", "A", "B"], [("A", 2), ("B", 1)]),
        (["A", "ABC", "B", "BC", "C"], [("A", 1), ("AB", 1), ("B", 1), ("BC", 1), ("C", 1)]),
        (["A"], [("A", 1)]),
    ],
)
def test_switches_are_few_and_a_tie_between_two_winners_is_a_zone_of_both(words, expected):
    assert said(regions(*row(*words))) == expected


good_sets = st.lists(
    st.sets(st.sampled_from("ABC"), min_size=1).map(lambda one: "".join(sorted(one))),
    min_size=1,
    max_size=9,
)


@given(good_sets)
def test_every_cell_is_in_one_region_and_what_is_advised_is_good_there(words):
    cells = row(*words)
    found = regions(*cells)

    for one in cells:
        (region,) = [part for part in found if one.context in part.context.measured]
        assert set(region.use) <= set(one.good)
        assert region.use
        assert region.holds(1, one.context)
    assert sum(one.cells for one in found) == len(cells)


def fewest(words):
    """The fewest stretches with a common element, by trying every cut."""
    if not words:
        return 0
    ends = [n + 1 for n in range(len(words)) if set.intersection(*map(set, words[: n + 1]))]
    return min(1 + fewest(words[end:]) for end in ends)


@given(good_sets)
def test_an_engine_that_follows_it_switches_no_oftener_than_the_ties_make_it(words):
    found = regions(*row(*words))

    assert fewest(["".join(one.use) for one in found]) == fewest(words)


@given(good_sets)
def test_borders_tile_what_was_measured(words):
    found = regions(*row(*words))

    assert found[0].context.low == 1024
    assert found[-1].context.high == 1024 << (len(words) - 1)
    for one, other in pairwise(found):
        assert other.context.low == one.context.high + 1


def test_the_border_is_the_geometric_mean():
    first, second = regions(*row("A", "B"))

    assert first.context.high == 1448  # sqrt(1024 * 2048)
    assert second.context.low == 1449


def test_batches_with_the_same_advice_are_one_region():
    cells = [*row("A", "B"), *row("A", "B", batch=8), *row("B", "B", batch=64)]
    found = regions(*cells)

    assert [(one.batch.measured, "".join(one.use)) for one in found] == [
        ((1, 8), "A"),
        ((1, 8), "B"),
        ((64,), "B"),
    ]
    assert (found[0].batch.low, found[0].batch.high, found[2].batch.low) == (1, 22, 23)


def test_a_tie_in_one_batch_follows_its_adjacent_cell():
    found = regions(*row("A", "AB"), *row("AB", "A", batch=8))

    assert [(one.batch.measured, "".join(one.use)) for one in found] == [((1, 8), "A")]


def test_batches_that_were_measured_at_other_lengths_stay_apart():
    found = regions(*row("A", "A", "A"), *row("A", "A", batch=8))

    assert [one.batch.measured for one in found] == [(1,), (8,)]


def test_no_advice_reaches_over_a_length_that_nobody_finished():
    gap = Cell(batch=1, context=2048, good=(), latencies={})
    found = regions(cell("A", 1024), gap, cell("A", 4096))

    assert [(one.context.low, one.context.high) for one in found] == [(1024, 1024), (4096, 4096)]


def test_the_rival_and_what_the_choice_may_lose_are_reported():
    (one,) = regions(*row("A", "AB"))

    assert (one.rival, one.least, one.most) == ("B", 0.0, pytest.approx(1.0))
    assert one.regret == 0.0


# From result files on.


@pytest.fixture
def made(tmp_path):
    return runs.Maker(tmp_path)


def test_a_sweep_gives_advice_that_follows_its_schema(made):
    advice = advise(made.run(runs.sweep()))

    jsonschema.validate(document(advice), SCHEMA)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    (device,) = advice.devices
    assert device.name == "NVIDIA H200"
    phases = {region.shape.problem["phase"] for region in device.regions}
    assert phases == {"decode", "prefill"}
    assert json.loads(text(advice)) == document(advice)


def test_a_document_that_breaks_the_schema_is_refused(made):
    facts = document(advise(made.run(runs.sweep(lengths=2))))
    facts["devices"][0]["regions"][0]["use"] = []

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(facts, SCHEMA)


def test_the_winner_of_every_measured_problem_is_what_is_advised_there(made):
    path = made.run(runs.sweep(lengths=5, batches=(1, 8), noise=0.0001))
    advice = advise(path)

    for kv_heads in (32, 8, 1):
        for batch in (1, 8):
            for length in (1024 << n for n in range(5)):
                problem = runs.decode(batch, length, kv_heads)
                times = {one: runs.predicted_us(problem, one) for one in runs.BACKENDS}
                region = advice.region(
                    batch=batch, context=length, phase="decode", kv_heads=kv_heads, dtype="bf16"
                )
                best = min(times, key=times.get)
                assert times[region.use[0]] <= times[best] * 1.02, (kv_heads, batch, length)


def test_where_nothing_was_measured_there_is_no_advice(made):
    advice = advise(made.run(runs.sweep(lengths=3, batches=(1, 8))))
    known = {"phase": "decode", "q_heads": 32, "kv_heads": 8, "head_dim": 128}

    assert advice.region(batch=4, context=3000, **known)
    assert advice.region(batch=64, context=3000, **known) is None
    assert advice.region(batch=4, context=64_000, **known) is None
    assert advice.region(batch=4, context=3000, **{**known, "head_dim": 64}) is None
    assert advice.region(batch=4, context=3000, device="other", **known) is None


def remeasured(seed, processes=5):
    """The same machine on another day: other noise, the same backends."""
    luck = random.Random(seed)  # noqa: S311  noise, not secrets
    rows = []
    for batch in (1, 8):
        for problem in (runs.decode(batch, 1024 << n) for n in range(6)):
            for backend in runs.BACKENDS:
                middle = runs.predicted_us(problem, backend) * luck.lognormvariate(0, 0.004)
                rows += runs.ok_rows(
                    problem, backend, processes=processes, latency_us=middle, noise=0.01
                )
    return rows


def flips(one, other):
    """Problems on which two recommendations have no backend in common."""
    lost = []
    for batch in (1, 8):
        for context in (1024 << n for n in range(6)):
            both = [a.region(batch=batch, context=context, phase="decode") for a in (one, other)]
            if not set(both[0].use) & set(both[1].use):
                lost.append((batch, context))
    return lost


def test_advice_stands_still_when_it_is_measured_again(made):
    first = advise(made.run(remeasured(0)))

    for seed in range(1, 5):
        assert flips(first, advise(made.run(remeasured(seed)))) == []


def test_advice_stands_still_when_processes_are_drawn_again(made):
    rows = remeasured(0, processes=6)
    first = advise(made.run(rows))

    for seed in range(5):
        kept = random.Random(seed).sample(range(6), 4)  # noqa: S311  noise, not secrets
        again = advise(made.run([one for one in rows if one["process"] in kept]))
        assert flips(first, again) == []


def test_two_backends_that_are_alike_are_a_tie_everywhere(made):
    rows = []
    for length in (1024, 2048, 4096):
        for backend, factor in (("sdpa", 1.0), ("triton_decode", 1.006), ("naive", 2.0)):
            rows += runs.ok_rows(runs.decode(1, length), backend, latency_us=40.0 * factor)
    (region,) = advise(made.run(rows)).devices[0].regions

    assert set(region.use) == {"sdpa", "triton_decode"}
    assert region.is_tie
    assert region.rival == "naive"


@pytest.mark.parametrize(("win", "ties"), [(1.05, True), (1.15, False)])
def test_without_intervals_a_win_must_be_a_large_one(made, win, ties):
    rows = [
        *runs.ok_rows(runs.decode(), "sdpa", processes=1, latency_us=40.0, noise=1e-6),
        *runs.ok_rows(runs.decode(), "naive", processes=1, latency_us=40.0 * win, noise=1e-6),
    ]
    (device,) = advise(made.run(rows)).devices

    assert device.regions[0].is_tie is ties
    assert any("only one process" in one for one in device.warnings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input_dist": "zeros"}, "1 of 1 ok cases were measured on zeros"),
        (
            {"kv_layout": "paged", "page_order": "identity"},
            "1 of 1 ok cases were measured on pages in their order",
        ),
    ],
)
def test_inputs_that_flatter_are_warned_of(made, changes, words):
    rows = runs.ok_rows(runs.decode(**changes), "sdpa")
    (device,) = advise(made.run(rows)).devices

    assert any(words in one for one in device.warnings)


def test_noise_and_a_lack_of_choice_are_warned_of(made):
    rows = runs.ok_rows(runs.decode(), "sdpa", notes=("NOISY",))
    (device,) = advise(made.run(rows)).devices

    assert any("(NOISY)" in one for one in device.warnings)
    assert any("finished by only one backend: nothing" in one for one in device.warnings)


def test_wrong_cases_are_never_advised(made):
    problem = runs.decode()
    rows = [
        *runs.ok_rows(problem, "sdpa", latency_us=50.0),
        *runs.ok_rows(problem, "naive", latency_us=5.0),
        {**runs.other_row(problem, "naive", "incorrect", "wrong"), "process": 3},
    ]
    (region,) = advise(made.run(rows)).devices[0].regions

    assert region.use == ("sdpa",)
    assert region.rival is None


def test_two_runs_that_disagree_name_both_winners(made):
    again = made.identity(run_id="r2", run_name="again")
    paths = [
        made.run(
            [
                *runs.ok_rows(runs.decode(), "sdpa", latency_us=first, who=who),
                *runs.ok_rows(runs.decode(), "naive", latency_us=second, who=who),
            ]
        )
        for who, first, second in ((made.identity(), 40.0, 60.0), (again, 60.0, 40.0))
    ]
    (device,) = advise(paths).devices

    assert set(device.regions[0].use) == {"sdpa", "naive"}
    assert device.regions[0].disputed == 1
    assert any("different winners" in one for one in device.warnings)


def test_ragged_batches_and_extension_have_regions_of_their_own(made):
    ragged = runs.decode(batch=None, kv_len=None, q_len=None, requests="2q1s1k_q512")
    extend = runs.decode(batch=2, kv_len=4096, q_len=16)
    rows = [one for problem in (ragged, extend) for one in runs.ok_rows(problem, "sdpa")]
    advice = advise(made.run(rows))

    jsonschema.validate(document(advice), SCHEMA)
    assert advice.region(batch=None, context=None, phase="mixed").shape.problem["requests"]
    assert advice.region(batch=2, context=4096, phase="extend", q_len=16)


def test_a_run_without_one_ok_case_has_nothing_to_choose_from(made):
    path = made.run([runs.other_row(runs.decode(), "sdpa", "oom", "201 GB are needed")])

    with pytest.raises(NothingSelected, match="no case came out ok"):
        advise(path)
    with pytest.raises(NothingSelected):
        advise(path, filter="backend=naive")
    with pytest.raises(InputError):
        advise(path.with_name("gone.parquet"))


def test_devices_are_advised_on_one_by_one(made):
    rows = list(runs.sweep(("sdpa", "naive"), lengths=2, batches=(1,), heads=(8,)))

    def turned(row):
        return 9.0 if row["backend"] == "sdpa" else 1.0

    other = list(made.again(rows, turned, **made.other_device))
    advice = advise([made.run(rows), made.run(other)])

    assert [one.name for one in advice.devices] == ["NVIDIA H200", "Made-up GPU"]
    where = {"batch": 1, "context": 2048, "phase": "decode"}
    assert advice.region(**where, device="0123456789ab").use == ("naive",)
    jsonschema.validate(document(advice), SCHEMA)
