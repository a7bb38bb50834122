"""Numbers 8 and 9: what was to be compiled and was not, and which kernel sdpa really took."""

from __future__ import annotations

import pytest
import torch

from attnbench.backends import sdpa
from attnbench.case import Case
from attnbench.device.cpu import Cpu
from attnbench.device.rates import Ceilings
from attnbench.measure.calls import Prepared
from attnbench.measure.context import CaseSettings, DeviceContext
from attnbench.measure.inputs import make_inputs
from attnbench.measure.measure import measure
from attnbench.method import Measure, Method
from attnbench.problem import Problem

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's compiler, of torch itself
]


def plain_compiler(graph, _examples):
    """Runs the captured graph as it is: what is tested is when torch compiles, not how well."""
    return graph.forward


@pytest.fixture
def compiled():
    """Compile a function as a backend would, without a C++ compiler."""
    torch.compiler.reset()
    return lambda function: torch.compile(function, backend=plain_compiler, dynamic=False)


def scores(q, k, v, scale):
    return (q @ k.mT * scale).softmax(-1) @ v


def test_the_ninth_problem_of_one_worker_is_compiled_like_the_first(measured, compiled):
    attend = compiled(scores)
    bench = DeviceContext(Cpu(), lambda _: None)

    def prepare(inputs):
        return lambda: attend(inputs.q, inputs.k, inputs.v, inputs.scale)

    notes = [
        measured(
            bench.driver,
            prepare,
            Problem(q_len=2, kv_len=length, q_heads=2, head_dim=8, dtype="fp32"),
            bench=bench,
        ).notes
        for length in range(8, 18)
    ]

    assert all(not {"FALLBACK", "RECOMPILED"} & set(one) for one in notes), notes


def test_past_eight_recompiles_the_call_is_plain_python_and_says_so(measured, compiled):
    attend = compiled(lambda q, k, v, scale, n: scores(q, k, v, scale) + 0 * n)

    def prepare(inputs):
        calls = iter(range(10**9))
        return lambda: attend(inputs.q, inputs.k, inputs.v, inputs.scale, next(calls))

    done = measured(Cpu(), prepare)

    assert done.status == "ok", done.reason
    assert {"FALLBACK", "RECOMPILED"} <= set(done.notes)


def test_one_compilation_among_the_samples_is_noted(measured, compiled):
    attend = compiled(lambda q, k, v, scale, n: scores(q, k, v, scale) + 0 * n)

    def prepare(inputs):
        calls = iter(range(10**9))
        return lambda: attend(inputs.q, inputs.k, inputs.v, inputs.scale, int(next(calls) > 5))

    notes = measured(Cpu(), prepare).notes

    assert "RECOMPILED" in notes
    assert "FALLBACK" not in notes


def test_a_compiler_that_gives_up_is_noted(measured, monkeypatch):
    def broken(_graph, _examples):
        raise RuntimeError("no such target")

    monkeypatch.setattr("torch._dynamo.config.suppress_errors", True)
    attend = torch.compile(scores, backend=broken)

    def prepare(inputs):
        return lambda: attend(inputs.q, inputs.k, inputs.v, inputs.scale)

    assert "FALLBACK" in measured(Cpu(), prepare).notes


def test_what_is_not_compiled_at_all_is_neither(measured, attend):
    notes = measured(Cpu(), lambda inputs: lambda: attend(inputs)).notes

    assert not {"FALLBACK", "RECOMPILED"} & set(notes)


def sdpa_on_this_cpu(**options):
    """A width of v that torch's fused kernel refuses: torch takes its plain one without a word."""
    problem = Problem(
        q_len=32, kv_len=32, q_heads=2, head_dim=16, v_head_dim=24, dtype="fp32", mask="causal"
    )
    bench = DeviceContext(Cpu(), lambda _: None)
    bench.ceilings = Ceilings(read_gbps=1e6, copy_gbps=1e6, triad_gbps=1e6, tflops={"fp32": 1e6})
    case = Case(problem=problem, backend="sdpa", options=tuple(options.items()))
    method = Method(timer="wall", l2="warm", warmup_s=0.01)
    return measure(case, CaseSettings(method=method, measure=Measure(sample_s=0.02)), bench)


def test_sdpa_that_takes_its_plain_kernel_shows_what_ran():
    done = sdpa_on_this_cpu()

    assert done.status == "ok", done.reason
    assert not any("flash" in one for one in done.kernels)
    assert any("bmm" in one or "matmul" in one for one in done.kernels), done.kernels


def test_sdpa_asked_for_one_kernel_never_takes_another():
    done = sdpa_on_this_cpu(kernel="flash")

    assert done.status == "unsupported"
    assert done.reason.startswith("kernel flash: ")


def test_sdpa_on_a_usual_width_shows_the_fused_kernel():
    problem = Problem(q_len=32, kv_len=32, q_heads=2, head_dim=16, dtype="fp32", mask="causal")
    prepared = Prepared(sdpa, make_inputs(problem, "cpu"), {})
    kernels = Cpu().profile(prepared.timed).kernels

    assert [one for one in kernels if "flash_attention_for_cpu" in one]
