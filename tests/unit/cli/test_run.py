from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ({"ok": 3}, 0),
        ({"ok": 3, "skipped": 1, "oom": 1, "unsupported": 1, "not_run": 1}, 0),
        ({"ok": 3, "incorrect": 1}, 1),
        ({"ok": 3, "timeout": 1}, 1),
        ({"failed": 1}, 1),
        ({"skipped": 3}, 4),
    ],
)
def test_the_exit_code_is_what_came_of_the_cases(attnbench, fake_run, counts, code):
    fake_run.counts = counts

    result = attnbench("run", "tiny")

    assert result.code == code
    assert ("without a single ok case" in result.err) == (code == 4)


def test_an_interrupted_run_says_how_to_go_on(attnbench, fake_run):
    fake_run.interrupted = True

    words = ("tiny", "--device", "cpu", "--set", "kv_len=1k,4k", "-k", "kv_len>=2k")
    result = attnbench("run", *words, "--processes", "5", "--seed", "7")

    again = (
        "attnbench run tiny --device cpu --set kv_len=1k,4k -k 'kv_len>=2k' --processes 5 --seed 7"
    )
    assert result.code == 130
    assert f"{again} --resume --out " in result.err


def test_without_a_suite_it_is_the_quick_one(attnbench, fake_run):
    assert attnbench("run").code == 0
    assert [word for word, _ in fake_run.loads] == ["quick"]


def test_flags_reach_the_run(attnbench, fake_run, tmp_path):
    words = (
        "--device cuda:1 --processes 5 --budget 10m --resume --redo failed --no-oom-skip --seed 7"
    )
    out = tmp_path / "x.parquet"

    attnbench("run", "tiny", "-k", "kv_len=1k", "--out", out, *words.split())

    call = fake_run.calls[0]
    call.pop("listener")
    assert call == {
        "device": "cuda:1",
        "processes": 5,
        "budget": 600.0,
        "resume": True,
        "redo": "failed",
        "oom_skip": False,
        "seed": 7,
        "filter": "kv_len=1k",
        "out": out,
        "name": None,
        "run_args": {"suite": "tiny", "backends": (), "overrides": ()},
        "repro": "attnbench run tiny --device cuda:1",
    }


def test_a_row_can_be_measured_again_with_the_same_backends_and_fields(attnbench, fake_run):
    attnbench("run", "tiny", "--backend", "./my kernel.py", "--set", "kv_len=1k", "-k", "batch=1")

    expected = "attnbench run tiny --backend './my kernel.py' --set kv_len=1k"
    assert fake_run.calls[0]["repro"] == expected
    assert fake_run.loads[0][1] == {"backends": ("./my kernel.py",), "overrides": ("kv_len=1k",)}


def test_several_suites_are_several_runs_and_the_worst_counts(attnbench, fake_run):
    fake_run.counts = {"ok": 1, "failed": 1}

    assert attnbench("run", "one", "two").code == 1
    assert [word for word, _ in fake_run.loads] == ["one", "two"]
    assert len(fake_run.calls) == 2


def test_after_an_interrupt_the_next_suite_is_not_begun(attnbench, fake_run):
    fake_run.interrupted = True

    assert attnbench("run", "one", "two").code == 130
    assert len(fake_run.calls) == 1


@pytest.mark.parametrize("flag", ["--out", "--name"])
def test_one_name_is_for_one_run(attnbench, fake_run, flag):
    result = attnbench("run", "one", "two", flag, "x.parquet")

    assert result.code == 2
    assert fake_run.calls == []


@pytest.mark.usefixtures("fake_run")
def test_redo_without_resume_is_refused(attnbench):
    result = attnbench("run", "--redo", "all")

    assert result.code == 2
    assert "--redo requires --resume" in result.err


@pytest.mark.usefixtures("fake_run")
def test_stdout_holds_json_alone_and_only_when_asked_for(attnbench):
    quiet, reported = attnbench("run"), attnbench("run", "--json")

    assert quiet.out == ""
    assert [json.loads(line)["event"] for line in reported.out.splitlines()] == ["run_finished"]
    assert reported.err == ""


@pytest.mark.usefixtures("fake_run")
def test_under_github_actions_the_log_is_folded(attnbench, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("FORCE_COLOR", "1")

    result = attnbench("run")

    assert "\x1b" not in result.err
    assert "done in 1.0 s: 3 ok" in result.err
