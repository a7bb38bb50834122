from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.analysis.tuning import Times, choose, geometric, table_with
from attnbench.api import load_suite
from attnbench.api.backends import measure_tiles
from attnbench.case import Case
from attnbench.errors import NameTakenError
from attnbench.execute.tune import Candidate, TuningRequest
from attnbench.kernels.tile_table import Slot, parse_tile, table_of
from attnbench.method import Measure
from attnbench.problem import Problem

SLOT = Slot(kernel="flash_forward", kind="narrow", family="hopper", width=256)
SHIPPED, A, B = (
    parse_tile("flash_forward", one) for one in ("128x64-w8-s3", "64x64-w4-s2", "64x64-w4-s3")
)
BEFORE = (100.0, 101.0, 102.0)


def chosen(*times, shipped=BEFORE):
    own = Times(tile=SHIPPED, processes_us=shipped) if shipped else None
    tried = [one for one in (own, *times) if one is not None]
    return choose(SLOT, 2, tried, SHIPPED)


def times(tile, *processes_us):
    return Times(tile=tile, processes_us=processes_us)


def test_what_is_faster_in_every_process_and_by_enough_is_chosen():
    choice = chosen(times(A, 95, 96, 94), times(B, 90, 91, 92))

    assert (choice.chosen, choice.rule, choice.is_new) == (B, "faster", True)
    assert choice.before_us == pytest.approx(geometric(BEFORE))
    assert choice.after_us == pytest.approx(geometric((90, 91, 92)))


@pytest.mark.parametrize(
    ("processes_us", "rule"),
    [
        ((99.5, 99.6, 99.7), "a tie stays"),  # in every process, and by less than 1 %
        ((90.0, 90.0, 100.5), "a tie stays"),  # by 7 %, and one process is no faster
        ((103.0, 104.0, 105.0), "the fastest"),
    ],
)
def test_in_a_tie_the_shipped_tile_stays(processes_us, rule):
    choice = chosen(times(A, *processes_us), shipped=(100.0, 100.1, 100.2))

    assert (choice.chosen, choice.rule, choice.is_new) == (SHIPPED, rule, False)


def test_a_tile_that_was_not_ok_is_no_choice_however_fast():
    wrong = Times(tile=A, reason="prefill q4k incorrect: off by 3")

    choice = chosen(wrong)

    assert choice.chosen == SHIPPED
    assert choice.failed == {str(A): "prefill q4k incorrect: off by 3"}


def test_where_the_shipped_tile_is_not_ok_the_fastest_other_is_taken():
    wrong = Times(tile=SHIPPED, reason="failed")

    choice = choose(SLOT, 1, [wrong, times(A, 5, 5), times(B, 4, 4)], SHIPPED)

    assert (choice.chosen, choice.rule) == (B, "the shipped tile was not ok")
    assert choice.before_us is None


def test_where_none_was_ok_nothing_changes():
    choice = choose(SLOT, 1, [Times(tile=SHIPPED, reason="oom")], SHIPPED)

    assert (choice.chosen, choice.rule, choice.after_us) == (SHIPPED, "no tile was ok", None)


@given(st.lists(st.floats(50, 150), min_size=3, max_size=5), st.integers(0, 4))
def test_identical_tiles_never_replace_the_shipped_one(processes_us, turn):
    turned = tuple(processes_us[turn:] + processes_us[:turn])

    assert not chosen(times(A, *turned), shipped=tuple(processes_us)).is_new


def test_the_table_holds_what_was_measured_and_where():
    stays = choose(SLOT, 2, [times(SHIPPED, 10.0)], SHIPPED)
    changed = chosen(times(B, 90.1234, 90.1234, 90.1234))
    none = choose(SLOT, 1, [Times(tile=SHIPPED, reason="oom")], SHIPPED)

    for choice, tile in ((stays, SHIPPED), (changed, B)):
        found = table_with(table_of(), [choice], "H200 today", {"driver": "580"})
        row = next(one for one in found.rows if one.slot == SLOT)
        assert (row.tile, row.source) == (tile, "H200 today")
        assert row.after_us == round(choice.after_us, 3)
        assert found.sources["H200 today"] == {"driver": "580"}
    assert table_with(table_of(), [none], "H200 today", {}).rows == table_of().rows


@pytest.mark.slow
@pytest.mark.torch
def test_a_real_run_is_measured_resumed_and_chosen_from(tmp_path):
    """The ordinary path on a CPU: sdpa's kernel stands for a tile, auto is the shipped one."""
    problem = Problem(q_len=32, q_heads=2, head_dim=64, dtype="fp32")
    case = Case(problem=problem, backend="sdpa")
    candidates = tuple(
        Candidate(slot=SLOT, option="kernel", tile=one, is_shipped=one == "auto", cases=(case,))
        for one in ("auto", "math", "efficient")
    )
    measure = Measure(warmup_s=0.02, sample_s=0.05, case_limit_s=60)
    suite = replace(load_suite("quick", filter="backend=sdpa"), measure=measure)
    request = TuningRequest(
        suite=suite, candidates=candidates, out=tmp_path / "t.json", device="cpu", processes=3
    )

    tuned = measure_tiles(request, lambda _: None)

    (choice,) = tuned.choices
    assert choice.failed["efficient"].endswith(
        "unsupported: torch has no efficient kernel for a CPU, only math and flash"
    )
    assert choice.before_us > 0
    assert choice.rule in ("a tie stays", "the fastest", "faster")
    written = (tmp_path / "t.json").read_text(encoding="utf-8")
    assert '"how": "measured by attnbench tune"' in written
    # Resumed, nothing is measured again, and the same is chosen.
    (tmp_path / "t.json").unlink()
    again = measure_tiles(replace(request, resume=True), lambda _: None)
    assert again.run.rows == tuned.run.rows
    assert again.choices == tuned.choices
    with pytest.raises(NameTakenError, match=r"t\.json exists"):
        measure_tiles(request, lambda _: None)
