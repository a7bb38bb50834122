"""FlashAttention in Triton, forward and backward: any mask, packed or dense, grouped heads.

The backward is deterministic: dK and dV in one kernel that walks over a group's query heads, dQ in
another. With ``atomic`` dQ is added up in the first one, in no fixed order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attnbench.environment import Device
from attnbench.kernels.arguments import (
    cache_of,
    features_of,
    named,
    next_power_of_2,
    numbers_of,
    strides_of,
    widths_of,
)
from attnbench.kernels.configurations import (
    FlashTile,
    FlashTiles,
    flash_tiles,
    flash_tiling,
    tile_faults,
)
from attnbench.kernels.launch import Launch, Planned, Target, target_of
from attnbench.kernels.tilings import Tiling
from attnbench.plugin import Capabilities, Inputs
from attnbench.problem import Problem

if TYPE_CHECKING:
    from torch import Tensor

    Gradients = tuple[Tensor, Tensor, Tensor]

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
    devices={"cuda"},
    min_arch="sm_80",
)
_V_DIMS = (64, 96, 128, 192, 256)
_MOST_PAIRS = 65_535  # programs along the second axis of a CUDA grid
_DELTA_ELEMENTS = 4096  # that a program of the element-wise backward kernels reads


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
    """V's width has a list of its own; a latent cache is triton_decode's.

    Raises:
        InputError: ``tiles`` is no table.

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
    pairs = problem.n_kv_heads * sum(count for count, _ in problem.request_groups)
    if problem.mode != "fwd" and pairs > _MOST_PAIRS:
        yield f"the backward takes {_MOST_PAIRS} pairs of KV head and request at most, not {pairs}"
    if atomic and problem.mode == "fwd":
        yield "atomic is about the backward; mode fwd has none"
    if atomic and dq_tile:
        yield "dq_tile is of a kernel that atomic does not run"


