"""Block-sparse attention in Triton, forward: a list of kept blocks, the rest is never touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attnbench.environment import Device
from attnbench.kernels.launch import (
    Launch,
    Planned,
    Target,
    cache_of,
    features_of,
    numbers_of,
    strides_of,
    target_of,
    widths_of,
)
from attnbench.kernels.tile_table import SMALLEST_BLOCK, block_sparse_tile
from attnbench.plugin import Capabilities, Inputs
from attnbench.problem import Problem
from attnbench.problem.pairs import alignment_offset, kept_blocks

if TYPE_CHECKING:
    from torch import Tensor

capabilities = Capabilities(
    dtypes={"fp32", "tf32", "fp16", "bf16"},
    masks={"none", "causal", "window"},
    mask_aligns={"bottom_right", "top_left"},
    head_dims={64, 96, 128, 192, 256},
    attentions={"block_sparse"},
    devices={"cuda"},
    min_arch="sm_80",
)
_V_DIMS = (64, 96, 128, 192, 256)
Lists = tuple[list[int], list[int]]


def why_not(problem: Problem, device: Device) -> str | None:
    """Report widths and block sizes that tiles of powers of two from 16 on cannot cover."""
    del device
    if problem.v_dim not in _V_DIMS:
        return f"v_head_dim {problem.v_dim} is not one of {', '.join(map(str, _V_DIMS))}"
    if problem.block is not None and problem.block % SMALLEST_BLOCK:
        return f"block {problem.block} is not a multiple of {SMALLEST_BLOCK}"
    if problem.latent:
        return "a latent cache is not supported: triton_decode reads one"
    return None


def prepare(inputs: Inputs) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return the call, which gives o and lse (fp32); block lists are made here, untimed."""
    return plan(inputs, target_of(inputs.q))


def plan(inputs: Inputs, target: Target) -> Planned[Any]:
    """Make the block lists and choose a tile; the plan can be called or compiled."""
    import torch

    from attnbench.kernels.block_sparse import block_sparse_forward

    problem = inputs.problem
    assert problem.batch is not None
    tile = block_sparse_tile(target.arch, problem)
    k, v = cache_of(inputs)
    m_tiles = -(-inputs.max_q_len // tile.block_m)
    features = features_of(problem)
    numbers = numbers_of(inputs)
    whole, edge = block_lists(problem)
    wanted = ("GROUP", "CAUSAL", "TOP_LEFT", "WINDOW", "PRECISION")
    shared = {
        "q": inputs.q,
        "k": k,
        "v": v,
        **_named("whole", whole, inputs.q),
        **_named("edge", edge, inputs.q),
        **{name: numbers[name] for name in ("scale", "q_len", "kv_len", "window")},
        **strides_of(inputs, k, v),
        **{name: features[name] for name in wanted},
        **widths_of(problem),
        "m_tiles": m_tiles,
        "KV_HEADS": problem.n_kv_heads,
        "BLOCK": problem.block,
        "BLOCK_M": tile.block_m,
        "BLOCK_N": tile.block_n,
    }
    grid = (m_tiles * problem.q_heads * problem.batch,)

    def make() -> tuple[list[Launch], tuple[Tensor, Tensor]]:
        o = inputs.q.new_empty(*inputs.q.shape[:-1], problem.v_dim)
        lse = inputs.q.new_empty(inputs.q.shape[:-1], dtype=torch.float32)
        arguments = {**shared, "o": o, "lse": lse}
        return [
            Launch(
                kernel=block_sparse_forward, grid=grid, arguments=arguments, options=tile.options
            )
        ], (o, lse)

    return Planned(make)


def inspected() -> list[tuple[Problem, dict[str, Any]]]:
    """Each width under a causal mask; other masks, dtypes and sizes of blocks at one width."""
    group = {"q_len": 1024, "q_heads": 8, "kv_heads": 2, "dtype": "bf16", "mask": "causal"}
    group |= {"attention": "block_sparse"}
    different: list[dict[str, Any]] = [
        *({"head_dim": width} for width in (64, 96, 128, 256)),
        {"head_dim": 192, "v_head_dim": 128},
        {"head_dim": 128, "mask": "none"},
        {"head_dim": 128, "mask": "window", "window": 512},
        *({"head_dim": 128, "block": block} for block in (16, 64)),
        {"head_dim": 128, "dtype": "fp32"},
        {"head_dim": 128, "dtype": "tf32"},
    ]
    return [(Problem(**{**group, **one}), {}) for one in different]


def block_lists(problem: Problem) -> tuple[Lists, Lists]:
    """Return kept block columns as (starts, columns): fully visible blocks, then edge blocks."""
    _, request = problem.request_groups[0]
    assert problem.block is not None
    offset = alignment_offset(problem, request)
    lists: tuple[Lists, Lists] = ([0], []), ([0], [])
    for row, columns in kept_blocks(problem, request):
        first = row * problem.block + offset
        last = min((row + 1) * problem.block, request.q_len) - 1 + offset
        for column in columns:
            start, end = column * problem.block, (column + 1) * problem.block
            is_edge = end > request.kv_len
            if problem.mask != "none":
                is_edge |= end - 1 > first
            if problem.window is not None:
                is_edge |= start <= last - problem.window
            lists[is_edge][1].append(column)
        for starts, found in lists:
            starts.append(len(found))
    return lists


def _named(name: str, lists: Sequence[list[int]], like: Tensor) -> dict[str, Tensor]:
    """Copy lists to the device; an empty one gets one entry, so that it has an address."""
    import torch

    starts, columns = (
        torch.tensor(one or [0], dtype=torch.int32, device=like.device) for one in lists
    )
    return {f"{name}_starts": starts, f"{name}_columns": columns}
