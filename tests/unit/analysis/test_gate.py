"""A run against stored baselines: what fails, what stays open, what passes, what is refused."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from attnbench.analysis.accept import accept
from attnbench.analysis.gate import gate, rule_for, rule_on
from attnbench.analysis.selftest import prove
from attnbench.analysis.sides import load_side
from attnbench.errors import InputError, NotComparable, NothingSelected
from attnbench.render.ruling_markup import COMMENT_BYTES, junit_text, markdown

SPEC = importlib.util.spec_from_file_location("made_runs", Path(__file__).with_name("made_runs.py"))
made = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made)

SUITE = (
    "suite: made\nproblem: {q_len: 1, q_heads: 1, head_dim: 8, dtype: bf16}\nbackends: {sdpa: }\n"
)


@pytest.fixture
def baselines(tmp_path):
    """Six accepted runs of twelve cases, a day apart."""
    paths = []
    for day in range(6):
        rows = made.make_rows(
            seed=10 + day, run_id=f"b{day}", started_at=made.MOMENT - (6 - day) * made.DAY
        )
        paths.append(made.write_run(tmp_path / "baselines" / f"b{day}.parquet", rows))
    return paths


def run_of(tmp_path, rows, suite=SUITE + "gate: {max_slowdown: 5%}\n"):
    return made.write_run(tmp_path / "pr.parquet", rows, suite_text=suite)


def rows_of(**changes):
    return made.make_rows(seed=99, run_id="n", **changes)


def test_unchanged_code_passes(tmp_path, baselines):
    ruling = gate(run_of(tmp_path, rows_of()), baselines)

    assert ruling.outcome == "pass"
    assert ruling.ruled == 12
    assert ruling.baselines == 6
    assert ruling.age_days == pytest.approx(1)
    assert ruling.rule_source == "the suite of the run"


def test_a_slower_case_fails(tmp_path, baselines):
    ruling = gate(run_of(tmp_path, rows_of(slowdowns={4: 0.12})), baselines)

    assert ruling.outcome == "fail"
    (one,) = ruling.of("fail")
    assert one.case.facts["problem_id"] == f"{4:012x}"
    assert one.case.change == pytest.approx(0.12, abs=0.02)


def test_a_faster_case_is_listed_and_never_ruled_against(tmp_path, baselines):
    ruling = gate(run_of(tmp_path, rows_of(slowdowns={4: -0.3})), baselines)

    assert ruling.outcome == "pass"
    assert ruling.compared.verdicts["faster"] == 1


@pytest.mark.parametrize(
    "status", ["oom", "incorrect", "implausible", "timeout", "crashed", "failed"]
)
def test_a_case_that_was_ok_and_is_lost_fails(tmp_path, baselines, status):
    rows = [row for row in rows_of() if row["problem_id"] != f"{3:012x}"]
    rows.append(made.make_row(3, 0, status=status, run_id="n"))

    ruling = gate(run_of(tmp_path, rows), baselines)

    assert ruling.outcome == "fail"
    assert ruling.of("fail")[0].why == f"{status} now: because of {status}"


@pytest.mark.parametrize("status", ["skipped", "not_run", "unsupported"])
def test_a_case_that_was_ok_and_is_not_measured_leaves_the_gate_open(tmp_path, baselines, status):
    rows = [row for row in rows_of() if row["problem_id"] != f"{3:012x}"]
    rows.append(made.make_row(3, None, status=status, run_id="n"))

    ruling = gate(run_of(tmp_path, rows), baselines)

    assert ruling.outcome == "inconclusive"
    assert [one.why for one in ruling.of("inconclusive")] == [status]


def test_a_missing_case_and_one_of_another_method_leave_the_gate_open(tmp_path, baselines):
    rows = [row for row in rows_of() if row["problem_id"] != f"{3:012x}"]
    for row in rows:
        if row["problem_id"] == f"{5:012x}":
            row["method_id"] = "0" * 12

    ruling = gate(run_of(tmp_path, rows), baselines)

    assert sorted(one.why for one in ruling.of("inconclusive")) == [
        "missing",
        "timed by another method",
    ]


def test_too_few_processes_leave_the_gate_open_and_say_how_many_would_do(tmp_path, baselines):
    ruling = gate(run_of(tmp_path, rows_of(processes=3)), baselines)

    assert ruling.outcome == "inconclusive"
    assert {one.why for one in ruling.of("inconclusive")} == {"3 of 5 processes"}
    assert {one.processes for one in ruling.of("inconclusive")} == {5.0}


def test_an_interval_past_the_limit_leaves_the_gate_open(tmp_path, baselines):
    ruling = gate(run_of(tmp_path, rows_of()), baselines, max_slowdown=0.001)

    assert ruling.outcome == "inconclusive"
    assert {one.why for one in ruling.of("inconclusive")} == {"interval too wide"}
    assert ruling.rule_source == "--max-slowdown"


def test_limits_of_single_cases_hold_and_the_last_wins(tmp_path, baselines):
    suite = SUITE + (
        "gate:\n  max_slowdown: 5%\n  limits:\n"
        "    - {where: 'kv_len>=1k', max_slowdown: 40%}\n"
        "    - {where: 'kv_len=1k', max_slowdown: 6%}\n"
    )
    rows = rows_of(slowdowns={1: 0.2, 6: 0.2})

    ruling = gate(run_of(tmp_path, rows, suite), baselines)

    assert {one.case.limit for one in ruling.judged} == {0.4, 0.06}
    assert [one.case.facts["problem_id"] for one in ruling.of("fail")] == [f"{6:012x}"]


def test_new_and_fixed_cases_are_listed_and_never_ruled(tmp_path, baselines):
    broken = made.make_rows(seed=30, run_id="b9", started_at=made.MOMENT - 1)
    broken = [row for row in broken if row["problem_id"] != f"{2:012x}"]
    broken.append(made.make_row(2, 0, status="failed", run_id="b9", started_at=made.MOMENT - 1))
    newest = made.write_run(tmp_path / "newest.parquet", broken)
    rows = [
        *rows_of(),
        *[made.make_row(50, process, [8.0] * 9, run_id="n") for process in range(5)],
    ]

    ruling = gate(run_of(tmp_path, rows), [*baselines, newest])

    assert ruling.outcome == "pass"
    assert {one.case.facts["problem_id"] for one in ruling.of("listed")} == {
        f"{2:012x}",
        f"{50:012x}",
    }


def test_a_baseline_that_never_reached_a_case_leaves_it_to_the_older_ones(tmp_path, baselines):
    short = made.make_rows(cases=11, seed=30, run_id="b9", started_at=made.MOMENT - 1)
    short.append(made.make_row(11, None, status="not_run", run_id="b9", started_at=made.MOMENT - 1))
    newest = made.write_run(tmp_path / "newest.parquet", short)

    ruling = gate(run_of(tmp_path, rows_of(slowdowns={11: 0.3})), [*baselines, newest])

    assert [one.case.facts["problem_id"] for one in ruling.of("fail")] == [f"{11:012x}"]


def test_no_limit_anywhere_is_an_input_error(tmp_path, baselines):
    with pytest.raises(InputError, match="there is no limit"):
        gate(run_of(tmp_path, rows_of(), SUITE), baselines)


def test_another_device_and_another_chip_are_refused(tmp_path, baselines):
    other = run_of(tmp_path, rows_of(device_id="x", device_name="NVIDIA H100"))
    with pytest.raises(NotComparable, match="device name NVIDIA H200 -> NVIDIA H100"):
        gate(other, baselines)
    chip = made.write_run(tmp_path / "chip.parquet", rows_of(device_uuid="GPU-2"), suite_text=SUITE)
    with pytest.raises(NotComparable, match="GPU-1 -> GPU-2"):
        gate(chip, baselines, max_slowdown=0.05)

    assert gate(chip, baselines, max_slowdown=0.05, any_chip=True).outcome == "pass"


def test_a_baseline_without_an_ok_case_has_nothing_to_rule_on(tmp_path):
    rows = [made.make_row(number, 0, status="failed", run_id="b") for number in range(12)]
    base = made.write_run(tmp_path / "b.parquet", rows)

    with pytest.raises(NothingSelected, match="nothing to rule on"):
        gate(run_of(tmp_path, rows_of()), [base])


def test_a_uniform_shift_against_one_baseline_is_not_called_slower(tmp_path, baselines):
    ruling = gate(run_of(tmp_path, rows_of(shift=0.03)), baselines[:1], max_slowdown=0.02)

    assert ruling.outcome == "inconclusive"
    assert ruling.compared.against.shift == pytest.approx(0.03, abs=0.005)


def test_what_was_accepted_starts_its_baseline_anew(tmp_path, baselines):
    accepted = made.write_run(
        tmp_path / "accepted.parquet",
        made.make_rows(seed=50, run_id="a", slowdowns={4: 0.12}, started_at=made.MOMENT - 100),
    )
    run = run_of(tmp_path, rows_of(slowdowns={4: 0.12}))
    assert gate(run, [*baselines, accepted]).outcome != "pass"

    labels = accept(accepted, f"problem_id={4:012x}", "the mask is exact now")
    ruling = gate(run, [*baselines, accepted])

    assert len(labels) == 1
    assert not ruling.of("fail")
    assert ruling.accepted[0]["reason"] == "the mask is exact now"
    by_problem = {one.case.facts["problem_id"]: one for one in ruling.judged}
    assert abs(by_problem[f"{4:012x}"].case.change) < 0.02
    assert by_problem[f"{5:012x}"].ruling == "pass"


def test_accepting_keeps_every_row_and_needs_a_reason_and_a_case(baselines):
    before = load_side(baselines[0])

    with pytest.raises(InputError, match="for a reason"):
        accept(baselines[0], "sdpa", "  ")
    with pytest.raises(NothingSelected):
        accept(baselines[0], "kv_len=3", "why")
    accept(baselines[0], "sdpa", "why")

    after = load_side(baselines[0])
    assert after.table.equals(before.table)
    assert (after.log == before.log).all()


def test_the_selftest_plants_what_the_gate_says_it_can_see_and_finds_it(tmp_path, baselines):
    new = load_side(run_of(tmp_path, rows_of()))
    rule, source = rule_for(new)

    proof = prove([load_side(path) for path in baselines], new, rule, source)

    assert proof.clean.outcome == "pass"
    assert proof.red.outcome == "fail"
    assert proof.planted
    assert proof.holds


def test_the_selftest_of_a_gate_that_sees_nothing_does_not_hold(tmp_path, baselines):
    new = load_side(run_of(tmp_path, rows_of(processes=2)))
    rule, source = rule_for(new)

    proof = prove([load_side(path) for path in baselines], new, rule, source)

    assert not proof.planted
    assert not proof.holds


def test_junit_has_a_test_for_each_ruled_case(tmp_path, baselines):
    from junitparser import JUnitXml

    rows = [row for row in rows_of(slowdowns={4: 0.2}) if row["problem_id"] != f"{3:012x}"]
    ruling = gate(run_of(tmp_path, rows), baselines)

    document = JUnitXml.fromstring(junit_text(ruling).encode())
    strict = JUnitXml.fromstring(
        junit_text(gate(tmp_path / "pr.parquet", baselines, inconclusive="fail")).encode()
    )

    assert (document.tests, document.failures, document.skipped) == (12, 1, 1)
    assert (strict.tests, strict.failures, strict.skipped) == (12, 2, 0)


def test_a_comment_has_its_marker_and_fits(tmp_path, baselines):
    rows = rows_of(cases=12, slowdowns={4: 0.2})
    rows[0]["case_label"] = "a | b · sdpa"
    ruling = gate(run_of(tmp_path, rows), baselines)

    text = markdown(ruling)

    assert text.startswith("<!-- attnbench:made:h200h200h200 -->\n### attnbench: ❌ fail")
    assert "| `decode" in text
    assert len(text.encode()) < COMMENT_BYTES


def test_a_comment_about_very_many_cases_says_what_it_left_out(tmp_path):
    base = made.write_run(tmp_path / "b.parquet", made.make_rows(cases=700, run_id="b"))
    rows = [made.make_row(n, 0, status="failed", run_id="n") for n in range(350)]
    rows += [made.make_row(n, 0, status="skipped", run_id="n") for n in range(350, 699)]
    rows += [row for row in rows_of(cases=700) if row["problem_id"] == f"{699:012x}"]

    text = markdown(gate(run_of(tmp_path, rows), [base]))

    assert len(text.encode()) <= COMMENT_BYTES
    assert "rows did not fit" in text
    assert text.rstrip().endswith(".")


def test_the_rule_reads_the_suites_words(tmp_path, baselines):
    suite = SUITE + "gate: {max_slowdown: 0.03, min_processes: 7, inconclusive: fail}\n"
    new = load_side(run_of(tmp_path, rows_of(), suite))

    rule, _ = rule_for(new)

    assert (rule.max_slowdown, rule.min_processes, rule.inconclusive) == (0.03, 7, "fail")
    assert rule_on([load_side(path) for path in baselines], new, rule, "").outcome == "inconclusive"


def test_a_ruling_is_json(tmp_path, baselines):
    from attnbench.render.documents import ruling_document

    ruling = gate(run_of(tmp_path, rows_of(slowdowns={4: 0.2})), baselines)

    facts = json.loads(json.dumps(ruling_document(ruling), allow_nan=False))

    assert facts["outcome"] == "fail"
    assert facts["mode"] == "history"
    assert [one["ruling"] for one in facts["cases"]].count("fail") == 1
