"""Alternating rounds on a scripted machine, and the ruling that its files give."""

from __future__ import annotations

import os
import signal

import pytest

import attnbench
from attnbench.analysis.ab import rule_ab
from attnbench.analysis.machine import machine_states
from attnbench.errors import NothingSelected, OutputError
from attnbench.execute.events import Remark, RoundFinished, Screened, SelfTested, SideStarted
from attnbench.store import read
from attnbench.store.journal import journal_path

SPIN = {
    "name": "spin",
    "passed": False,
    "measured": "900 us",
    "expected": "1000 us within 1%",
    "advice": None,
    "grave": True,
}


def ruled(done):
    return rule_ab(*done.results, done.rule, done.rule_source, cut=done.cut)


def processes(bed):
    """(round, role) in the order in which they ran."""
    return list(dict.fromkeys((number, role) for number, role, _ in bed.order))


def test_sides_are_adjacent_and_the_order_flips_each_round(bed, noisy):
    one = bed(noisy(0.001))

    one.run(rounds=4)

    assert processes(one) == [
        *[(0, "base"), (0, "new"), (1, "new"), (1, "base")],
        *[(2, "base"), (2, "new"), (3, "new"), (3, "base")],
    ]
    assert one.closed == [role for _, role in processes(one)]  # each process is a fresh one


def test_both_sides_of_a_round_have_one_order_of_cases_and_rounds_differ(bed, noisy):
    one = bed(noisy(0.001))

    one.run(rounds=4)

    orders = [
        [[case for n, r, case in one.order if (n, r) == (number, role)] for role in ("base", "new")]
        for number in range(4)
    ]
    assert all(base == new for base, new in orders)
    assert len({tuple(base) for base, _ in orders}) == 4


def test_unchanged_code_passes_and_nothing_is_confirmed(bed, noisy):
    one = bed(noisy(0.004))

    ruling = ruled(one.run())

    assert ruling.outcome == "pass"
    assert (ruling.ab.rounds, ruling.ab.fresh, ruling.ab.suspects) == (8, 0, ())
    assert {judged.case.verdict for judged in ruling.judged} == {"same"}


def test_a_slowdown_is_confirmed_on_fresh_rounds_of_the_suspect_alone(bed, noisy):
    one = bed(noisy(0.004, {3: 0.10}))

    done = one.run()
    ruling = ruled(done)

    (screened,) = [event for event in one.events if isinstance(event, Screened)]
    slow = next(case for case, number in one.numbers.items() if number == 3)
    assert [pair.new.problem.id for pair in screened.suspects] == [slow]
    assert {case for number, _, case in one.order if number >= 8} == {slow}
    assert ruling.ab.fresh == screened.rounds == 16
    (failed,) = ruling.of("fail")
    assert failed.why == "slower"
    assert failed.case.change == pytest.approx(0.10, abs=0.01)
    assert ruling.outcome == "fail"


def test_a_fluke_of_the_screening_is_acquitted_by_fresh_rounds(bed, noisy):
    quiet = noisy(0.004)

    def latency(role, number, round_):
        fluke = 1.2 if (role, number) == ("new", 2) and round_ < 8 else 1.0
        return quiet(role, number, round_) * fluke

    one = bed(latency)

    ruling = ruled(one.run())

    assert len(ruling.ab.suspects) == 1
    assert ruling.outcome == "pass"
    (again,) = [judged for judged in ruling.judged if judged.case.label in ruling.ab.suspects]
    assert again.case.verdict == "same"
    assert again.case.change == pytest.approx(0, abs=0.01)


def test_noise_leaves_a_case_open_with_what_it_would_take(bed, noisy):
    one = bed(noisy(0.2))

    ruling = ruled(one.run(confirm=6))

    assert ruling.outcome == "inconclusive"
    wide = [judged for judged in ruling.judged if judged.why == "interval too wide"]
    assert wide
    assert all(judged.processes > 8 for judged in wide)
    assert all(judged.case.effect > 0.05 for judged in wide)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *[(word, "fail") for word in ("incorrect", "crashed", "timeout", "oom", "failed")],
        ("implausible", "fail"),
        ("unsupported", "inconclusive"),
    ],
)
def test_a_case_that_fails_on_the_new_side_has_a_ruling_of_its_own(bed, noisy, status, outcome):
    quiet = noisy(0.004)

    def latency(role, number, round_):
        return status if (role, number) == ("new", 1) else quiet(role, number, round_)

    one = bed(latency)

    ruling = ruled(one.run())

    (judged,) = ruling.of(outcome)
    assert judged.case.new_status == status
    assert judged.case.verdict is None
    assert ruling.outcome == outcome
    gone = next(case for case, number in one.numbers.items() if number == 1)
    assert {number for number, _, case in one.order if case == gone} == {0}  # not tried again


