"""``attnbench profile`` as a user types it, on this CPU and with a scripted ncu."""

from __future__ import annotations

import io
import json
import os
import shlex
import stat
from pathlib import Path

import pytest

from attnbench import api
from attnbench.case import Case
from attnbench.cli import app
from attnbench.cli.profile import show
from attnbench.errors import EnvironmentProblem, InputError, NameTakenError, OptionError
from attnbench.problem import Problem
from attnbench.profile.ncu import Ncu
from attnbench.profile.profiled import Profiled
from attnbench.render.screen import screen

FILES = Path(__file__).parents[2] / "fixtures" / "profilers"
SUITE = """
suite: one
problem: {q_len: 4, kv_len: 64, q_heads: 2, head_dim: 16, dtype: fp32}
backends:
  naive:
  sdpa:
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    path = tmp_path / "one.yaml"
    path.write_text(SUITE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return path


@pytest.mark.torch
def test_a_case_leaves_a_chrome_trace_and_a_table_of_what_ran(suite, tmp_path, capsys):
    out = tmp_path / "trace.json"
    code = app.main(["profile", str(suite), "-k", "sdpa", "--json", "--out", str(out)])
    changes = json.loads(capsys.readouterr().out)
    events = json.loads(out.read_text(encoding="utf-8"))["traceEvents"]

    assert code == 0
    assert changes["status"] == "ok"
    names = {one["name"]: one for one in changes["kernels"]}
    (fused,) = (name for name in names if "flash_attention_for_cpu" in name)
    assert names[fused]["calls"] == 1
    assert sum(one["share"] for one in changes["kernels"]) == pytest.approx(1)
    # Called once: neither warm-up nor a check is in the trace.
    assert [one["name"] for one in events].count("aten::scaled_dot_product_attention") == 1
    assert changes["dram_bytes"] is None
    assert changes["files"] == [str(out)]


@pytest.mark.torch
def test_a_case_that_cannot_run_says_why_and_exits_by_what_it_is(suite, tmp_path, capsys):
    backend = tmp_path / "broken.py"
    backend.write_text(
        "from attnbench.plugin import Capabilities, Inputs\n"
        "capabilities = Capabilities()\n"
        "def prepare(inputs: Inputs):\n"
        "    raise ValueError('the kernel broke')\n",
        encoding="utf-8",
    )
    code = app.main(["profile", str(suite), "--backend", str(backend)])

    assert code == 1
    assert "failed: ValueError: the kernel broke (broken.py:4)" in capsys.readouterr().out


def test_several_matches_are_listed_and_none_is_taken(suite):
    with pytest.raises(InputError, match="one case, and 2 are selected") as caught:
        api.profile(suite)

    listed = [line.split()[0] for line in caught.value.message.splitlines()[1:]]
    assert caught.value.hint == f"name one: -k {listed[0]}"
    assert api.profile_request(suite, filter=listed[1]).case.backend == "sdpa"


def test_an_unknown_profiler_is_refused(suite):
    with pytest.raises(OptionError, match="no profiler 'nsys'"):
        api.profile(suite, tool="nsys", filter="sdpa")


@pytest.mark.torch
def test_an_output_that_exists_is_kept(suite, tmp_path):
    out = tmp_path / "mine.json"
    out.write_text("precious", encoding="utf-8")
    with pytest.raises(NameTakenError):
        api.profile(suite, filter="sdpa", out=out)
    assert out.read_text(encoding="utf-8") == "precious"


def test_a_missing_tool_is_exit_4_with_how_to_install_it(suite, monkeypatch, capsys):
    monkeypatch.setattr(Ncu, "lacks", lambda _: ("ncu is not installed", "apt-get install it"))
    code = app.main(["profile", str(suite), "-k", "sdpa", "--tool", "ncu"])

    assert code == 4
    assert "apt-get install it" in capsys.readouterr().err


def test_show_command_prints_what_would_run_and_runs_nothing(suite, tmp_path, capsys):
    code = app.main(["profile", str(suite), "-k", "sdpa", "--tool", "ncu", "--show-command"])
    words = shlex.split(capsys.readouterr().out)
    job = json.loads(words[-1])

    assert code == 0
    assert words[words.index("-m") + 1] == "attnbench.profile.target"
    assert job["case"]["backend"] == "sdpa"
    assert not (tmp_path / "results").exists()


def scripted_ncu(folder, body):
    """A program named ncu: finds its log file, then does what ``body`` says."""
    program = folder / "ncu"
    program.write_text(
        "#!/bin/sh\n"
        'for word in "$@"; do [ "$before" = --log-file ] && log="$word"; before="$word"; done\n'
        f"{body}\n",
        encoding="utf-8",
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def answering(body):
    """Do this, then answer as the profiled process would on a GPU; the job is the last word."""
    answer = '{"status": "ok", "reason": null, "device": "Scripted"}'
    return (
        f"{body}\n"
        f'place=$(echo "$before" | sed \'s/.*"answer":"\\([^"]*\\)".*/\\1/\')\n'
        f"echo '{answer}' > \"$place\""
    )


def with_ncu(monkeypatch, tmp_path, body):
    folder = tmp_path / "bin"
    folder.mkdir()
    scripted_ncu(folder, body)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_dram_bytes_and_their_ratio_to_the_minimum_come_from_ncu(suite, tmp_path, monkeypatch):
    # The job is the last word; its answer is written as the profiled process would on a GPU.
    answer = '{"status": "ok", "reason": null, "device": "Scripted"}'
    body = (
        f'cp {FILES}/ncu_raw.csv "$log"\n'
        f'place=$(echo "$before" | sed \'s/.*"answer":"\\([^"]*\\)".*/\\1/\')\n'
        f"echo '{answer}' > \"$place\""
    )
    with_ncu(monkeypatch, tmp_path, body)
    profiled = api.profile(suite, filter="sdpa", tool="ncu")
    changes = profiled.to_dict()

    assert profiled.dram_bytes == 2_100_000 + 40_000 + 30_000
    assert changes["moved_over_minimum"] == pytest.approx(2_170_000 / changes["min_bytes"])
    assert changes["kernels"][0]["share"] == pytest.approx(0.8)


def test_a_refused_counter_says_what_to_do(suite, tmp_path, monkeypatch):
    with_ncu(monkeypatch, tmp_path, 'echo "==ERROR== ERR_NVGPUCTRPERM - no" > "$log"; exit 1')
    with pytest.raises(EnvironmentProblem, match="ERR_NVGPUCTRPERM") as caught:
        api.profile(suite, filter="sdpa", tool="ncu")
    assert "--cap-add=SYS_ADMIN" in caught.value.hint


def test_a_profiler_that_leaves_no_file_is_no_result(suite, tmp_path, monkeypatch):
    with_ncu(monkeypatch, tmp_path, answering(""))
    with pytest.raises(EnvironmentProblem, match="ncu left no file"):
        api.profile(suite, filter="sdpa", tool="ncu")
    assert list((tmp_path / "results" / "profiles").iterdir()) == []


def test_a_profiled_process_that_dies_is_reported_with_its_output(suite, tmp_path, monkeypatch):
    with_ncu(monkeypatch, tmp_path, 'touch "$log"; echo "Killed by the kernel"; exit 9')
    with pytest.raises(EnvironmentProblem, match="Killed by the kernel"):
        api.profile(suite, filter="sdpa", tool="ncu")


@pytest.mark.parametrize("width", [80, 120])
def test_the_screen_of_ncu(golden, width):
    problem = Problem(
        batch=8, q_len=1, kv_len=1024, q_heads=8, kv_heads=2, head_dim=64, dtype="bf16"
    )
    profiled = Profiled(
        case=Case(problem=problem, backend="triton_decode"),
        tool="ncu",
        command=("ncu", "--csv", "python", "-m", "attnbench.profile.target", "{...}"),
        device="Scripted",
        kernels=Ncu().read(FILES / "ncu_raw.csv", {}),
        files=(Path("results/profiles/x.ncu.csv"),),
    )
    stream = io.StringIO()
    show(profiled, screen(stream, {"COLUMNS": str(width)}))
    golden(f"profile_ncu_{width}", stream.getvalue())
