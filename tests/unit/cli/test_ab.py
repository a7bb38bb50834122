"""The verb ab: what is typed wrong, and which exit code a ruling has."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from attnbench import api
from attnbench.analysis.ab import rule_ab
from attnbench.errors import OutputError
from attnbench.suite import Gate

PLACE = Path(__file__).parents[1] / "analysis" / "made_ab.py"
SPEC = importlib.util.spec_from_file_location("made_ab", PLACE)
made_ab = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made_ab)

SIDES = ("--base", "sdpa", "--new", "naive")


@pytest.fixture
def made(monkeypatch, tmp_path):
    """Let ab measure nothing and rule on files that were made; return what it was asked."""
    asked = {}

    def prepare(*, inconclusive="warn", cut=None, **settings):
        paths = made_ab.make_sides(tmp_path, **settings)
        rule = Gate(max_slowdown=0.05, inconclusive=inconclusive, given=True)
        ruling = rule_ab(*paths, rule, "a test", cut=cut)

        def ab(suite, **words):
            asked.update(words, suite=suite)
            return ruling

        monkeypatch.setattr(api, "ab", ab)
        return asked

    return prepare


@pytest.mark.parametrize(
    ("settings", "code", "first"),
    [
        ({}, 0, "PASS"),
        ({"slower": {4: 0.2}, "suspects": (4,), "fresh": 8}, 1, "FAIL"),
        ({"noise": 0.3}, 0, "INCONCLUSIVE"),
        ({"noise": 0.3, "inconclusive": "fail"}, 3, "INCONCLUSIVE"),
        ({"cut": "interrupted"}, 130, "PASS"),
    ],
)
def test_a_ruling_has_its_exit_code(attnbench, made, settings, code, first):
    made(**settings)

    result = attnbench("ab", "decode", *SIDES)

    assert result.code == code
    assert result.out.startswith(first)


def test_everything_typed_reaches_the_function(attnbench, made):
    asked = made()

    attnbench(
        *("ab", "decode", *SIDES, "--set", "kv_len=1k", "-k", "decode", "--rounds", "9"),
        *("--confirm", "12", "--budget", "10m", "--max-slowdown", "3%", "--inconclusive", "fail"),
        *("--name", "x", "--seed", "7", "--device", "cpu"),
    )

    assert asked["suite"] == "decode"
    assert (asked["base"], asked["new"]) == ("sdpa", "naive")
    assert (asked["rounds"], asked["confirm"], asked["budget"]) == (9, 12, 600.0)
    assert (asked["max_slowdown"], asked["inconclusive"]) == (0.03, "fail")
    assert (asked["name"], asked["seed"], asked["filter"]) == ("x", 7, "decode")
    assert asked["repro"] == (
        "attnbench ab decode --base sdpa --new naive --set kv_len=1k --device cpu"
    )


def test_json_is_the_ruling_on_stdout_and_talk_is_elsewhere(attnbench, made):
    made()

    result = attnbench("ab", "decode", *SIDES, "--json")

    assert json.loads(result.out)["outcome"] == "pass"
    assert result.err.startswith("attnbench ")


def test_what_gate_writes_ab_writes_too(attnbench, made, tmp_path, monkeypatch):
    made(slower={4: 0.2}, suspects=(4,), fresh=8)
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    files = ("--junit", tmp_path / "j.xml", "--comment-file", tmp_path / "c.md")

    attnbench("ab", "decode", *SIDES, "--github-summary", *files)

    assert "attnbench ab" in (tmp_path / "j.xml").read_text()
    assert "| **+" in (tmp_path / "c.md").read_text()
    assert summary.read_text() == (tmp_path / "c.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ab", "decode"), "name a side: --base git:main"),
        (("ab",), "missing argument 'SUITE'"),
        (("ab", "decode", *SIDES, "--name", "a", "--out", "b"), "give only one"),
        (("ab", "decode", *SIDES, "--rounds", "1"), "--rounds"),
        (("ab", "decode", *SIDES, "--inconclusive", "fial"), "did you mean 'fail'?"),
        (("ab", "decod", *SIDES), "did you mean 'decode'?"),
    ],
)
def test_what_is_typed_wrong_is_reported(attnbench, words, said):
    result = attnbench(*words)

    assert result.code == 2
    assert said in result.err


def test_a_full_disk_is_its_own_exit_code(attnbench, made, monkeypatch):
    made()

    def full(*_, **__):
        raise OutputError("no space is left on the disk")

    monkeypatch.setattr(api, "ab", full)

    assert attnbench("ab", "decode", *SIDES).code == 4


def test_a_ruling_of_too_few_rounds_says_how_many(attnbench, made):
    made(rounds=2, cases=2)

    result = attnbench("ab", "decode", *SIDES, "--explain")

    assert result.code == 0
    assert "2 of 5 rounds" in result.out
