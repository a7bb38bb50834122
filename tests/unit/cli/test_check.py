from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from attnbench import api
from attnbench.case import Case
from attnbench.conformance import Trial, placeholder_case
from attnbench.environment import Device, Environment
from attnbench.execute.checker import CheckFinished
from attnbench.execute.conformance import ConformanceFinished, ConformanceStarted, TrialDone
from attnbench.execute.events import CaseChecked
from attnbench.problem import Problem

DEVICE = Device(kind="cpu", name="Xeon", arch="x86_64", memory_bytes=8, free_bytes=4, cores=2)
ENVIRONMENT = Environment(device=DEVICE, host="node", python="3.12.4", torch_version="2.13.0")
PROBLEM = Problem(q_len=1, kv_len=1024, q_heads=8, head_dim=64, dtype="bf16")


def checked(backend, status, reason=None, *, notes=(), ratio=None, position=1):
    return CaseChecked(
        case=Case(problem=PROBLEM, backend=backend),
        status=status,
        reason=reason,
        notes=notes,
        error_rel=None if ratio is None else 0.0021,
        error_ratio=ratio,
        position=position,
        total=3,
    )


@pytest.fixture
def fake_check(monkeypatch):
    """Stand in for checking; ``asked`` holds what the command line wanted."""
    fake = SimpleNamespace(
        asked=[],
        interrupted=False,
        events=[
            checked("naive", "ok", ratio=1.04),
            checked("my_attn", "incorrect", "error 0.3 is 140 x\nmore", ratio=140.0, position=2),
            checked("flex", "unsupported", "device cpu is not one of cuda", position=3),
        ],
    )

    def check(suite, *, listener, **settings):
        fake.asked.append((suite, settings))
        for event in fake.events:
            if listener is not None:
                listener(event)
        return CheckFinished(checked=tuple(fake.events), interrupted=fake.interrupted)

    monkeypatch.setattr(api, "check", check)
    return fake


def test_every_case_is_a_line_and_a_wrong_one_is_exit_1(attnbench, fake_check, golden):
    result = attnbench("check", "decode.yaml")

    assert result.code == 1
    assert fake_check.asked[0][0] == "decode.yaml"
    golden("check", result.out)


@pytest.mark.parametrize(
    ("statuses", "interrupted", "code"),
    [
        (["ok", "ok"], False, 0),
        (["ok", "unsupported"], False, 0),
        (["unsupported"], False, 4),
        (["ok", "crashed"], False, 1),
        (["ok"], True, 130),
    ],
)
def test_the_exit_code(attnbench, fake_check, statuses, interrupted, code):
    fake_check.events = [
        checked("naive", status, None if status == "ok" else "why") for status in statuses
    ]
    fake_check.interrupted = interrupted

    assert attnbench("check", "quick.yaml").code == code


@pytest.mark.usefixtures("fake_check")
def test_a_program_gets_a_list(attnbench):
    result = attnbench("check", "decode.yaml", "--json")

    facts = json.loads(result.out)
    assert result.code == 1
    assert list(facts[0]) == [
        "backend",
        "case_id",
        "case_label",
        "status",
        "reason",
        "notes",
        "error_rel",
        "error_ratio",
    ]
    assert [one["status"] for one in facts] == ["ok", "incorrect", "unsupported"]


def trial_done(status="ok", *, theme="masks", faults=(), way="guarded", ratio=1.1, reason=None):
    trial = Trial(theme=theme, case=replace(MINE, problem=PROBLEM), way=way)
    reason = reason or "; ".join(words for _, words in faults) or None
    return TrialDone(trial=trial, status=status, reason=reason, error_ratio=ratio, faults=faults)


MINE = placeholder_case("my_attn", (("fast", True),), "/kernels/my_attn.py")
WRONG = ("output", "o is off by 0.3 at batch 0, head 1, row 2: 140 times what plain PyTorch")
WROTE = ("inputs", "the call wrote its inputs")
SECOND_LOOK = [
    trial_done(theme="lengths", ratio=0.98),
    trial_done(theme="lengths", ratio=1.31),
    trial_done("incorrect", faults=(WRONG,), way="strided"),
    trial_done(),
    *[trial_done("incorrect", faults=(WRONG,))] * 4,
    trial_done("incorrect", theme="paged", faults=(WROTE,)),
    trial_done("unsupported", theme="paged", ratio=None, reason="page_size 7 is not one of 16"),
    trial_done("crashed", theme="ragged", faults=(("crashed", "the worker ended"),), ratio=None),
    trial_done("not_run", theme="gradients", ratio=None, reason="the budget of 10 s is spent"),
]


@pytest.fixture
def fake_kit(monkeypatch):
    """Stand in for the conformance kit; ``asked`` holds what the command line wanted."""
    fake = SimpleNamespace(asked=[], interrupted=False, done=SECOND_LOOK)

    def conform(backend, *, listener, **settings):
        fake.asked.append((backend, settings))
        started = ConformanceStarted(
            subject=backend,
            trials=tuple(one.trial for one in fake.done),
            environment=ENVIRONMENT,
            is_interpreted=False,
        )
        for event in (started, *fake.done):
            if listener is not None:
                listener(event)
        return ConformanceFinished(
            subject=backend,
            done=tuple(fake.done),
            undeclared=("rope", "append"),
            interrupted=fake.interrupted,
        )

    monkeypatch.setattr(api, "backend_cases", lambda _: [MINE])
    monkeypatch.setattr(api, "check_backend", conform)
    return fake


def test_a_backend_is_put_to_the_kit_and_each_theme_is_a_row(attnbench, fake_kit, golden):
    result = attnbench("check", "./my_attn.py", "--device", "cpu", "-k", "kv_len>1")

    assert result.code == 1
    backend, settings = fake_kit.asked[0]
    assert backend is MINE
    assert settings == {"device": "cpu", "filter": "kv_len>1", "budget": 600.0}
    golden("check_backend", result.out)


def test_a_sound_backend_is_exit_0(attnbench, fake_kit):
    fake_kit.done = [trial_done()]

    assert attnbench("check", "./my_attn.py").code == 0


def test_one_that_could_not_be_tried_at_all_is_exit_4(attnbench, fake_kit):
    fake_kit.done = [trial_done("unsupported", reason="device cpu is not one of cuda")]

    assert attnbench("check", "./my_attn.py").code == 4


@pytest.mark.usefixtures("fake_kit")
def test_a_program_gets_the_trials_with_the_command_that_repeats_each(attnbench):
    result = attnbench("check", "./my_attn.py", "--json")

    facts = json.loads(result.out)
    assert result.code == 1
    assert len(facts) == len(SECOND_LOOK)
    assert list(facts[0])[-4:] == ["error_ratio", "theme", "way", "repro"]
    case = SECOND_LOOK[2].trial.case.id
    assert facts[2]["repro"] == (
        f"attnbench check '/kernels/my_attn.py[fast=true]' -k '{case} way=strided'"
    )


@pytest.mark.usefixtures("fake_kit")
def test_the_kits_problems_are_not_the_command_lines(attnbench):
    result = attnbench("check", "./my_attn.py", "--set", "kv_len=4k")

    assert result.code == 2
    assert "the conformance check has its own problems" in result.err
