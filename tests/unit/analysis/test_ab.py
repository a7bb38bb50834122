"""The ruling of ``ab``, made again from its two files alone."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from attnbench.analysis.ab import rule_ab
from attnbench.errors import NothingSelected, ResultFileError
from attnbench.filter import parse
from attnbench.render.documents import AB_SCHEMA_VERSION, ruling_document
from attnbench.render.ruling_markup import junit_text, markdown, marker
from attnbench.suite import Gate, Limit

SPEC = importlib.util.spec_from_file_location("made_ab", Path(__file__).with_name("made_ab.py"))
made_ab = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made_ab)
make_sides = made_ab.make_sides

RULE = Gate(max_slowdown=0.05, given=True)


def rule(folder, gate=RULE, cut=None, **settings):
    return rule_ab(*make_sides(folder, **settings), gate, "a test", cut=cut)


def by_case(ruling):
    return {int(one.case.facts["problem_id"], 16): one for one in ruling.judged}


def test_every_case_is_proven_within_its_limit(tmp_path):
    ruling = rule(tmp_path)

    assert ruling.outcome == "pass"
    assert {one.case.verdict for one in ruling.judged} == {"same"}
    assert all(0.05 < one.case.effect < 0.08 for one in ruling.judged)
    assert ruling.ab.shift == pytest.approx(0, abs=0.005)


def test_a_suspect_is_judged_by_its_fresh_rounds_and_called_slower(tmp_path):
    ruling = rule(tmp_path, slower={4: 0.12}, suspects=(4,), fresh=12)

    found = by_case(ruling)
    assert ruling.outcome == "fail"
    assert (found[4].ruling, found[4].why) == ("fail", "slower")
    assert found[4].case.change == pytest.approx(0.12, abs=0.01)
    assert (ruling.ab.rounds, ruling.ab.fresh, len(ruling.ab.suspects)) == (8, 12, 1)
    low, high = ruling.compared.resampled([*found].index(4))
    assert low < 1.12 < high  # the second opinion is on the fresh rounds alone


def test_a_suspect_without_fresh_rounds_is_never_slower_and_never_passes(tmp_path):
    ruling = rule(tmp_path, slower={4: 0.12}, cut="interrupted")

    found = by_case(ruling)[4]
    assert ruling.outcome == "inconclusive"
    assert found.ruling == "inconclusive"
    assert found.why == "may be slower, and had 0 of 5 rounds that would tell (interrupted)"
    assert found.case.verdict == "unclear"


@pytest.mark.parametrize("rounds", [2, 4])
def test_too_few_rounds_settle_nothing(tmp_path, rounds):
    ruling = rule(tmp_path, rounds=rounds, slower={4: 3.0}, suspects=(4,), fresh=rounds)

    assert ruling.outcome == "inconclusive"
    assert not {"slower", "faster"} & set(ruling.compared.verdicts)


def test_an_improvement_is_reported_and_fails_nothing(tmp_path):
    ruling = rule(tmp_path, slower={2: -0.2})

    assert ruling.outcome == "pass"
    assert by_case(ruling)[2].case.verdict == "faster"


def test_other_backends_of_one_problem_are_pairs_by_the_footer(tmp_path):
    ruling = rule(tmp_path, backends=("sdpa", "naive"), slower={3: 0.2}, suspects=(3,), fresh=9)

    (judged,) = ruling.of("fail")
    assert judged.case.backend == "naive"
    assert judged.case.case_id == made_ab.made.make_row(3, 0, [1.0], backend="naive")["case_id"]


def test_each_case_has_the_limit_that_the_rule_gives_it(tmp_path):
    where = Limit(where=parse("kv_len>=16k"), max_slowdown=0.5)
    wide = Gate(max_slowdown=0.05, limits=(where,), given=True)

    ruling = rule(tmp_path, wide, slower={4: 0.12})

    assert by_case(ruling)[4].case.limit == 0.5
    assert by_case(ruling)[3].case.limit == 0.05
    assert ruling.outcome == "pass"


def test_a_case_lost_on_the_new_side_fails_and_one_lost_in_the_base_is_listed(tmp_path):
    statuses = {("new", 1): "oom", ("base", 2): "incorrect", ("new", 3): "skipped"}

    found = by_case(rule(tmp_path, statuses=statuses))

    assert (found[1].ruling, found[1].why) == ("fail", "oom: because of oom")
    assert found[2].ruling == "listed"
    assert found[3].ruling == "inconclusive"


def test_without_one_ok_base_there_is_nothing_to_rule_on(tmp_path):
    with pytest.raises(NothingSelected, match="nothing to rule on"):
        rule(tmp_path, cases=1, statuses={("base", 0): "crashed"})


def test_files_of_no_ab_or_of_two_are_refused(tmp_path):
    base, new = make_sides(tmp_path / "one")
    _, other = make_sides(tmp_path / "two", run_id="another")
    plain = made_ab.made.write_run(tmp_path / "plain.parquet", made_ab.made.make_rows())

    with pytest.raises(ResultFileError, match="is not the base side"):
        rule_ab(new, base, RULE, "")
    with pytest.raises(ResultFileError, match="is not the base side"):
        rule_ab(plain, new, RULE, "")
    with pytest.raises(ResultFileError, match="of two different ab"):
        rule_ab(base, other, RULE, "")


def test_the_json_has_a_version_and_every_round(tmp_path):
    facts = ruling_document(rule(tmp_path, slower={4: 0.12}, suspects=(4,), fresh=6))

    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert (facts["schema_version"], facts["kind"]) == (AB_SCHEMA_VERSION, "attnbench ab")
    assert facts["rounds"] == {"planned": 8, "all_cases": 8, "suspects": 1, "fresh": 6}
    (suspect,) = [case for case in facts["cases"] if case["suspect"]]
    assert len(suspect["first_rounds"]) == 8
    assert len(suspect["fresh_rounds"]) == 6
    assert all(one == pytest.approx(0.12, abs=0.03) for one in suspect["fresh_rounds"])
    assert {len(case["fresh_rounds"]) for case in facts["cases"]} == {0, 6}


def test_the_outputs_for_machines_speak_of_rounds(tmp_path):
    ruling = rule(tmp_path, noise=0.2, seed=3)

    text = markdown(ruling)
    assert text.startswith("<!-- attnbench:ab:made:")
    assert marker(ruling) in text
    assert "measured interleaved" in text
    assert "more rounds" in text
    assert "more processes" not in text
    junit = junit_text(ruling)
    assert "attnbench ab" in junit
    assert junit.count("<testcase") == 12
