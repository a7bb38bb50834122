"""Reduce a problem to a size for Triton's interpreter, with its characteristics unchanged.

The interpreter takes about 10 ms for a 64x64 tile of one head, forward. Masks, widths, dtypes,
grouping, layout and phase stay; only batch, heads and lengths shrink. bf16 becomes fp32, because
the interpreter multiplies bf16 operands as if they were integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from attnbench.errors import ProblemError
from attnbench.problem import Problem
from attnbench.problem.batch import Request, format_requests

TILE = 64
TILE_S = 0.01
_BACKWARD = 4  # a backward makes the scores again, and three products of them
_SHORTEST = 16


def interpreted_s(problem: Problem) -> float:
    """Predict how long one interpreted call takes."""
    tiles = sum(
        count * -(-one.q_len // TILE) * -(-one.kv_len // TILE)
        for count, one in problem.request_groups
    )
    return tiles * problem.q_heads * TILE_S * (1 if problem.mode == "fwd" else _BACKWARD)


def reduced(problem: Problem, limit_s: float) -> Problem:
    """Shrink a problem until an interpreted call is predicted to stay under the limit."""
    smaller = problem
    while interpreted_s(smaller) > limit_s:
        # The step that saves most; where none is left, it is as small as it can be.
        steps = [one for one in _steps(smaller) if interpreted_s(one) < interpreted_s(smaller)]
        if not steps:
            break
        smaller = min(steps, key=interpreted_s)
    return smaller


def upcast(problem: Problem) -> Problem:
    """Replace bf16, which the interpreter cannot multiply, by fp32."""
    changes: dict[str, Any] = {}
    if problem.dtype == "bf16":
        changes["dtype"] = "fp32"
    if problem.kv_dtype == "bf16":
        changes["kv_dtype"] = "fp32"
    return replace(problem, **changes) if changes else problem


def _steps(problem: Problem) -> Iterator[Problem]:
    """Yield every way to halve something that keeps the phase of the problem."""
    for changes in (*_fewer_heads(problem), *_fewer_rows(problem)):
        try:
            step = replace(problem, **changes)
        except ProblemError:
            continue  # half of it is invalid, such as an append longer than the rows
        if step.phase == problem.phase:
            yield step


def _fewer_heads(problem: Problem) -> Iterator[dict[str, Any]]:
    if problem.n_kv_heads > 1:
        kv_heads = problem.n_kv_heads // 2
        yield {"kv_heads": kv_heads, "q_heads": kv_heads * problem.group_size}


def _fewer_rows(problem: Problem) -> Iterator[dict[str, Any]]:
    if problem.is_ragged:
        requests = problem.request_list
        if len(requests) > 1:
            # Every other one, so that what is mixed stays mixed.
            yield {"requests": format_requests(requests[::2])}
        yield {
            "requests": format_requests(Request(_half(r.q_len), _half(r.kv_len)) for r in requests)
        }
        return
    assert problem.batch is not None
    assert problem.q_len is not None
    assert problem.kv_len is not None
    if problem.batch > 1:
        yield {"batch": problem.batch // 2}
    if problem.q_len == problem.kv_len:
        yield {"q_len": _half(problem.q_len), "kv_len": _half(problem.kv_len)}
        return
    yield {"kv_len": _half(problem.kv_len)}
    yield {"q_len": _half(problem.q_len)}


def _half(length: int) -> int:
    """Return half, made odd so that no tile is exactly full; short lengths stay as they are."""
    return length if length <= _SHORTEST else (length // 2) | 1
