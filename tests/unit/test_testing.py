"""``attnbench.testing``, used as a backend's author uses it: under pytest, with a real worker."""

from __future__ import annotations

import subprocess
import sys
import unittest
from pathlib import Path
from types import SimpleNamespace

import pytest

from attnbench.conformance import Trial, placeholder_case
from attnbench.errors import NothingSelected, SuiteError
from attnbench.execute.conformance import TrialDone
from attnbench.problem import Problem
from attnbench.testing import ConformanceTrial, conformance

PLANTED = Path(__file__).parents[1] / "fixtures" / "conformance"
PROBLEM = Problem(q_len=1, kv_len=130, q_heads=6, kv_heads=2, head_dim=64, dtype="fp32")


def a_trial(status, reason=None, way="guarded"):
    from dataclasses import replace

    trial = Trial(theme="heads", case=replace(placeholder_case("mine"), problem=PROBLEM), way=way)
    done = TrialDone(trial=trial, status=status, reason=reason, error_ratio=1.2)
    examiner = SimpleNamespace(examine=lambda _: done)
    return ConformanceTrial(trial, examiner, "./mine.py")


def test_a_right_one_gives_its_errors():
    assert a_trial("ok").check().error_ratio == 1.2


@pytest.mark.parametrize("status", ["incorrect", "failed", "crashed", "timeout"])
def test_a_wrong_one_says_what_and_how_to_see_it_again(status):
    with pytest.raises(AssertionError) as caught:
        a_trial(status, "o is off by 0.3", way="strided").check()

    label, said, again = str(caught.value).splitlines()
    assert label == "decode q1s130 6/2x64 fp32 · strided"
    assert said == f"{status}: o is off by 0.3"
    assert again.startswith("again: attnbench check ./mine.py -k '")
    assert again.endswith(" way=strided'")


@pytest.mark.parametrize("status", ["unsupported", "oom"])
def test_what_cannot_be_tried_here_is_a_skip(status):
    with pytest.raises(unittest.SkipTest, match=f"{status}: no such kernel"):
        a_trial(status, "no such kernel").check()


def test_pytest_shows_a_trial_by_what_it_is():
    assert a_trial("ok").__name__ == "heads-decode-q1s130-6/2x64-fp32"
    assert a_trial("ok", way="high").__name__.endswith("-fp32-high")


@pytest.mark.torch
def test_in_a_pytest_of_its_author_a_crash_fails_one_test_and_no_other(tmp_path):
    file = tmp_path / "test_mine.py"
    file.write_text(
        "import pytest\n"
        "from attnbench.testing import conformance\n"
        f"BACKEND = {str(PLANTED / 'dies_over_groups.py')!r}\n"
        "@pytest.mark.parametrize('trial', conformance(BACKEND, filter='theme=heads q_len=1'))\n"
        "def test_mine_is_right(trial):\n"
        "    trial.check()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)]

    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert done.returncode == 1
    assert "1 failed, 5 passed" in done.stdout
    assert "crashed: the worker ended with exit code 7" in done.stdout
    assert "test_mine_is_right[heads-decode-2q1s130-6/2x64-fp32]" in done.stdout


@pytest.mark.torch
def test_what_does_not_exist_is_reported_when_tests_are_collected():
    with pytest.raises(SuiteError, match="did you mean 'sdpa'"):
        conformance("sdpaa")
    with pytest.raises(NothingSelected, match="picks none of the"):
        conformance("sdpa", filter="theme=paged")
