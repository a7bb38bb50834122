"""The memory limits that ``plan`` predicts, and that a worker with so much memory confirms."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from attnbench import api
from attnbench.case import Case
from attnbench.device.rates import Ceilings
from attnbench.environment import Device
from attnbench.method import Measure
from attnbench.planning.memory_limits import STEP, memory_limits
from attnbench.planning.plan import describe_backends, make_plan
from attnbench.planning.prediction import Predictor
from attnbench.problem import Problem
from attnbench.render.plan import tightest_lines
from attnbench.render.values import length_text

HEADS = {"q_heads": 8, "kv_heads": 2, "head_dim": 64, "dtype": "bf16"}
DECODE = Problem(**HEADS, batch=4, q_len=1, kv_len=1024)
PREFILL = Problem(**HEADS, q_len=512, kv_len=512, mask="causal")
CHUNK = Problem(**HEADS, q_len=512, kv_len=2048, mask="causal")
PAGED = Problem(**HEADS, q_len=1, kv_len=1024, kv_layout="paged", page_size=16)


def predictor(free_bytes):
    device = Device(
        kind="cpu", name="any", arch="x86_64", memory_bytes=free_bytes * 2, free_bytes=free_bytes
    )
    return Predictor(device, Ceilings(read_gbps=10.0, copy_gbps=10.0, tflops={"fp32": 0.1}))


def found(free_bytes, *problems, backend="naive"):
    cases = [Case(problem=one, backend=backend) for one in problems]
    known = describe_backends(cases)
    guess = predictor(free_bytes)
    return memory_limits(make_plan(cases, guess, Measure(), known), guess, known), guess


@pytest.mark.parametrize("problem", [DECODE, PREFILL, CHUNK, PAGED])
@pytest.mark.parametrize("free_bytes", [50 * 10**6, 4 * 10**9, 150 * 10**9])
def test_what_is_named_fits_and_a_step_more_does_not(problem, free_bytes):
    (one,), guess = found(free_bytes, problem, backend="sdpa" if problem is not PAGED else "naive")
    (again,), _ = found(one.predicted_bytes, problem, backend=one.backend)

    assert one.largest_kv_len % STEP == 0
    assert one.predicted_bytes <= free_bytes
    assert again.largest_kv_len == one.largest_kv_len  # it needs just that much
    assert guess.device.free_bytes == free_bytes


def test_cases_that_differ_in_kv_len_alone_are_one_and_the_sweep_is_on_both_sides():
    lengths = [Problem(**HEADS, batch=4, q_len=1, kv_len=1024 << n) for n in range(12)]
    (one,), _ = found(10**9, *lengths)

    assert one.problem == "decode 4q1s* 8/2x64 bf16"
    assert one.swept_fits <= one.largest_kv_len < one.swept_over
    assert one.swept_over == 2 * one.swept_fits


def test_a_whole_prompt_grows_in_both_lengths_and_a_chunk_in_one():
    (prompt, chunk), _ = found(10**9, PREFILL, CHUNK)

    assert (prompt.problem, prompt.tied) == ("prefill q* 8/2x64 bf16 causal", True)
    assert (chunk.problem, chunk.tied) == ("extend q512s* 8/2x64 bf16 causal", False)
    assert chunk.largest_kv_len > prompt.largest_kv_len


def test_a_backend_that_writes_its_scores_ends_sooner():
    (fused,), _ = found(4 * 10**9, PREFILL, backend="sdpa")
    (plain,), _ = found(4 * 10**9, PREFILL, backend="naive")

    assert plain.largest_kv_len < fused.largest_kv_len / 4


def test_where_nothing_fits_it_says_none():
    (one,), _ = found(1000, DECODE)

    assert one.largest_kv_len == 0
    assert one.predicted_bytes > 1000
    assert next(line for line in tightest_lines([one]) if "naive" in line).split()[1] == "none"


def test_ragged_batches_have_no_one_length_to_grow():
    ragged = Problem(**HEADS, requests="2q1s1k_1q8s64")

    assert found(10**9, ragged)[0] == ()


@pytest.mark.parametrize(
    ("kv_len", "text"),
    [(0, "none"), (960, "960"), (27_648, "27k"), (1_048_575, "1023k"), (10_324_736, "9.8m")],
)
def test_lengths_are_rounded_down(kv_len, text):
    assert length_text(kv_len) == text


def test_the_screen_stays_within_80_columns_and_json_has_every_shape(attnbench_words):
    shown = attnbench_words("plan", "prefill", "--device", "h100")
    facts = json.loads(attnbench_words("plan", "prefill", "--device", "h100", "--json"))
    plan = api.plan("prefill", device="h100")

    start = shown.index("largest kv_len that is predicted to fit")
    lines = shown[start:].split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["naive", "sdpa", "triton_flash"]
    assert max(map(len, lines)) <= 80
    assert facts["memory_limits"] == [one.to_dict() for one in plan.memory_limits]


@pytest.fixture
def attnbench_words(capsys, monkeypatch):
    from attnbench.cli import app

    monkeypatch.setenv("COLUMNS", "80")

    def call(*words):
        assert app.main(list(words)) == 0
        return capsys.readouterr().out

    return call


CONFIRM = """
import json, resource, sys
from attnbench.case import Case
from attnbench.device.rates import Ceilings
from attnbench.measure.context import DeviceContext
from attnbench.measure.context import CaseSettings
from attnbench.measure.measure import measure
from attnbench.method import Measure, Method
from attnbench.problem import Problem

free_bytes, fields = int(sys.argv[1]), json.loads(sys.argv[2])
bench = DeviceContext.open("cpu", stage=lambda _: None)
bench.ceilings = Ceilings(read_gbps=1e6, copy_gbps=1e6, triad_gbps=1e6, tflops={"fp32": 1e6})
settings = CaseSettings(
    method=Method(timer="wall", l2="warm", warmup_s=0.0),
    measure=Measure(warmup_s=0.0, sample_s=0.0, case_limit_s=60),
)


def status(kv_len):
    problem = Problem(**{**fields, "q_len": kv_len, "kv_len": kv_len})
    return measure(Case(problem=problem, backend="naive"), settings, bench).status


said = [status(64)]  # threads, profiler and libraries take their own first
with open("/proc/self/statm") as statm:
    in_use = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + free_bytes, in_use + free_bytes))
print(json.dumps(said + [status(int(one)) for one in sys.argv[3:]]))
"""


@pytest.mark.torch
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is how Linux bounds a worker")
def test_a_worker_with_that_much_memory_confirms_it():
    free_bytes = 200 * 10**6
    fields = {"q_heads": 4, "kv_heads": 4, "head_dim": 32, "dtype": "fp32"}
    problem = Problem(**fields, q_len=256, kv_len=256)
    (one,), _ = found(free_bytes, problem)
    inside, beyond = one.largest_kv_len, 2 * one.largest_kv_len
    done = subprocess.run(
        [
            *(sys.executable, "-c", textwrap.dedent(CONFIRM)),
            *(str(free_bytes), json.dumps(fields), str(inside), str(beyond)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["ok", "ok", "oom"], (inside, beyond)