def prepare(
    inputs: Inputs,
    *,
    atomic: bool = False,
    tile: str | None = None,
    dkdv_tile: str | None = None,
    dq_tile: str | None = None,
    tiles: str | None = None,
) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return the call; in a backward mode its o has a gradient, with ``atomic`` in one kernel.

    The tiles come from the shipped table, from one that `attnbench tune` wrote (``tiles``), or are
    written out for a kernel, ``128x64-w8-s3``.
    """
    target = target_of(inputs.q)
    chosen = flash_tiles(
        target.arch, inputs.problem, tile=tile, dkdv_tile=dkdv_tile, dq_tile=dq_tile, table=tiles
    )
    planner = _Planner(inputs, chosen, atomic=atomic)
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
    """Every kernel of a problem, to be compiled offline; forward only, it can be called."""
    chosen = flash_tiles(
        target.arch, inputs.problem, tile=tile, dkdv_tile=dkdv_tile, dq_tile=dq_tile, table=tiles
    )
    planner = _Planner(inputs, chosen, atomic=atomic)
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
    ]
    cases: list[tuple[Problem, dict[str, Any]]]
    cases = [(Problem(**{**group, **one}), {}) for one in different]
    backward = [problem for problem, _ in cases if problem.mode != "fwd"]
    return [*cases, *((problem, {"atomic": True}) for problem in backward)]


def tunable(problem: Problem, arch: int, options: dict[str, Any]) -> dict[str, Tiling]:
    """Which options choose a tile of this problem, and the row of the table that they replace."""
    if problem.mode == "fwd":
        return {"tile": flash_tiling(arch, problem, "flash_forward")}
    if options.get("atomic"):
        return {"dkdv_tile": flash_tiling(arch, problem, "flash_fused")}
    return {
        "dkdv_tile": flash_tiling(arch, problem, "flash_dkdv"),
        "dq_tile": flash_tiling(arch, problem, "flash_dq"),
    }


class _Planner:
    """Tiles and arguments of one problem on one device, from which launches are made."""

    def __init__(self, inputs: Inputs, tiles: FlashTiles, *, atomic: bool) -> None:
        self._inputs = inputs
        self._atomic = atomic
        self._tiles = tiles
        problem = inputs.problem
        self._requests = len(problem.request_list)
        k, v = cache_of(inputs)
        self._shared: dict[str, Any] = {
            "q": inputs.q,
            "k": k,
            "v": v,
            "cu_q": inputs.cu_seqlens_q,
            "cu_k": inputs.cu_seqlens_k,
            "slopes": inputs.alibi_slopes,
            "KV_HEADS": problem.n_kv_heads,
            **numbers_of(inputs),
            **strides_of(inputs, k, v),
            **features_of(problem),
            **widths_of(problem),
        }

    def forward(self) -> tuple[list[Launch], tuple[Tensor, Tensor]]:
        """Allocate o and lse; one kernel fills them."""
        import torch

        from attnbench.kernels.flash import flash_forward

        inputs, problem = self._inputs, self._inputs.problem
        o = inputs.q.new_empty(*inputs.q.shape[:-1], problem.v_dim)
        lse = inputs.q.new_empty(inputs.q.shape[:-1], dtype=torch.float32)
        more: dict[str, Any] = {"o": o, "lse": lse, "sink_logits": inputs.sink_logits}
        more |= {"SINK_LOGITS": problem.sink_logits}
        return [self._over_rows(flash_forward, self._tiles.forward, more)], (o, lse)

    def backward(self, o: Tensor, lse: Tensor, do: Tensor) -> tuple[list[Launch], Gradients]:
        """Allocate delta and the gradients; three kernels fill them."""
        import torch

        from attnbench.kernels.flash_backward import flash_dq

        inputs, scale = self._inputs, self._inputs.scale
        k, v = cache_of(inputs)
        contiguous = torch.contiguous_format
        dq, dk, dv = (torch.empty_like(one, memory_format=contiguous) for one in (inputs.q, k, v))
        delta = torch.empty_like(lse)
        taken = {"do": do, "lse": lse, "delta": delta, "gradient_scale": scale}
        of_keys = taken | {"dk": dk, "dv": dv, "dq_sum": None}
        if self._atomic:
            of_keys["dq_sum"] = total = torch.zeros_like(dq, dtype=torch.float32)
            of_rows = _scaled(total, dq, scale)
        else:
            of_rows = self._over_rows(flash_dq, self._tiles.dq, taken | {"dq": dq})
        return [self._delta(o, do, delta), self._over_keys(of_keys), of_rows], (dq, dk, dv)

    def both(self) -> tuple[list[Launch], Gradients]:
        """Forward and backward in a row."""
        forward, (o, lse) = self.forward()
        assert self._inputs.grad_out is not None
        backward, gradients = self.backward(o, lse, self._inputs.grad_out)
        return forward + backward, gradients

    def _over_rows(self, kernel: Any, tile: FlashTile, more: dict[str, Any]) -> Launch:
        """A kernel of which each program has a tile of rows of one query head."""
        m_tiles = -(-self._inputs.max_q_len // tile.block_m)
        return Launch(
            kernel=kernel,
            grid=(m_tiles * self._inputs.problem.q_heads * self._requests,),
            arguments={**self._shared, **more, **_blocks(tile), "m_tiles": m_tiles},
            options=tile.options,
        )

    def _over_keys(self, more: dict[str, Any]) -> Launch:
        """The kernel of which each program has a tile of keys of one KV head."""
        from attnbench.kernels.flash_backward import flash_dkdv

        inputs, problem = self._inputs, self._inputs.problem
        tile = self._tiles.fused if self._atomic else self._tiles.dkdv
        heads, longest = problem.n_kv_heads, inputs.max_kv_len
        rows = (0, 1, heads) if problem.is_ragged else (heads * longest, longest, 1)
        return Launch(
            kernel=flash_dkdv,
            grid=(-(-longest // tile.block_n), heads * self._requests),
            arguments={
                **self._shared,
                **more,
                **named("g", rows),
                **_blocks(tile),
                "ATOMIC": self._atomic,
            },
            options=tile.options,
        )

    def _delta(self, o: Tensor, do: Tensor, delta: Tensor) -> Launch:
        from attnbench.kernels.flash_backward import sum_of_products

        width = o.shape[-1]
        block = max(1, _DELTA_ELEMENTS // next_power_of_2(width))
        return Launch(
            kernel=sum_of_products,
            grid=(-(-delta.numel() // block),),
            arguments={
                "o": o,
                "do": do,
                "delta": delta,
                "n_rows": delta.numel(),
                "V_DIM": width,
                "V_PAD": next_power_of_2(width),
                "BLOCK_M": block,
            },
            options={"num_warps": 4},
        )


def _scaled(total: Tensor, dq: Tensor, scale: float) -> Launch:
    from attnbench.kernels.flash_backward import scale_sum

    return Launch(
        kernel=scale_sum,
        grid=(-(-dq.numel() // _DELTA_ELEMENTS),),
        arguments={
            "total": total,
            "dq": dq,
            "gradient_scale": scale,
            "n_elements": dq.numel(),
            "BLOCK": _DELTA_ELEMENTS,
        },
        options={"num_warps": 4},
    )


def _blocks(tile: FlashTile) -> dict[str, int]:
    return {"BLOCK_M": tile.block_m, "BLOCK_N": tile.block_n}


@lru_cache(maxsize=1)
def _attention_function() -> Any:
    """Tell autograd of our backward; made on demand, because its base class is torch's."""
    import torch

    class Attention(torch.autograd.Function):
        """o and lse of q, k and v; lse has no gradient."""

        @staticmethod
        def forward(
            ctx: Any, planner: _Planner, q: Tensor, k: Tensor, v: Tensor
        ) -> tuple[Tensor, Tensor]:
            """q, k and v are arguments for their gradients; the planner knows them."""
            o, lse = Planned(planner.forward)()
            ctx.planner = planner
            ctx.save_for_backward(q, k, v, o, lse)
            ctx.mark_non_differentiable(lse)
            return o, lse

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
            """Give dq, dk and dv."""
            _, _, _, o, lse = ctx.saved_tensors
            do = grads[0].contiguous()
            planner: _Planner = ctx.planner
            return None, *Planned(lambda: planner.backward(o, lse, do))()

    return Attention
