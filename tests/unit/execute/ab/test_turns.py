"""A few real turns: unchanged code is not red, in this python and in another, and slower code is.

The quick form of tests/bench/ab. What is planted is far above what is said to be found, because a
test of every change may not fail by chance.
"""

from __future__ import annotations

import shutil
import subprocess
import venv
from importlib import metadata
from pathlib import Path

import pytest

import attnbench

pytestmark = pytest.mark.torch

DEADLINE = Path(__file__).parents[3] / "bench" / "ab" / "deadline.py"
SUITE = """
suite: turns
problem: {q_len: 16, q_heads: 2, head_dim: 16, dtype: fp32}
sweep: {kv_len: [16, 48]}
backends: {./deadline.py: }
measure: {warmup_s: 0.02, sample_s: 0.1}
gate: {max_slowdown: 20%, min_processes: 3}
"""


@pytest.fixture
def ab(tmp_path, monkeypatch):
    """Measure the deadline backend against something, three rounds and three fresh ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shutil.copy(DEADLINE, tmp_path)
    (tmp_path / "s.yaml").write_text(SUITE)

    def run(new, name):
        sides = {"base": "deadline", "new": new}
        return attnbench.ab("s.yaml", **sides, rounds=3, confirm=3, device="cpu", out=name)

    return run


def with_torch_alone(folder):
    """Make a python that has torch and what torch needs, by links, and nothing else."""
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    wanted, seen = ["torch"], set()
    while wanted:
        name = wanted.pop()
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if name in seen:
            continue
        seen.add(name)
        needs = [one for one in found.requires or () if "extra ==" not in one]
        wanted += [one.split(";")[0].split("[")[0].rstrip("<>=!~.0123456789, ") for one in needs]
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            target = Path(found.locate_file(top))
            if target.exists() and not (site / top).exists():
                (site / top).symlink_to(target)
    return folder / "bin" / "python"


def test_unchanged_code_is_not_red_and_what_is_slower_is(ab):
    unchanged = ab("deadline", "unchanged")
    assert unchanged.outcome != "fail"
    assert unchanged.ab.rounds == 3
    effect = max(one.case.effect for one in unchanged.judged)

    slower = ab(f"deadline[share={max(3 * effect, 0.8):.3f},slow_at=48]", "slower")

    found = {one.case.facts["kv_len"]: one for one in slower.judged}
    assert found[48].ruling == "fail"
    assert found[48].case.verdict == "slower"
    assert found[16].ruling != "fail"
    assert slower.ab.fresh == 3


def test_another_python_needs_torch_alone_and_is_not_red(ab, tmp_path):
    python = with_torch_alone(tmp_path / "other")
    has = "import importlib.util as u; print([bool(u.find_spec(n)) for n in ('torch', 'pydantic')])"
    done = subprocess.run([python, "-c", has], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[True, False]"

    ruling = ab(f"python:{python}", "other")

    assert ruling.outcome != "fail"
    assert {one.case.new_status for one in ruling.judged} == {"ok"}
    frame = attnbench.load([tmp_path / f"other.{role}.parquet" for role in ("base", "new")])
    assert len(frame) >= 12
    assert frame["torch_version"].nunique() == 1
