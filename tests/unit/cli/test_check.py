from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from attnbench import api
from attnbench.case import Case
from attnbench.execute.checker import CheckFinished
from attnbench.execute.events import CaseChecked
from attnbench.problem import Problem

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


def test_a_backend_is_checked_on_the_quick_suite(attnbench, fake_check):
    attnbench("check", "./my_attn.py", "--device", "cpu")

    suite, settings = fake_check.asked[0]
    assert suite == "quick"
    assert settings == {
        "backends": ("./my_attn.py",),
        "overrides": (),
        "select": None,
        "device": "cpu",
    }


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
