"""What the harness itself costs a case: everything but the backend, its samples and the disk."""

from __future__ import annotations

import pytest

from attnbench.case import Case
from attnbench.device.local import describe_cpu, environment_of
from attnbench.execute.rows import RunIdentity, make_row
from attnbench.measurement import Measurement
from attnbench.method import Method
from attnbench.planning.plan import PlannedCase
from attnbench.problem import Problem
from attnbench.store.rows import encoded


def test_a_row_is_made(benchmark):
    problem = Problem(
        batch=8, q_len=1, kv_len=4096, q_heads=32, kv_heads=8, head_dim=128, dtype="bf16"
    )
    case = Case(problem=problem, backend="sdpa", options=(("kernel", "flash"),))
    method = Method(timer="wall", l2="warm")
    environment = environment_of(describe_cpu(), threads=2, cuda=None)
    identity = RunIdentity(
        attnbench_version="0",
        run_id="0",
        run_name="bench",
        suite="bench",
        suite_sha256="0",
        suite_tags=(),
        run_args="{}",
        repro="attnbench run bench",
        environment=environment,
    )
    planned = PlannedCase(
        case=case, method=method, status="run", reason=None, predicted_bytes=0, predicted_s=0
    )

    def book():
        facts = Measurement(
            case=planned.case,
            status="ok",
            process=0,
            check="passed",
            samples_us=tuple(float(100 + n % 7) for n in range(200)),
            stop_reason="samples",
            peak_bandwidth_gbps=4300.0,
            peak_tflops=780.0,
        ).to_dict()
        row, _ = make_row(identity, Measurement.from_dict(planned.case, facts), method)
        return encoded(row)

    line = benchmark(book)

    assert len(line) > 1000


@pytest.mark.torch
def test_a_case_in_the_worker(benchmark):
    """One tiny case with next to no warm-up and samples: inputs, check and profile included."""
    from attnbench.measure.context import CaseSettings, DeviceContext
    from attnbench.measure.measure import measure
    from attnbench.method import Measure

    problem = Problem(q_len=1, kv_len=64, q_heads=2, head_dim=16, dtype="fp32")
    case = Case(problem=problem, backend="sdpa")
    settings = Measure(warmup_s=0.0, sample_s=0.0, max_noise=10.0)
    bench = DeviceContext.open("cpu", stage=lambda _: None)
    bench.measure_ceilings()
    method = Method(timer="wall", l2="warm", warmup_s=0.0)
    orders = CaseSettings(method=method, measure=settings)

    measured = benchmark(measure, case, orders, bench)

    assert measured.status == "ok"
