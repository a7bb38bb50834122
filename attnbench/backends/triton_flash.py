"""FlashAttention in Triton, forward and backward: any mask, packed or dense, grouped heads.

The backward is deterministic: one kernel computes dK and dV and walks over a group's query heads,
another computes dQ. With ``atomic`` the first also sums dQ, in no fixed order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attnbench.environment import Device
from attnbench.kernels.flash_plan import FlashPlanner
from attnbench.kernels.launch import Planned, Target, target_of
from attnbench.kernels.tile_table import (
    TileRow,
    flash_row,
    flash_tiles,
    tile_faults,
)
from attnbench.plugin import Capabilities, Inputs
from attnbench.problem import Problem

if TYPE_CHECKING:
    from torch import Tensor

capabilities = Capabilities(
    modes={"fwd", "bwd", "fwd_bwd"},
    dtypes={"fp32", "tf32", "fp16", "bf16"},
    masks={"none", "causal", "window"},
    mask_aligns={"bottom_right", "top_left"},
    head_dims={64, 96, 128, 192, 256},
    ragged=True,
    softcap=True,
    alibi=True,
    sinks=True,
    sink_logits=True,
    rope=True,
    devices={"cuda"},
    min_arch="sm_80",
)
_V_DIMS = (64, 96, 128, 192, 256)
_MOST_PAIRS = 65_535  # programs along the second axis of a CUDA grid


def why_not(
    problem: Problem,
    device: Device,
    *,
    atomic: bool = False,
    tile: str | None = None,
    dkdv_tile: str | None = None,
    dq_tile: str | None = None,
    tiles: str | None = None,
) -> str | None:
    """Report widths of V, latent caches and options that the kernels do not support.

    Raises:
        InputError: ``tiles`` is not a tile table.

    """
    del device
    if problem.mode == "fwd" and (dkdv_tile or dq_tile):
        return f"{'dkdv_tile' if dkdv_tile else 'dq_tile'} is about the backward; mode fwd has none"
    faults = tile_faults(
        tiles,
        tile=("flash_forward", tile),
        dkdv_tile=("flash_dkdv", dkdv_tile),
        dq_tile=("flash_dq", dq_tile),
    )
    return next(_reasons(problem, atomic=atomic, dq_tile=dq_tile), None) or next(faults, None)


def _reasons(problem: Problem, *, atomic: bool, dq_tile: str | None) -> Iterator[str]:
    if problem.latent:
        yield "a latent cache is not supported: triton_decode reads one"
    if problem.v_dim not in _V_DIMS:
        yield f"v_head_dim {problem.v_dim} is not one of {', '.join(map(str, _V_DIMS))}"
    # With RoPE, a separate kernel rotates rows of q, head by head.
    heads, word = problem.n_kv_heads, "KV head"
    if problem.rope != "none":
        heads, word = problem.q_heads, "query head"
    pairs = heads * sum(count for count, _ in problem.request_groups)
    if problem.mode != "fwd" and pairs > _MOST_PAIRS:
        yield f"the backward takes {_MOST_PAIRS} pairs of {word} and request at most, not {pairs}"
    if atomic and problem.mode == "fwd":
        yield "atomic is about the backward; mode fwd has none"
    if atomic and dq_tile:
        yield "dq_tile belongs to a kernel that atomic does not run"


def prepare(
    inputs: Inputs,
    *,
    atomic: bool = False,
    tile: str | None = None,
    dkdv_tile: str | None = None,
    dq_tile: str | None = None,
    tiles: str | None = None,
) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return the call; in a backward mode its o has a gradient.

    Args:
        inputs: fp32, tf32, fp16 or bf16, dense or packed.
        atomic: sum dq with atomic additions in the kernel of dk and dv.
        tile: the forward's tile written out, such as ``128x64-w8-s3``; None for the table's.
        dkdv_tile: likewise for dk and dv.
        dq_tile: likewise for dq.
        tiles: path of a table that `attnbench tune` wrote; None for the shipped one.

    Returns:
        A call that gives o in q's layout and lse (fp32, natural log).

    """
    target = target_of(inputs.q)
    chosen = flash_tiles(
        target.arch, inputs.problem, tile=tile, dkdv_tile=dkdv_tile, dq_tile=dq_tile, table=tiles
    )
    planner = FlashPlanner(inputs, chosen, atomic=atomic)
    if inputs.problem.mode == "fwd":
        return Planned(planner.forward)
    attention = _attention_function()

    def attend() -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = attention.apply(planner, inputs.q, inputs.k, inputs.v)
        return found

    if atomic:
        attend.notes = ("NONDETERMINISTIC",)  # type: ignore[attr-defined]
    return attend


