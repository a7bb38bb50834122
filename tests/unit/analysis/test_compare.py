"""Two runs case by case: what changed, what is unclear, and what is missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from attnbench.analysis.compare import compare
from attnbench.errors import InputError, NotComparable, NothingSelected, ResultFileError

SPEC = importlib.util.spec_from_file_location("made_runs", Path(__file__).with_name("made_runs.py"))
made = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made)


@pytest.fixture
def base(tmp_path):
    return made.write_run(tmp_path / "main.parquet", made.make_rows(run_id="b"))


def new(tmp_path, rows, name="pr"):
    return made.write_run(tmp_path / f"{name}.parquet", rows)


def by_case(compared):
    return {one.label: one for one in compared.comparisons}


def test_a_run_compared_with_a_like_one_has_no_slower_and_no_faster_case(base, tmp_path):
    (found,) = compare(base, new(tmp_path, made.make_rows(seed=2, run_id="n")))

    assert set(found.verdicts) <= {"same", "unclear"}
    assert found.mean.n == 12
    assert found.mean.ratio == pytest.approx(1, abs=0.01)


def test_what_became_slower_and_faster_is_reported_with_its_interval(base, tmp_path):
    rows = made.make_rows(seed=2, run_id="n", slowdowns={3: 0.15, 7: -0.12})

    (found,) = compare(base, new(tmp_path, rows))

    slower = [one for one in found.comparisons if one.verdict == "slower"]
    faster = [one for one in found.comparisons if one.verdict == "faster"]
    assert [one.facts["problem_id"] for one in slower] == [f"{3:012x}"]
    assert [one.facts["problem_id"] for one in faster] == [f"{7:012x}"]
    assert slower[0].low < 0.15 < slower[0].high
    assert slower[0].ratio == pytest.approx(1.15, rel=0.02)


def test_swapping_the_sides_swaps_the_verdicts(base, tmp_path):
    other = new(tmp_path, made.make_rows(seed=2, run_id="n", slowdowns={3: 0.15}))

    (there,), (back,) = compare(base, other), compare(other, base)

    assert there.verdicts["slower"] == back.verdicts["faster"] == 1
    for one, two in zip(there.comparisons, back.comparisons, strict=True):
        assert (1 + one.change) * (1 + two.change) == pytest.approx(1)


def test_a_run_against_itself_is_the_same_everywhere(base, tmp_path):
    rows = made.make_rows(run_id="copy")

    (found,) = compare(base, new(tmp_path, rows))

    assert found.verdicts == {"same": 12}


def test_two_processes_have_latencies_and_no_interval(base, tmp_path):
    (found,) = compare(base, new(tmp_path, made.make_rows(seed=2, processes=2, run_id="n")))

    one = found.comparisons[0]
    assert one.verdict == "unclear"
    assert one.low is None
    assert one.new.half_width is None
    assert one.new.processes == 2


def test_every_way_of_not_being_comparable_is_a_section_of_its_own(base, tmp_path):
    kept = [row for row in made.make_rows(seed=2, run_id="n") if int(row["problem_id"], 16) > 3]
    rows = [
        *kept,
        made.make_row(0, 0, status="oom", run_id="n"),
        made.make_row(1, 0, status="incorrect", run_id="n"),
        made.make_row(2, None, status="skipped", run_id="n"),
        *[made.make_row(40, process, [9.0] * 9, run_id="n") for process in range(3)],
    ]

    (found,) = compare(base, new(tmp_path, rows))

    sections = {word: len(cases) for word, cases in found.changed_status().items()}
    assert sections == {
        "newly oom": 1,
        "newly incorrect": 1,
        "newly skipped": 1,
        "only in base": 1,
        "only in new": 1,
    }
    assert found.mean.n == 8
    assert found.mean.missing == 5
    (back,) = compare(tmp_path / "pr.parquet", base)
    assert len(back.changed_status()["fixed"]) == 3


def test_a_case_with_one_bad_row_is_bad_and_enters_no_mean(base, tmp_path):
    rows = made.make_rows(seed=2, run_id="n")
    rows.append(made.make_row(5, 5, status="crashed", run_id="n"))

    (found,) = compare(base, new(tmp_path, rows))

    assert found.changed_status()["newly crashed"][0].new is None
    assert found.mean.n == 11


def test_other_kernels_are_named(base, tmp_path):
    rows = made.make_rows(seed=2, run_id="n")
    for row in rows[:5]:
        row["kernels"] = ["flash_fwd_v2"]

    (found,) = compare(base, new(tmp_path, rows))

    assert [one.facts["problem_id"] for one in found.kernels_changed] == [f"{0:012x}"]


def test_other_methods_are_refused_with_their_keys(base, tmp_path):
    rows = made.make_rows(run_id="n", method_id="0" * 12, timer="wall", l2="warm")

    with pytest.raises(NotComparable, match=r"timer event -> wall; l2 cold -> warm"):
        compare(base, new(tmp_path, rows))


def test_no_common_case_is_its_own_error(base, tmp_path):
    rows = made.make_rows(run_id="n", backend="other")

    with pytest.raises(NothingSelected, match="no case in common"):
        compare(base, new(tmp_path, rows))


def test_other_devices_give_ratios_and_no_verdicts(base, tmp_path):
    rows = made.make_rows(
        run_id="n",
        slowdowns=dict.fromkeys(range(12), 0.4),
        device_id="h100",
        device_name="NVIDIA H100",
        peak_bandwidth_gbps=3000.0,
    )

    (found,) = compare(base, new(tmp_path, rows))

    assert found.ratios_only
    assert not found.verdicts
    assert found.mean.ratio == pytest.approx(1.4, rel=0.01)
    assert found.ceilings[0].ratio == pytest.approx(3000 / 4290)


def test_backends_of_one_run_are_compared_by_problem_process_by_process(tmp_path):
    rows = made.make_rows(cases=6, run_id="n", seed=1)
    rows += made.make_rows(
        cases=6, run_id="n", seed=2, backend="naive", slowdowns=dict.fromkeys(range(6), 0.5)
    )
    path = new(tmp_path, rows)

    (found,) = compare(path, by="backend")

    assert found.paired
    assert (found.base.name, found.new.name) == ("sdpa", "naive")
    assert found.verdicts == {"slower": 6}
    (back,) = compare(path, by="backend", against="naive")
    assert back.verdicts == {"faster": 6}


def test_any_column_can_set_sides_apart(tmp_path):
    rows = made.make_rows(cases=6, run_id="n", kv_heads=8)
    for row in made.make_rows(cases=6, run_id="n", seed=3, slowdowns=dict.fromkeys(range(6), 1.0)):
        rows.append({**row, "kv_heads": 32, "case_id": f"a{row['case_id'][1:]}"})

    (found,) = compare(new(tmp_path, rows), by="kv_heads")

    assert found.verdicts == {"slower": 6}


def test_a_value_that_is_not_there_is_answered_with_the_nearest(base):
    with pytest.raises(InputError, match="no column 'devise_name'"):
        compare(base, by="devise_name")
    with pytest.raises(NothingSelected, match="only one backend: sdpa"):
        compare(base, by="backend")
    with pytest.raises(NothingSelected, match="nothing to be compared with"):
        compare(base)


def test_a_filter_selects_cases_on_both_sides(base, tmp_path):
    other = new(tmp_path, made.make_rows(seed=2, run_id="n"))

    (found,) = compare(base, other, filter="kv_len>=16k")

    assert {one.facts["kv_len"] for one in found.comparisons} == {16384, 32768}
    with pytest.raises(NothingSelected, match="no case of main matches"):
        compare(base, other, filter="kv_len=3")


@pytest.mark.parametrize("wrong", [[1.0, 0.0], [1.0, -2.0]])
def test_samples_that_cannot_be_true_are_refused(base, tmp_path, wrong):
    rows = made.make_rows(seed=2, run_id="n")
    rows[7]["samples_us"] = wrong

    with pytest.raises(
        ResultFileError, match=r"1 ok row has no sample, or.*above zero\n.*process 2"
    ):
        compare(base, new(tmp_path, rows))


def test_an_ok_row_without_samples_is_refused(base, tmp_path):
    rows = made.make_rows(seed=2, run_id="n")
    del rows[7]["samples_us"]

    with pytest.raises(ResultFileError, match="no sample"):
        compare(base, new(tmp_path, rows))


def test_one_run_twice_does_not_count_for_two(base, tmp_path):
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(base.read_bytes())

    with pytest.raises(ResultFileError, match="the same run b"):
        compare(base, copy, by="commit")
