"""Calibration: a climb of cheap calls, and what it does with those that do not come back."""

from __future__ import annotations

from itertools import pairwise

from attnbench.case import BUILT_IN, Case
from attnbench.device.rates import Ceilings
from attnbench.environment import Device
from attnbench.method import Measure
from attnbench.planning.calibration import CalibrationCall, calibrate
from attnbench.planning.plan import Plan, PlannedCase, make_plan
from attnbench.planning.prediction import Predictor
from attnbench.plugin import BackendDescription, Capabilities
from attnbench.problem import Problem

CPU = Device(
    kind="cpu", name="a CPU", arch="x86_64", memory_bytes=16 * 10**9, free_bytes=8 * 10**9, cores=2
)
LENGTHS = [2**n for n in range(4, 18)]


def world() -> tuple[Predictor, Plan]:
    predictor = Predictor(CPU, Ceilings(copy_gbps=20, tflops={"fp32": 0.2}))
    cases = [
        Case(
            problem=Problem(q_len=1, kv_len=n, q_heads=8, head_dim=64, dtype="fp32"),
            backend="naive",
        )
        for n in LENGTHS
    ]
    backend = BackendDescription(name="naive", source=BUILT_IN, capabilities=Capabilities())
    return predictor, make_plan(cases, predictor, Measure(), {("naive", BUILT_IN): backend})


def test_it_climbs_eightfold_from_the_smallest_until_a_call_is_long() -> None:
    predictor, plan = world()
    tried: list[int] = []

    def answer(planned: PlannedCase) -> CalibrationCall:
        tried.append(planned.case.problem.kv_len or 0)
        return CalibrationCall(status="ok", reason=None, call_s=5e-6 * tried[-1])

    assert calibrate(plan, predictor, answer) == []
    assert tried[0] == LENGTHS[0]
    assert all(later >= 8 * earlier for earlier, later in pairwise(tried))
    assert 5e-6 * tried[-1] > 0.02
    assert all(5e-6 * one <= 0.02 for one in tried[:-1])


def test_what_would_take_long_is_not_called() -> None:
    predictor, plan = world()
    tried: list[int] = []

    def answer(planned: PlannedCase) -> CalibrationCall:
        tried.append(planned.case.problem.kv_len or 0)
        return CalibrationCall(status="ok", reason=None, call_s=0.0001 * 20 ** (len(tried) - 1))

    calibrate(plan, predictor, answer)
    # 0.1 ms, 2 ms, and at that slope the next 16 ms, but 40 ms: a fourth would take 0.3 s.
    assert len(tried) == 3


def test_a_hang_or_crash_is_handed_back_and_ends_the_climb() -> None:
    for status in ("timeout", "crashed"):
        predictor, plan = world()
        calibrated = CalibrationCall(status=status, reason="it did", call_s=None)
        lost = calibrate(plan, predictor, lambda _, calibrated=calibrated: calibrated)  # type: ignore[misc]
        assert [(one.case.problem.kv_len, what) for one, what in lost] == [(LENGTHS[0], calibrated)]


def test_an_unsupported_case_teaches_nothing() -> None:
    predictor, plan = world()
    before = predictor.call_s(plan.planned[-1].case)
    lost = calibrate(
        plan, predictor, lambda _: CalibrationCall(status="unsupported", reason="no", call_s=None)
    )
    assert lost == []
    assert predictor.call_s(plan.planned[-1].case) == before