def plan(
    inputs: Inputs,
    target: Target,
    *,
    atomic: bool = False,
    tile: str | None = None,
    dkdv_tile: str | None = None,
    dq_tile: str | None = None,
    tiles: str | None = None,
) -> Planned[Any]:
    """Plan every kernel of a problem, to be compiled; a forward can also be called."""
    chosen = flash_tiles(
        target.arch, inputs.problem, tile=tile, dkdv_tile=dkdv_tile, dq_tile=dq_tile, table=tiles
    )
    planner = FlashPlanner(inputs, chosen, atomic=atomic)
    return Planned(planner.forward if inputs.problem.mode == "fwd" else planner.both)


def inspected() -> list[tuple[Problem, dict[str, Any]]]:
    """Each width forward and backward under a causal mask; other masks and dtypes at one width."""
    group = {"q_len": 1024, "q_heads": 8, "kv_heads": 2, "dtype": "bf16", "mask": "causal"}
    both = {"mode": "fwd_bwd"}
    different: list[dict[str, Any]] = [
        *({"head_dim": width, **both} for width in (64, 96, 128, 256)),
        {"head_dim": 192, "v_head_dim": 128, **both},
        {"head_dim": 128, "mask": "none"},
        {"head_dim": 64, "mask": "none"},
        {"head_dim": 64, "mask": "window", "window": 256, "sinks": 4, "sink_logits": True},
        {"head_dim": 256, "softcap": 50.0},
        {"head_dim": 128, "softcap": 50.0, "bias": "alibi", "sink_logits": True, **both},
        {"head_dim": 128, "dtype": "fp32", **both},
        {"head_dim": 128, "dtype": "tf32", **both},
        *({"head_dim": width, "rope": "neox"} for width in (64, 128, 256)),
        {"head_dim": 192, "v_head_dim": 128, "rope": "neox", "rope_dim": 64},
        {"head_dim": 128, "rope": "gptj"},
        *({"head_dim": 128, "rope": "neox", "dtype": kind} for kind in ("fp32", "tf32")),
        {"head_dim": 128, "rope": "neox", **both},
    ]
    cases: list[tuple[Problem, dict[str, Any]]]
    cases = [(Problem(**{**group, **one}), {}) for one in different]
    backward = [problem for problem, _ in cases if problem.mode != "fwd"]
    return [*cases, *((problem, {"atomic": True}) for problem in backward)]


def tunable(problem: Problem, arch: int, options: dict[str, Any]) -> dict[str, TileRow]:
    """Map the options that choose this problem's tiles to the table rows that they replace."""
    if problem.mode == "fwd":
        return {"tile": flash_row(arch, problem, "flash_forward")}
    if options.get("atomic"):
        return {"dkdv_tile": flash_row(arch, problem, "flash_fused")}
    return {
        "dkdv_tile": flash_row(arch, problem, "flash_dkdv"),
        "dq_tile": flash_row(arch, problem, "flash_dq"),
    }


@lru_cache(maxsize=1)
def _attention_function() -> Any:
    """Return the autograd function around our backward; made on demand, as it needs torch."""
    import torch

    class Attention(torch.autograd.Function):
        """o and lse of q, k and v; lse has no gradient."""

        @staticmethod
        def forward(
            ctx: Any, planner: FlashPlanner, q: Tensor, k: Tensor, v: Tensor
        ) -> tuple[Tensor, Tensor]:
            """Take q, k and v only so that autograd sees them; the planner holds them."""
            del q, k, v
            read = Planned(planner.rotated)()
            o, lse = Planned(lambda: planner.forward(read))()
            ctx.planner = planner
            ctx.save_for_backward(*read, o, lse)
            ctx.mark_non_differentiable(lse)
            return o, lse

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
            """Return dq, dk and dv."""
            *read, o, lse = ctx.saved_tensors
            do = grads[0].contiguous()
            planner: FlashPlanner = ctx.planner
            return None, *Planned(lambda: planner.backward(tuple(read), o, lse, do))()

    return Attention
