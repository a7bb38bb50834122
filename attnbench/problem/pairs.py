"""Which (row, key) pairs a query head sees, counted exactly and in closed form.

Row i of a request sees the keys ``max(0, i + offset - window + 1) … min(kv_len - 1, i + offset)``
and, under a window, the sinks before them that a causal mask lets through; offset is
``kv_len - q_len`` bottom-right and 0 top-left. Rows that see no key are priced at nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from attnbench.problem import Problem
from attnbench.problem.batch import Request

_MASK_64 = (1 << 64) - 1


def request_pairs(problem: Problem, request: Request) -> int:
    """Count the (row, key) pairs of one request that one query head sees."""
    if problem.attention == "block_sparse":
        return _kept_pairs(problem, request)
    q_len, kv_len = request.q_len, request.kv_len
    if problem.mask == "none":
        return q_len * kv_len
    offset = alignment_offset(problem, request)
    causal = _staircase(q_len, kv_len, offset + 1)
    if problem.window is None:
        return causal
    # Keys that fell out of the window are those a causal mask `window` further back would show;
    # of these the sinks stay.
    hidden = _staircase(q_len, kv_len, offset + 1 - problem.window)
    kept = _staircase(q_len, min(problem.sinks, kv_len), offset + 1 - problem.window)
    return causal - hidden + kept


def alignment_offset(problem: Problem, request: Request) -> int:
    """Row i sees keys up to i + this: kv_len - q_len bottom-right, 0 top-left."""
    return request.kv_len - request.q_len if problem.mask_align == "bottom_right" else 0


def _staircase(rows: int, limit: int, first: int) -> int:
    """Sum of clamp(first + i, 0, limit) over i in 0 … rows - 1, in closed form."""
    return _stairs_up_to(first + rows - 1, limit) - _stairs_up_to(first - 1, limit)


def _stairs_up_to(last: int, limit: int) -> int:
    """Sum of min(t, limit) over t in 1 … last; 0 where last is below 1."""
    if last <= 0:
        return 0
    rising = min(last, limit)
    return rising * (rising + 1) // 2 + limit * (last - rising)


def used_keys(problem: Problem, request: Request) -> tuple[range, ...]:
    """Return the keys that at least one row sees, as ascending ranges that do not overlap."""
    if problem.attention == "block_sparse":
        return _kept_keys(problem, request)
    return tuple(filter(None, _shown_keys(problem, request, range(request.q_len))))


def len_of(ranges: Iterable[range]) -> int:
    """Count the keys of ranges that do not overlap."""
    return sum(map(len, ranges))


def _shown_keys(problem: Problem, request: Request, rows: range) -> tuple[range, range]:
    """Keys that the mask shows to at least one of these rows: the sinks before, and the rest."""
    if problem.mask == "none":
        return range(0), range(request.kv_len)
    offset = alignment_offset(problem, request)
    end = max(0, min(request.kv_len, rows.stop + offset))
    first = 0 if problem.window is None else rows.start + offset - problem.window + 1
    start = min(max(0, first), end)
    return range(min(problem.sinks, start)), range(start, end)


@lru_cache(maxsize=16)
def kept_blocks(problem: Problem, request: Request) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """List (block row, kept block columns) of block-sparse attention, in order.

    Of the blocks that the mask shows at all, ``density`` is kept in each row (half a block rounds
    to even), at least one: for ``local_global`` the first half of that number and the nearest to
    the diagonal of the others, else those with the smallest hash of (seed, row, column), which is
    the same for ever on every machine.
    """
    block, density = problem.block, problem.density
    assert block is not None and density is not None  # noqa: PT018
    kept = []
    for row, rows in _block_rows(request, block):
        _, keys = _shown_keys(problem, request, rows)
        shown = range(keys.start // block, -(-keys.stop // block)) if keys else range(0)
        count = max(1, round(density * len(shown))) if shown else 0
        if problem.pattern == "local_global":
            diagonal = (rows[-1] + alignment_offset(problem, request)) // block
            columns = _local_and_global(shown, count, diagonal)
        else:
            drawn = sorted((_hash(problem.seed, row, column), column) for column in shown)
            columns = [column for _, column in drawn[:count]]
        kept.append((row, tuple(sorted(columns))))
    return tuple(kept)


def _block_rows(request: Request, block: int) -> list[tuple[int, range]]:
    """Return (block row, the rows in it)."""
    starts = range(0, request.q_len, block)
    return [(one // block, range(one, min(one + block, request.q_len))) for one in starts]


def _local_and_global(shown: range, count: int, diagonal: int) -> list[int]:
    first, others = shown[: count // 2], shown[count // 2 :]
    nearest = sorted(others, key=lambda column: (abs(column - diagonal), column))
    return [*first, *nearest[: count - len(first)]]


def _hash(seed: int, row: int, column: int) -> int:
    """Splitmix64 over the three numbers (Steele, Lea, Flood 2014)."""
    state = seed
    for part in (row, column):
        state = (state * 0x9E3779B97F4A7C15 + part + 1) & _MASK_64
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK_64
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK_64
        state ^= state >> 31
    return state


def _kept_pairs(problem: Problem, request: Request) -> int:
    """Count the pairs inside the kept blocks that the mask shows."""
    assert problem.block is not None
    kept = kept_blocks(problem, request)
    return sum(
        _block_pairs(problem, request, rows, column * problem.block)
        for (_, columns), (_, rows) in zip(kept, _block_rows(request, problem.block), strict=True)
        for column in columns
    )


def _block_pairs(problem: Problem, request: Request, rows: range, start: int) -> int:
    """Count the pairs of these rows with the keys of the block that begins at ``start``."""
    assert problem.block is not None
    width = min(problem.block, request.kv_len - start)
    if problem.mask == "none":
        return len(rows) * width
    shown = rows.start + alignment_offset(problem, request) + 1 - start
    hidden = 0
    if problem.window is not None:
        hidden = _staircase(len(rows), width, shown - problem.window)
    return _staircase(len(rows), width, shown) - hidden


def _kept_keys(problem: Problem, request: Request) -> tuple[range, ...]:
    """Keys that at least one row sees inside its kept blocks, as merged ranges."""
    block = problem.block
    assert block is not None
    parts = set()
    for (_, columns), (_, rows) in zip(
        kept_blocks(problem, request), _block_rows(request, block), strict=True
    ):
        _, keys = _shown_keys(problem, request, rows)
        for column in columns:
            start, stop = column * block, (column + 1) * block
            parts.add((max(start, keys.start), min(stop, keys.stop)))
    merged: list[range] = []
    for start, stop in sorted(parts):
        if merged and start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(stop, merged[-1].stop))
        else:
            merged.append(range(start, stop))
    return tuple(merged)