def test_a_case_that_dies_late_fails_and_its_rounds_count_for_nothing(bed, noisy):
    quiet = noisy(0.004)

    def latency(role, number, round_):
        dead = (role, number, round_) == ("new", 0, 5)
        return "crashed" if dead else quiet(role, number, round_)

    ruling = ruled(bed(latency).run())

    (judged,) = ruling.of("fail")
    assert judged.why == "crashed: it did"
    assert judged.case.change is None


def test_a_case_that_is_not_ok_in_the_base_is_listed_and_never_ruled(bed, noisy):
    quiet = noisy(0.004)

    def latency(role, number, round_):
        return "incorrect" if (role, number) == ("base", 1) else quiet(role, number, round_)

    ruling = ruled(bed(latency).run())

    (listed,) = ruling.of("listed")
    assert listed.case.base_status == "incorrect"
    assert ruling.outcome == "pass"
    assert ruling.ruled == 7


def test_without_one_ok_base_there_is_nothing_to_rule_on(bed):
    one = bed(lambda role, _number, _round: "incorrect" if role == "base" else 100.0)

    done = one.run()

    with pytest.raises(NothingSelected, match="nothing to rule on"):
        ruled(done)
    assert set(attnbench.load(done.results[0])["status"]) == {"incorrect"}


def test_what_one_side_cannot_do_by_plan_is_measured_once_on_the_other(bed, noisy):
    one = bed(noisy(0.004), statuses={("new", 4): "unsupported"})

    ruling = ruled(one.run(rounds=5))

    (judged,) = ruling.of("inconclusive")
    assert (judged.case.base_status, judged.case.new_status) == ("ok", "unsupported")
    lone = next(case for case, number in one.numbers.items() if number == 4)
    assert [(n, role) for n, role, case in one.order if case == lone] == [(0, "base")]


def test_both_files_tell_their_side_and_are_of_one_run(bed, noisy):
    done = bed(noisy(0.004)).run(rounds=2)

    frame = attnbench.load(list(done.results))

    assert set(frame["side"]) == {"base", "new"}
    assert frame["run_id"].nunique() == 1
    assert len(frame) == 2 * 2 * 8
    assert [path.name for path in done.results] == ["x.base.parquet", "x.new.parquet"]


def test_ctrl_c_keeps_both_sides_and_judges_nothing_that_it_has_not_seen(bed, noisy):
    before = signal.getsignal(signal.SIGINT)
    one = bed(noisy(0.004, {3: 0.10}))

    def interrupt():
        if len(one.order) == 8 * 16 + 2:  # in the second fresh round
            os.kill(os.getpid(), signal.SIGINT)

    one.before_case = interrupt

    done = one.run()
    ruling = ruled(done)

    assert done.interrupted
    assert ruling.ab.interrupted
    (judged,) = ruling.of("inconclusive")
    assert judged.why == "may be slower, and had 1 of 5 rounds that would tell (interrupted)"
    assert judged.case.verdict != "slower"
    assert len(attnbench.load(done.results[1])) > 60
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_in_the_first_round_leaves_rows_for_all_cases(bed, noisy):
    one = bed(noisy(0.004))
    one.before_case = lambda: len(one.order) == 2 and os.kill(os.getpid(), signal.SIGINT)

    done = one.run()

    for path in done.results:
        frame = attnbench.load(path)
        assert len(frame) == 8
        assert set(frame["status"]) <= {"ok", "not_run"}
        assert set(frame[frame["status"] == "not_run"]["reason"]) == {"interrupted"}


