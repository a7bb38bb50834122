"""Memory limits: the largest kv_len that is predicted to fit, for each backend and shape.

The prediction is the one that ``plan`` decides by: inputs, outputs, the reference's workspace and
the backend's against the device's free memory. It includes what the harness itself needs, because
a case must fit beside the reference that checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from attnbench.errors import ProblemError
from attnbench.planning.plan import UNSUPPORTED, Backends, MemoryLimit, Plan, PlannedCase
from attnbench.planning.prediction import Predictor
from attnbench.problem import Problem
from attnbench.units import count_text

STEP = 64  # tokens; every limit is a multiple of it
_LARGEST = 2**31  # tokens; no device holds more


def memory_limits(plan: Plan, predictor: Predictor, backends: Backends) -> tuple[MemoryLimit, ...]:
    """Find the memory limit of every backend and shape of a plan whose length can grow.

    Shapes are problems that differ in nothing but their length; limits come in the plan's order.
    """
    groups: dict[tuple[str, str], dict[str, PlannedCase]] = {}
    for one in plan.planned:
        if one.status != UNSUPPORTED and one.case.problem.requests is None:
            key = (one.case.backend_label, grown_label(one.case.problem))
            groups.setdefault(key, {})[one.case.id] = one
    return tuple(
        found
        for (_, label), members in groups.items()
        for found in _limits_of(label, list(members.values()), predictor, backends)
    )


def grown_label(problem: Problem) -> str:
    """Label a shape: ``decode 16q1s* 32/8x128 bf16``; ``prefill q* …`` where q_len grows too."""
    phase, _, *rest = problem.label.split(" ")
    many = str(problem.batch) if (problem.batch or 1) > 1 else ""
    lengths = "q*" if _is_tied(problem) else f"q{count_text(problem.q_len or 1)}s*"
    return " ".join([phase, f"{many}{lengths}", *rest])


def _is_tied(problem: Problem) -> bool:
    return problem.q_len == problem.kv_len and problem.q_len != 1


def _limits_of(
    label: str, members: list[PlannedCase], predictor: Predictor, backends: Backends
) -> Iterator[MemoryLimit]:
    case, free = members[0].case, predictor.device.free_bytes
    workspace = backends[case.backend, case.source].workspace_bytes
    options = dict(case.options)

    def needed(kv_len: int) -> int:
        q_len = kv_len if _is_tied(case.problem) else case.problem.q_len
        grown = replace(case, problem=replace(case.problem, q_len=q_len, kv_len=kv_len))
        own = workspace(grown.problem, **options) if workspace is not None else 0
        return predictor.peak_bytes(grown, own)

    try:
        largest = _largest(lambda steps: needed(steps * STEP) <= free) * STEP
        predicted = needed(largest) if largest else needed(STEP)
    except ProblemError:
        return  # another field fixes the length, such as a block that must divide it
    swept = {one.case.problem.kv_len or 0: one.predicted_bytes <= free for one in members}
    yield MemoryLimit(
        backend=case.backend_label,
        problem=label,
        tied=_is_tied(case.problem),
        largest_kv_len=largest,
        predicted_bytes=predicted,
        swept_fits=max((length for length, fits in swept.items() if fits), default=None),
        swept_over=min((length for length, fits in swept.items() if not fits), default=None),
    )


def _largest(fits: Callable[[int], bool]) -> int:
    """Find the largest number of steps that fits, 0 for none.

    Above a size the check samples rows, so a longer problem may need less memory than a shorter
    one: the search comes down from above, octave by octave.
    """
    high = _LARGEST // STEP
    while high and not fits(high):
        high //= 2
    low, over = high, 2 * high
    while over - low > 1:
        middle = (low + over) // 2
        low, over = (middle, over) if fits(middle) else (low, middle)
    return low
