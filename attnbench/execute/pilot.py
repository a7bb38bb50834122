"""The pilot of a run: a few calls that turn ceilings into predictions.

For each (backend, options, dtype, phase, mode) the smallest case is called, then eight times the
work and so on, until a call is long enough that its overhead no longer counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from attnbench.case import Case
from attnbench.execute.plan import RUN, Plan, PlannedCase
from attnbench.execute.predict import Key, Predictor, rate_key
from attnbench.measure.sizes import predict_input_bytes

_WORK_STEP = 8.0
_LONG_CALL_S = 0.02
_MOST_CALL_S = 0.1  # what the next call may take by prediction
_MOST_BYTES = {"cpu": 128 * 10**6, "cuda": 4 * 10**9}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piloted:
    """What came of one pilot call; ``call_s`` is None unless the status is ok."""

    status: str
    reason: str | None
    call_s: float | None


TryCase = Callable[[PlannedCase], Piloted]


def fly(plan: Plan, predictor: Predictor, try_case: TryCase) -> list[tuple[PlannedCase, Piloted]]:
    """Call a few cases, teach the predictor, and return those whose pilot hung or crashed."""
    lost = []
    for candidates in _by_key(plan).values():
        for planned in _climbing(candidates, predictor):
            piloted = try_case(planned)
            if piloted.call_s is None:
                if piloted.status in ("timeout", "crashed"):
                    lost.append((planned, piloted))
                break
            predictor.learn(planned.case, piloted.call_s)
            if piloted.call_s > _LONG_CALL_S:
                break
    return lost


def _by_key(plan: Plan) -> dict[Key, list[PlannedCase]]:
    found: dict[Key, list[PlannedCase]] = defaultdict(list)
    for planned in plan.planned:
        # A case that only time rules out may be ruled in once its rate is known.
        if planned.status == RUN or (planned.status == "skipped" and _fits(plan, planned)):
            found[rate_key(planned.case)].append(planned)
    return found


def _fits(plan: Plan, planned: PlannedCase) -> bool:
    return planned.predicted_bytes <= plan.device.free_bytes


def _climbing(candidates: list[PlannedCase], predictor: Predictor) -> Iterator[PlannedCase]:
    """Yield candidates of growing work, each step eightfold, as long as they stay cheap."""
    most_bytes = _MOST_BYTES[predictor.device.kind]
    tried: float | None = None

    def work_of(one: PlannedCase) -> float:
        return predictor.work_s(one.case.problem)

    for planned in sorted(candidates, key=work_of):
        work = work_of(planned)
        if tried is not None and work < _WORK_STEP * tried:
            continue
        if tried is not None and not _is_cheap(planned.case, predictor, most_bytes):
            return
        tried = work
        yield planned


def _is_cheap(case: Case, predictor: Predictor, most_bytes: int) -> bool:
    if predict_input_bytes(case.problem) > most_bytes:
        return False
    return predictor.call_s(case) <= _MOST_CALL_S