def test_ctrl_c_between_two_cases_is_answered_once_and_begins_no_other_process(bed, noisy):
    one = bed(noisy(0.004))
    canaries_us = one.canaries_us
    asked = []

    def interrupt(role):
        asked.append(role)
        if len(asked) == 4:  # when the second process, that of the new side, has ended
            os.kill(os.getpid(), signal.SIGINT)
        return canaries_us(role)

    one.canaries_us = interrupt

    done = one.run()

    assert done.interrupted
    assert asked == ["base", "base", "new", "new"]
    assert processes(one) == [(0, "base"), (0, "new")]
    remarks = [event.text for event in one.events if isinstance(event, Remark)]
    assert remarks == ["finishing the running case, then stopping"]


def test_a_spent_budget_ends_the_screening_and_says_so(bed, noisy, monkeypatch):
    from attnbench.execute.ab import rounds as module

    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    one = bed(noisy(0.004))

    def pass_time():
        now[0] += 1.0

    one.before_case = pass_time  # sixteen seconds a round

    done = one.run(budget_s=100.0)
    ruling = ruled(done)

    finished = [event for event in one.events if isinstance(event, RoundFinished)]
    assert len(finished) == 4  # a fifth would end at 80 s, past three quarters
    assert [event.seconds_left for event in finished] == [84.0, 68.0, 52.0, 36.0]
    assert done.cut == "the budget of 100 s was spent"
    assert ruling.outcome == "inconclusive"
    assert {judged.why for judged in ruling.judged} == {"4 of 5 rounds"}


def test_suspects_get_what_is_left_of_a_budget(bed, noisy, monkeypatch):
    from attnbench.execute.ab import rounds as module

    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    one = bed(noisy(0.004, {3: 0.10}))

    def pass_time():
        now[0] += 1.0

    one.before_case = pass_time

    done = one.run(budget_s=180.0)
    ruling = ruled(done)

    assert ruling.ab.rounds == 8
    assert ruling.ab.fresh >= 15
    assert done.cut is None
    assert ruling.outcome == "fail"


def test_more_fresh_rounds_than_the_screening_had_are_never_fewer(bed, noisy):
    one = bed(noisy(0.004, dict.fromkeys(range(6), 0.10)))

    ruling = ruled(one.run(rounds=10))

    assert ruling.ab.fresh == 10
    assert len(ruling.of("fail")) == 6


def test_a_full_disk_keeps_what_both_sides_have(bed, noisy):
    one = bed(noisy(0.004))
    appended = []
    real = attnbench.store.writer.RunWriter.append

    def append(self, row):
        appended.append(row)
        if self.path.name.endswith(".new.parquet") and len(appended) > 50:
            raise OutputError("no space is left on the disk")
        real(self, row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("attnbench.store.writer.RunWriter.append", append)
        with pytest.raises(OutputError, match="no space"):
            one.run()

    for role in ("base", "new"):
        path = one.folder / f"x.{role}.parquet"
        assert not journal_path(path).exists()
        assert len(attnbench.load(path)) >= 20


def test_sides_and_rounds_are_reported_as_they_begin(bed, noisy):
    one = bed(noisy(0.004))

    one.run(rounds=2)

    reported = [(e.stage, e.round, e.role) for e in one.events if isinstance(e, SideStarted)]
    assert reported == [
        *[("screen", 1, "base"), ("screen", 1, "new")],
        *[("screen", 2, "new"), ("screen", 2, "base")],
    ]


def test_each_side_is_tested_once_and_has_canaries_at_both_ends_of_each_process(bed, noisy):
    one = bed(noisy(0.001), cases=2)
    one.selftest = [SPIN]
    one.canaries_us = lambda role: {"gemm": 100.0 if role == "base" else 104.0}

    ruling = ruled(one.run(rounds=3))

    reported = [event for event in one.events if isinstance(event, SelfTested)]
    assert len(reported) == 2
    for path in (one.folder / "x.base.parquet", one.folder / "x.new.parquet"):
        metadata = read(path).metadata
        (state,) = machine_states(metadata)
        assert state.distrust
        # A clock that cannot be believed is said before anything is read from it.
        assert metadata["records"][0]["record"] == "selftest"
        assert [(each.process, each.changes) for each in state.processes] == [
            (0, {"gemm": 0.0}),
            (1, {"gemm": 0.0}),
            (2, {"gemm": 0.0}),
        ]
    (gemm,) = ruling.ab.canaries
    assert (gemm.change, gemm.rounds) == (pytest.approx(0.04), 3)
    assert sum("do not believe its figures" in text for text in ruling.remarks) == 2
    assert "the machine itself differed beside the new side (gemm +4.0%" in ruling.remarks[-1]
