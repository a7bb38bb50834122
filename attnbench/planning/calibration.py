"""Calibrating the predictions of a run: a few calls that replace the rates of the ceilings.

For each (backend, options, dtype, phase, mode) the smallest case is called, then one with eight
times the work and so on, until a call is long enough that its overhead no longer counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from attnbench.planning.plan import RUN, Plan, PlannedCase
from attnbench.planning.prediction import Key, Predictor, rate_key
from attnbench.planning.sizes import predict_input_bytes

_WORK_STEP = 8.0
_LONG_CALL_S = 0.02
_MAX_CALL_S = 0.1  # no case is called whose call is predicted to take longer
_MAX_BYTES = {"cpu": 128 * 10**6, "cuda": 4 * 10**9}


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationCall:
    """The outcome of one calibration call; ``call_s`` is None unless the status is ok."""

    status: str
    reason: str | None
    call_s: float | None


TryCase = Callable[[PlannedCase], CalibrationCall]


def calibrate(
    plan: Plan, predictor: Predictor, try_case: TryCase
) -> list[tuple[PlannedCase, CalibrationCall]]:
    """Call a few cases and teach the predictor how long they took.

    Args:
        plan: what the ceilings alone predict.
        predictor: learns from each call that succeeds.
        try_case: calls a case twice in a worker and reports the second call's time.

    Returns:
        The cases whose call hung or crashed, each with what happened.

    """
    lost = []
    for candidates in _by_key(plan).values():
        for planned in _climb(candidates, predictor):
            call = try_case(planned)
            if call.call_s is None:
                if call.status in ("timeout", "crashed"):
                    lost.append((planned, call))
                break
            predictor.learn(planned.case, call.call_s)
            if call.call_s > _LONG_CALL_S:
                break
    return lost


def _by_key(plan: Plan) -> dict[Key, list[PlannedCase]]:
    found: dict[Key, list[PlannedCase]] = defaultdict(list)
    for planned in plan.planned:
        # A case that was skipped for its time may turn out shorter once its rate is known.
        fits = planned.predicted_bytes <= plan.device.free_bytes
        if planned.status == RUN or (planned.status == "skipped" and fits):
            found[rate_key(planned.case)].append(planned)
    return found


def _climb(candidates: list[PlannedCase], predictor: Predictor) -> Iterator[PlannedCase]:
    """Yield candidates of growing work, each step eightfold, as long as they stay cheap."""
    max_bytes = _MAX_BYTES[predictor.device.kind]
    tried: float | None = None
    for planned in sorted(candidates, key=lambda one: predictor.work_s(one.case.problem)):
        work = predictor.work_s(planned.case.problem)
        if tried is not None:
            if work < _WORK_STEP * tried:
                continue
            too_large = predict_input_bytes(planned.case.problem) > max_bytes
            if too_large or predictor.call_s(planned.case) > _MAX_CALL_S:
                return
        tried = work
        yield planned
