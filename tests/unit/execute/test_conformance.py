"""How trials reach a worker; tests/unit/measure/test_conformance_check.py has what they check."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from attnbench.conformance import Trial, placeholder_case
from attnbench.errors import BackendImportError, InputError, NothingSelected
from attnbench.execute import conformance
from attnbench.execute.case_runner import Interrupt
from attnbench.execute.conformance import ConformanceFinished, Examiner, TrialDone, picked
from attnbench.problem import Problem

MINE = placeholder_case("mine")
DENSE = Problem(q_len=65, q_heads=4, head_dim=64, dtype="fp32")
PROBLEMS = [DENSE, replace(DENSE, mask="causal"), replace(DENSE, dtype="bf16", q_len=4096)]
TRIALS = [Trial(theme="lengths", case=replace(MINE, problem=one)) for one in PROBLEMS]


def an_examiner(answers, *, is_interpreted=False):
    """An examiner whose worker gives these answers; ``asked`` holds what it was sent."""
    examiner = object.__new__(Examiner)
    examiner.is_interpreted = is_interpreted
    examiner.asked = []

    def conform(request):
        examiner.asked.append((request.case.problem, request.way))
        return answers.pop(0)

    examiner._runner = SimpleNamespace(conform=conform)
    return examiner


def test_an_answer_becomes_what_came_of_the_trial():
    answer = {"status": "incorrect", "reason": "o is off", "faults": [["output", "o is off"]]}
    examiner = an_examiner([{**answer, "notes": ["FALLBACK"], "error_ratio": 9.0}])

    done = examiner.examine(TRIALS[1])

    assert done.trial is TRIALS[1]
    assert done.is_bad
    assert done.faults == (("output", "o is off"),)
    assert done.notes == ("FALLBACK",)
    assert examiner.asked == [(PROBLEMS[1], "guarded")]


@pytest.mark.parametrize("status", ["crashed", "timeout", "failed"])
def test_what_ended_early_is_a_fault_of_that_name(status):
    done = an_examiner([{"status": status, "reason": "why"}]).examine(TRIALS[0])

    assert done.faults == ((status, "why"),)


def test_the_interpreter_gets_what_it_can_take_and_it_is_noted():
    ok = {"status": "ok", "reason": None, "faults": []}
    examiner = an_examiner([ok, ok], is_interpreted=True)

    plain, large = (examiner.examine(one) for one in (TRIALS[0], TRIALS[2]))

    assert plain.notes == ()
    assert large.notes == ("UPCAST", "REDUCED")
    problem, _ = examiner.asked[1]
    assert problem.dtype == "fp32"
    assert problem.kv_len < 65
    assert large.trial is TRIALS[2]


def test_no_trial_begins_after_the_budget(monkeypatch):
    ok = {"status": "ok", "reason": None, "faults": []}
    clock = iter([0.0, 1.0, 2.5, 4.0])
    monkeypatch.setattr(conformance.time, "monotonic", lambda: next(clock))

    done = list(conformance._one_by_one(an_examiner([ok]), TRIALS, Interrupt(), 2.0))

    assert [one.status for one in done] == ["ok", "not_run", "not_run"]
    assert done[1].reason == "the budget of 2.0 s is spent"
    finished = ConformanceFinished(subject=MINE, done=tuple(done), undeclared=(), interrupted=False)
    assert finished.counts == {"ok": 1, "not_run": 2}


def test_a_filter_picks_trials_by_their_fields_and_theme():
    assert picked(TRIALS, None, MINE) == TRIALS
    assert picked(TRIALS, "mask=causal", MINE) == [TRIALS[1]]
    assert picked(TRIALS, "theme=lengths way=guarded q_len>1k", MINE) == [TRIALS[2]]
    with pytest.raises(NothingSelected, match="picks none of the 3 trials of mine"):
        picked(TRIALS, "theme=paged", MINE)
    with pytest.raises(InputError, match="wya"):
        picked(TRIALS, "wya=guarded", MINE)


@pytest.mark.torch
def test_a_triton_backend_of_someone_else_is_interpreted_where_there_is_no_gpu(tmp_path):
    file = tmp_path / "theirs.py"
    file.write_text(
        "from attnbench.backends.triton_flash import capabilities, inspected, plan, prepare\n"
        "__all__ = ['capabilities', 'inspected', 'plan', 'prepare']\n"
    )
    examiner = Examiner(placeholder_case("theirs", source=str(file)), "cpu")
    try:
        assert examiner.is_interpreted
        done = examiner.examine(examiner.trials[0])
    finally:
        examiner.close()

    assert isinstance(done, TrialDone)
    assert done.status == "ok", done.reason


@pytest.mark.torch
def test_one_that_cannot_be_imported_is_reported_before_any_trial(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text("import no_such_library\ncapabilities = prepare = None\n")

    with pytest.raises(BackendImportError, match="no_such_library"):
        Examiner(placeholder_case("broken", source=str(file)), "cpu")
