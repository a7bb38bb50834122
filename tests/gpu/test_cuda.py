"""The CUDA half on a real device: facts, memory, events, faults and a whole run."""

from __future__ import annotations

import textwrap

import pytest

import attnbench

pytestmark = [pytest.mark.gpu, pytest.mark.torch]

PREAMBLE = """
import torch
from attnbench.plugin import Capabilities, Inputs
capabilities = Capabilities(devices={"cuda"})

def honest(inputs):
    return torch.nn.functional.scaled_dot_product_attention(
        inputs.q, inputs.k, inputs.v, scale=inputs.scale)
"""
MEASURE = "{processes: 2, warmup_s: 0.05, sample_s: 0.1}"


@pytest.fixture
def cuda():
    from attnbench.device.cuda import Cuda

    return Cuda(0)


def run(tmp_path, backends, *, lengths="[256, 1k]", dtype="bf16", device="cuda:0", measure=MEASURE):
    lines = "\n".join(f"  {one}:" for one in backends)
    suite = tmp_path / "gpu.yaml"
    suite.write_text(
        "suite: gpu\n"
        f"problem: {{q_len: 128, q_heads: 8, head_dim: 64, dtype: {dtype}}}\n"
        f"sweep:\n  kv_len: {lengths}\n"
        f"backends:\n{lines}\nmeasure: {measure}\n"
    )
    out = tmp_path / "gpu.parquet"
    finished = attnbench.run(suite, device=device, out=out)
    return finished, attnbench.load(out)


def backend(tmp_path, name, body):
    (tmp_path / f"{name}.py").write_text(PREAMBLE + textwrap.dedent(body))
    return f"./{name}.py"


def test_the_device_says_what_it_is(cuda):
    description = cuda.describe()
    assert description.kind == "cuda"
    assert description.compute_capability is not None
    assert description.memory_bytes > description.free_bytes > 0
    assert description.llc_bytes > 1_000_000
    assert description.uuid.startswith("GPU-")


def test_a_known_workspace_is_read_exactly(cuda):
    import torch

    def call():
        workspace = torch.empty(64 * 2**20, dtype=torch.uint8, device="cuda")
        del workspace
        return torch.empty(16 * 2**20, dtype=torch.uint8, device="cuda")

    profile = cuda.memory_of(call)
    assert profile.peak_bytes == 64 * 2**20
    assert profile.left_bytes == 16 * 2**20


def test_a_spin_twice_as_long_takes_twice_as_long(cuda):
    import torch

    from attnbench.measure.timers import make_timer

    def spin(cycles):
        return make_timer("event", cuda, lambda: torch.cuda._sleep(cycles), None)

    short, long = spin(2_000_000), spin(4_000_000)
    for timer in (short, long):
        timer.sample()
    ratio = min(long.sample() for _ in range(10)) / min(short.sample() for _ in range(10))
    assert ratio == pytest.approx(2, rel=0.02)
    assert not long.launches.mostly


def test_the_executed_kernel_is_named(cuda):
    import torch

    x = torch.randn(1024, 1024, device="cuda", dtype=torch.bfloat16)
    profile = cuda.profile(lambda: x @ x)
    assert profile.kernels
    assert not any(name.startswith("aten::") for name in profile.kernels)


def test_a_whole_run_has_true_rows(tmp_path):
    finished, frame = run(tmp_path, ["naive", "sdpa"])

    assert finished.counts == {"ok": 4}
    assert set(frame["timer"]) == {"event_batched"}
    assert set(frame["l2"]) == {"cold"}
    assert (frame["flush_bytes"] >= 5 * frame["llc_bytes"]).all()
    assert (frame["launch_overhead_us"] > 0).all()
    assert (frame["calls_per_sample"] >= 1).all()
    assert (frame["latency_us"] > 0).all()
    assert frame["kernels"].map(len).min() > 0
    assert (frame["pct_peak_bandwidth"] < 125).all()
    assert (frame["peak_bytes"] >= frame["input_bytes"]).all()


