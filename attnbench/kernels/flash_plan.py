"""Plans the kernel launches of triton_flash, forward and backward.

With RoPE, a forward mode rotates q and k as it loads them. A backward reads both many times, so
its forward first writes rotated copies, which all kernels read as if there were no RoPE; dq and dk
are rotated back at the end, in the problem's dtype as autograd does (with an fp32 dk, the kernel of
dk and dv spilled registers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnbench.kernels.launch import (
    Launch,
    cache_of,
    features_of,
    named,
    next_power_of_2,
    numbers_of,
    rope_of,
    rope_parts_of,
    row_strides,
    strides_of,
    widths_of,
)
from attnbench.kernels.tile_table import FlashTile, FlashTiles, rotates_keys
from attnbench.plugin import Inputs

if TYPE_CHECKING:
    from torch import Tensor

    Rows = tuple[Tensor, Tensor]
    Gradients = tuple[Tensor, Tensor, Tensor]

_ELEMENTS = 4096  # that a program of the element-wise kernels reads


class FlashPlanner:
    """Makes the launches of one problem from its inputs and tiles.

    Args:
        inputs: dense or packed tensors.
        tiles: one tile per kernel.
        atomic: whether dq is summed with atomic additions in the kernel of dk and dv.

    """

    def __init__(self, inputs: Inputs, tiles: FlashTiles, *, atomic: bool) -> None:
        self._inputs = inputs
        self._atomic = atomic
        self._tiles = tiles
        problem = inputs.problem
        self._requests = len(problem.request_list)
        self._copies = problem.rope != "none" and problem.mode != "fwd"
        self._rope = _rope_in_forward(inputs)
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

    def rotated(self) -> tuple[list[Launch], Rows]:
        """Plan q and k as a backward mode reads them: rotated copies with RoPE, else q and k."""
        import torch

        own = self._inputs.q, cache_of(self._inputs)[0]
        if not self._copies:
            return [], own
        q, k = (torch.empty_like(one, memory_format=torch.contiguous_format) for one in own)
        return [self._rotate(own[0], q, keys=False), self._rotate(own[1], k, keys=True)], (q, k)

    def forward(self, read: Rows | None = None) -> tuple[list[Launch], tuple[Tensor, Tensor]]:
        """Plan o (q's layout) and lse (fp32), from the inputs or from what ``rotated`` returned."""
        import torch

        from attnbench.kernels.flash import flash_forward

        inputs, problem = self._inputs, self._inputs.problem
        o = inputs.q.new_empty(*inputs.q.shape[:-1], problem.v_dim)
        lse = inputs.q.new_empty(inputs.q.shape[:-1], dtype=torch.float32)
        more: dict[str, Any] = {"o": o, "lse": lse, "sink_logits": inputs.sink_logits}
        more |= {"SINK_LOGITS": problem.sink_logits, **self._rope, **self._reading(read)}
        return [self._over_rows(flash_forward, self._tiles.forward, more)], (o, lse)

    def backward(
        self, read: Rows, o: Tensor, lse: Tensor, do: Tensor
    ) -> tuple[list[Launch], Gradients]:
        """Plan dq, dk, dv from o, lse and do: three kernels, with RoPE two more to rotate back."""
        import torch

        from attnbench.kernels.flash_backward import flash_dq

        inputs, scale = self._inputs, self._inputs.scale
        k, v = cache_of(inputs)
        contiguous = torch.contiguous_format
        dq, dk, dv = (torch.empty_like(one, memory_format=contiguous) for one in (inputs.q, k, v))
        of_k, factor = torch.empty_like(dk) if self._copies else dk, 1.0
        delta = torch.empty_like(lse)
        shared_args = {"do": do, "lse": lse, "delta": delta, "gradient_scale": scale}
        shared_args |= self._reading(read)
        of_keys = shared_args | {"dk": of_k, "dv": dv, "dq_sum": None}
        if self._atomic:
            of_keys["dq_sum"] = of_q = torch.zeros_like(dq, dtype=torch.float32)
            factor, last = scale, [_scaled(of_q, dq, scale)]
        else:
            of_q = torch.empty_like(dq) if self._copies else dq
            last = [self._over_rows(flash_dq, self._tiles.dq, shared_args | {"dq": of_q})]
        if self._copies:
            last = last[: not self._atomic]  # rotating back scales too
            last += [self._rotate(of_q, dq, keys=False, back=True, factor=factor)]
            last += [self._rotate(of_k, dk, keys=True, back=True)]
        return [self._delta(o, do, delta), self._over_keys(of_keys), *last], (dq, dk, dv)

    def both(self) -> tuple[list[Launch], Gradients]:
        """Forward and backward in a row."""
        rotated, read = self.rotated()
        forward, (o, lse) = self.forward(read)
        assert self._inputs.grad_out is not None
        backward, gradients = self.backward(read, o, lse, self._inputs.grad_out)
        return [*rotated, *forward, *backward], gradients

    def _reading(self, read: Rows | None) -> dict[str, Any]:
        """Arguments that replace q and k if the kernels read rotated copies."""
        if read is None or not self._copies:
            return {}
        problem = self._inputs.problem
        q, k = (row_strides(one, problem) for one in read)
        return {"q": read[0], "k": read[1], **named("q", q), **named("k", k)}

    def _rotate(
        self, rows: Tensor, to: Tensor, *, keys: bool, back: bool = False, factor: float = 1.0
    ) -> Launch:
        """Launch the rotation of q or k, or with ``back`` the reverse rotation of a gradient."""
        from attnbench.kernels.rope import rotate_rows

        inputs, problem = self._inputs, self._inputs.problem
        longest = inputs.max_kv_len if keys else inputs.max_q_len
        heads, width = (problem.n_kv_heads if keys else problem.q_heads), problem.head_dim
        rope = rope_of(problem)
        behind = width - 2 * rope["HALF"]
        block = max(1, _ELEMENTS // next_power_of_2(width))
        return Launch(
            kernel=rotate_rows,
            grid=(-(-longest // block), heads * self._requests),
            arguments={
                **{name: self._shared[name] for name in ("cu_q", "cu_k", "q_len", "kv_len")},
                **{name: self._shared[name] for name in ("RAGGED", "TOP_LEFT")},
                "rows": rows,
                "to": to,
                "cos": inputs.cos,
                "sin": inputs.sin,
                "factor": factor,
                **named("x", row_strides(rows, problem)),
                **named("y", row_strides(to, problem)),
                **rope,
                "HEADS": heads,
                "BLOCK": block,
                "DIM": width,
                "PAIRS": next_power_of_2(rope["HALF"]),
                "BEHIND": next_power_of_2(behind) if behind else 0,
                "KEYS": keys,
                "BACK": back,
            },
            options={"num_warps": 4},
        )

    def _over_rows(self, kernel: Any, tile: FlashTile, more: dict[str, Any]) -> Launch:
        """Launch a kernel whose programs each own a row tile of one query head."""
        m_tiles = -(-self._inputs.max_q_len // tile.block_m)
        return Launch(
            kernel=kernel,
            grid=(m_tiles * self._inputs.problem.q_heads * self._requests,),
            arguments={**self._shared, **more, **_blocks(tile), "m_tiles": m_tiles},
            options=tile.options,
        )

    def _over_keys(self, more: dict[str, Any]) -> Launch:
        """Launch the kernel whose programs each own a key tile of one KV head."""
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
        block = max(1, _ELEMENTS // next_power_of_2(width))
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


def _rope_in_forward(inputs: Inputs) -> dict[str, Any]:
    """Arguments for rotating on load; none if the forward reads rotated copies."""
    parts = rope_parts_of(inputs.problem)
    if not rotates_keys(inputs.problem):
        return {"cos": None, "sin": None, "ROPE": 0, "HALF": 0, **parts}
    return {"cos": inputs.cos, "sin": inputs.sin, **rope_of(inputs.problem), **parts}


def _scaled(total: Tensor, dq: Tensor, scale: float) -> Launch:
    from attnbench.kernels.flash_backward import scale_sum

    return Launch(
        kernel=scale_sum,
        grid=(-(-dq.numel() // _ELEMENTS),),
        arguments={
            "total": total,
            "dq": dq,
            "gradient_scale": scale,
            "n_elements": dq.numel(),
            "BLOCK": _ELEMENTS,
        },
        options={"num_warps": 4},
    )


def _blocks(tile: FlashTile) -> dict[str, int]:
    return {"BLOCK_M": tile.block_m, "BLOCK_N": tile.block_n}
