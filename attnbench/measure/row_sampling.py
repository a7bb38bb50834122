"""The rows (batch, head, row) that are checked of a problem too large to check completely."""

from __future__ import annotations

import random
from collections.abc import Iterator

import torch

from attnbench.measure.oracle import SampledRows
from attnbench.measure.sequences import Block, Group, groups_of
from attnbench.planning.sizes import count_requests
from attnbench.problem import Problem
from attnbench.problem.batch import Request
from attnbench.problem.pairs import alignment_offset

_ROWS_PER_PAIR = 16  # rows that share one read of a head's keys
_TILES = (64, 128)  # usual tile sizes of kernels


def sample_rows(problem: Problem, count: int, device: torch.device) -> Iterator[SampledRows]:
    """Sample about ``count`` rows: first and last of each axis, tile edges, the rest at random.

    Each (sequence, KV head) pair has up to 16 rows, because the cost of a row is reading its keys.
    The seed is the problem's.
    """
    draw = random.Random(problem.seed)  # noqa: S311  no secret
    for group, sequence, head in sample_pairs(problem, count, draw):
        block = Block(group=group, batch=slice(sequence, sequence + 1), heads=slice(head, head + 1))
        places = _rows_of_pair(problem, group.request, min(_ROWS_PER_PAIR, count), draw)
        heads, rows = zip(*places, strict=True)
        yield SampledRows(
            block=block,
            heads=torch.tensor(heads, device=device),
            rows=torch.tensor(rows, device=device),
        )


def sample_pairs(
    problem: Problem, count: int, draw: random.Random
) -> Iterator[tuple[Group, int, int]]:
    """Sample enough (group, sequence in it, KV head) triples to take ``count`` rows from."""
    longest = max(request.q_len for _, request in problem.request_groups)
    rows = min(_ROWS_PER_PAIR, problem.group_size * longest)
    pairs = count_requests(problem) * problem.n_kv_heads
    wanted = min(pairs, -(-count // rows))
    between = draw.sample(range(1, pairs - 1), max(0, wanted - 2)) if pairs > 2 else []  # noqa: PLR2004
    for pair in sorted({0, *between, *([pairs - 1] if wanted > 1 else [])}):
        sequence, head = divmod(pair, problem.n_kv_heads)
        for group in groups_of(problem):
            if sequence < group.first + group.count:
                yield group, sequence - group.first, head
                break


def _rows_of_pair(
    problem: Problem, request: Request, count: int, draw: random.Random
) -> list[tuple[int, int]]:
    """Sample (head of the group, row), tile and mask edges first."""
    heads, q_len = problem.group_size, request.q_len
    if heads * q_len <= count:
        return [(head, row) for head in range(heads) for row in range(q_len)]
    edges = [0, q_len - 1]
    for tile in _TILES:
        middle = q_len // 2 // tile * tile
        edges += [tile - 1, tile, middle - 1, middle, (q_len - 1) // tile * tile]
    # The first row that sees a key, and the first that no longer sees them all.
    start = -alignment_offset(problem, request)
    edges += [start, start + (problem.window or 0)]
    inside = [row for row in dict.fromkeys(edges) if 0 <= row < q_len][: count - 2]
    places = [(draw.randrange(heads), row) for row in inside]
    places[:2] = [(0, 0), (heads - 1, q_len - 1)]
    while len(places) < count:
        places.append((draw.randrange(heads), draw.randrange(q_len)))
    return places