def test_every_timer_reads_a_case_of_its_own(tmp_path):
    timers = ["event", "event_batched", "graph", "profiler", "wall"]
    measure = f"{{processes: 1, sample_s: 0.1, timer: [{', '.join(timers)}], l2: [cold, warm]}}"
    finished, frame = run(tmp_path, ["sdpa"], lengths="[1k]", measure=measure)

    assert finished.counts == {"ok": 10}
    assert frame["method_id"].nunique() == 10
    assert sorted(frame["timer"].unique()) == timers
    by_timer = frame[frame["l2"] == "cold"].set_index("timer")["latency_us"]
    # The host's clock also sees the launch; a graph has no launch between its calls.
    assert by_timer["wall"] > by_timer["event"]
    assert by_timer["graph"] < by_timer["wall"]


def test_a_poisoned_context_costs_its_case_alone(tmp_path):
    good = backend(
        tmp_path, "good", "def prepare(inputs: Inputs):\n    return lambda: honest(inputs)\n"
    )
    bad = backend(
        tmp_path,
        "illegal",
        """
        def prepare(inputs: Inputs):
            index = torch.full((64,), 10**9, device="cuda")
            def call():
                inputs.q.flatten()[index]
                torch.cuda.synchronize()
                return honest(inputs)
            return call
        """,
    )
    finished, frame = run(tmp_path, [bad, good])

    ended = frame[frame["backend"] == "illegal"]["status"]
    assert set(ended) <= {"failed", "crashed"}
    assert set(frame[frame["backend"] == "good"]["status"]) == {"ok"}
    assert finished.counts["ok"] == 2


def test_running_out_of_memory_is_a_row_and_the_run_goes_on(tmp_path):
    hungry = backend(
        tmp_path,
        "hungry",
        """
        def prepare(inputs: Inputs):
            def call():
                if inputs.problem.kv_len > 256:
                    torch.empty(2**50, dtype=torch.uint8, device="cuda")
                return honest(inputs)
            return call
        """,
    )
    finished, frame = run(tmp_path, [hungry])

    assert finished.counts == {"ok": 1, "oom": 1}
    (reason,) = frame[frame["status"] == "oom"]["reason"].unique()
    assert "out of memory" in reason.lower()


def test_sdpa_kernels_are_split_by_what_ran(tmp_path):
    suite = tmp_path / "kernels.yaml"
    suite.write_text(
        "suite: kernels\n"
        "problem: {q_len: 512, q_heads: 8, head_dim: 64, dtype: bf16, mask: causal}\n"
        "backends:\n  sdpa: {options: {kernel: [flash, efficient, math, cudnn]}}\n"
        f"measure: {MEASURE}\n"
    )
    out = tmp_path / "kernels.parquet"
    attnbench.run(suite, device="cuda:0", out=out)
    frame = attnbench.load(out)

    ok = frame[frame["status"] == "ok"]
    assert {"sdpa[kernel=flash]", "sdpa[kernel=math]"} <= set(ok["backend_label"])
    names = ok.groupby("backend_label")["kernels"].first().map(tuple)
    assert len(set(names)) == len(names)
    assert set(frame["status"]) <= {"ok", "unsupported"}


def test_fp32_flash_is_unsupported_in_torchs_own_words(tmp_path):
    suite = tmp_path / "fp32.yaml"
    suite.write_text(
        "suite: fp32\n"
        "problem: {q_len: 128, q_heads: 8, head_dim: 64, dtype: fp32}\n"
        "backends:\n  sdpa: {options: {kernel: [flash]}}\n"
        f"measure: {MEASURE}\n"
    )
    out = tmp_path / "fp32.parquet"
    attnbench.run(suite, device="cuda:0", out=out)
    frame = attnbench.load(out)

    assert set(frame["status"]) == {"unsupported"}
    assert frame["reason"].str.startswith("kernel flash: ").all()
