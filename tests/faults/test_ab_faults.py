"""Two sides by turns with real processes: workers that die, hang or err, Ctrl-C, no torch."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import venv

import pytest

import attnbench
from attnbench.store.journal import read_rows

pytestmark = pytest.mark.torch

PREAMBLE = """
import os, signal, time
from pathlib import Path
import torch
from attnbench.plugin import Capabilities, Inputs
capabilities = Capabilities()

def honest(inputs):
    return torch.nn.functional.scaled_dot_product_attention(
        inputs.q, inputs.k, inputs.v, scale=inputs.scale)

def count(word):
    # How often this was called, over all processes.
    file = Path(os.environ["AB_TALLY"]) / word
    file.write_text("x" * (n := file.stat().st_size + 1 if file.exists() else 1))
    return n
"""
GOOD = "def prepare(inputs: Inputs):\n    return lambda: honest(inputs)\n"
# The calibration prepares once, and each round once.
DIES = """
def prepare(inputs: Inputs):
    if count("dies") == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return lambda: honest(inputs)
"""
HANGS = """
def prepare(inputs: Inputs):
    process, calls = count("hangs"), []
    def call():
        calls.append(1)
        if process == 3 and len(calls) == 3:
            time.sleep(600)
        return honest(inputs)
    return call
"""
ERRS = "def prepare(inputs: Inputs):\n    return lambda: honest(inputs) * 0.5\n"
SLOWISH = """
def prepare(inputs: Inputs):
    def call():
        time.sleep(0.01)
        return honest(inputs)
    return call
"""
SUITE = """
suite: faults
problem: {{q_len: 16, kv_len: 16, q_heads: 2, head_dim: 16, dtype: fp32}}
backends:
{backends}
measure: {{warmup_s: 0.01, sample_s: 0.02, compile_s: 60, deadline_s: 12}}
gate: {{max_slowdown: 5%}}
"""


class Place:
    """A folder with backends and a suite, and the command line in it."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "tally").mkdir()

    def backends(self, **bodies):
        for name, body in bodies.items():
            (self.folder / f"{name}.py").write_text(PREAMBLE + body)
        lines = "\n".join(f"  ./{name}.py:" for name in bodies)
        (self.folder / "s.yaml").write_text(SUITE.format(backends=lines))

    def commit(self):
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "one"]):
            self.git("-c", "user.email=a@b", "-c", "user.name=n", *words)

    def git(self, *words):
        done = subprocess.run(
            ["git", *words], cwd=self.folder, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    def start(self, *words):
        command = [sys.executable, "-m", "attnbench", "ab", "s.yaml", "--device", "cpu"]
        return subprocess.Popen(
            [*command, "--out", "out", *words],
            cwd=self.folder,
            env={**os.environ, "AB_TALLY": str(self.folder / "tally"), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ruling(self):
        return json.loads((self.folder / "out.ruling.json").read_text())


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_each_way_to_fail_on_one_side_is_a_ruling_of_its_own(place):
    names = ("dies", "hangs", "errs", "good")
    place.backends(**dict.fromkeys(names, GOOD))
    place.commit()
    place.backends(dies=DIES, hangs=HANGS, errs=ERRS, good=GOOD)

    # A busy machine can make the unchanged case a suspect. Of two fresh rounds nothing follows
    # either; of as many as there are without --confirm, it could pass.
    process = place.start("--base", "git:main", "--rounds", "2", "--confirm", "2")
    out, _ = process.communicate(timeout=400)

    assert process.returncode == 1, out
    ruling = place.ruling()
    found = {case["backend"]: case for case in ruling["cases"]}
    assert {name: found[name]["new_status"] for name in names} == {
        "dies": "crashed",
        "hangs": "timeout",
        "errs": "incorrect",
        "good": "ok",
    }
    assert {name: found[name]["ruling"] for name in names} == {
        "dies": "fail",
        "hangs": "fail",
        "errs": "fail",
        "good": "inconclusive",
    }
    assert "SIGKILL" in found["dies"]["why"]
    assert "2 of 5 rounds" in found["good"]["why"]
    assert {case["base_status"] for case in ruling["cases"]} == {"ok"}
    assert "FAIL  3 of 4 cases no longer ok" in out
    frame = attnbench.load(place.folder / "out.new.parquet")
    assert len(frame[frame["backend"] == "good"]) == (4 if found["good"]["suspect"] else 2)
    assert len(place.git("worktree", "list")) == 1


def test_ctrl_c_saves_both_sides_and_says_so_and_a_name_is_taken_once(place):
    place.backends(slowish=SLOWISH)
    process = place.start("--base", "slowish", "--new", "slowish", "--rounds", "30")
    lines = []
    with process.stdout:
        for line in process.stdout:
            lines.append(line)
            if "round  1 of 30" in line:
                time.sleep(0.5)
                process.send_signal(signal.SIGINT)
    process.wait(timeout=60)

    out = "".join(lines)
    assert process.returncode == 130, out
    assert "finishing the running case, then stopping" in out
    ruling = place.ruling()
    assert (ruling["interrupted"], ruling["outcome"]) == (True, "inconclusive")
    frame = attnbench.load([place.folder / f"out.{role}.parquet" for role in ("base", "new")])
    assert set(frame["side"]) == {"base", "new"}
    assert set(frame["status"]) == {"ok"}
    assert not list(place.folder.glob("*.journal*"))

    again = place.start("--base", "slowish")
    out, _ = again.communicate(timeout=60)
    assert again.returncode == 2, out
    assert "out.base.parquet exists already" in out


def test_a_disk_that_is_full_for_the_second_side_keeps_both_journals(place):
    place.backends(slowish=SLOWISH, good=GOOD)
    lengths = ",".join(str(16 + 8 * n) for n in range(6))
    # Six rows of three kilobytes, and some more: the new side goes first in the second round.
    limited = (
        "import resource, signal, sys; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (28_000, 28_000)); "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "from attnbench.cli.app import main; "
        "sys.exit(main(['ab', 's.yaml', '--base', 'slowish', '--new', 'good', '--device', 'cpu', "
        f"'--set', 'kv_len={lengths}', '--rounds', '2', '--out', 'out']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited],
        cwd=place.folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 4, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "out.new.journal: the file is larger than this process may write" in done.stderr
    base, new = (list(read_rows(place.folder / f"out.{role}.journal")) for role in ("base", "new"))
    assert len(base) == 6
    assert 1 <= len(new) < 12
    assert {row["status"] for row in (*base, *new)} == {"ok"}


def test_a_python_without_torch_is_reported_before_anything_is_measured(place):
    place.backends(good=GOOD)
    venv.create(place.folder / "bare", with_pip=False)

    process = place.start("--base", "python:./bare")
    out, _ = process.communicate(timeout=100)

    assert process.returncode == 4, out
    assert "--base python:./bare: measuring needs torch" in out
    assert f"{place.folder}/bare/bin/python -m pip install torch" in out
    assert not list(place.folder.glob("out.*"))
