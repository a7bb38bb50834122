"""Plans the kernel launches of triton_decode, and chooses splits by a cost model of the device.

A program takes as long as loading its tiles at its share of the bandwidth; in the last wave each
has a larger share. More splits mean more partial results to write and read, and a second kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.kernels.launch import (
    Launch,
    Planned,
    Target,
    cache_of,
    features_of,
    is_interpreted,
    new_strides_of,
    next_power_of_2,
    numbers_of,
    rope_of,
    rope_parts_of,
    scales_of,
    strides_of,
    widths_of,
)
from attnbench.kernels.tile_table import DecodeTile
from attnbench.plugin import Inputs
from attnbench.problem import DTYPE_BITS

if TYPE_CHECKING:
    from torch import Tensor

MAX_SPLITS = 128
# Orders of magnitude, to be calibrated on a device: seconds that a program and the combine take
# beyond their bytes, and bytes/s that one SM can take in (64 bytes a clock are its limit; what
# is in flight over the latency of memory is lower).
_PROGRAM_S, _COMBINE_S = 1.2e-6, 1.5e-6
_SM_BANDWIDTH = 50e9
_FP32_BYTES = 4
_COMBINED_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitProblem:
    """What the choice of splits depends on.

    ``programs`` without splitting (requests · KV heads · row tiles), ``tiles`` of the longest
    sequence, ``tile_bytes`` of K and V together, ``resident`` programs an SM holds, ``rows`` and
    ``v_dim`` of the output.
    """

    programs: int
    tiles: int
    tile_bytes: int
    resident: int
    rows: int
    v_dim: int


def choose_splits(problem: SplitProblem, target: Target) -> int:
    """Return the number of splits with the smallest predicted time; the fewest if equal."""
    most = max(1, min(MAX_SPLITS, problem.tiles // 2))
    return min(_useful(problem.tiles, most), key=lambda one: predict_seconds(problem, target, one))


def predict_seconds(problem: SplitProblem, target: Target, splits: int) -> float:
    """Predict the time of decode and combine in seconds; good for comparing, not for quoting."""
    program_bytes = -(-problem.tiles // splits) * problem.tile_bytes
    full, rest = divmod(problem.programs * splits, target.sms * problem.resident)
    seconds = full * _wave_seconds(target.sms * problem.resident, program_bytes, target)
    if rest:
        seconds += _wave_seconds(rest, program_bytes, target)
    if splits == 1:
        return seconds
    partial_bytes = 2 * _FP32_BYTES * problem.rows * splits * (problem.v_dim + 1)
    return seconds + _COMBINE_S + partial_bytes / target.bandwidth


def _wave_seconds(programs: int, program_bytes: int, target: Target) -> float:
    """Time of concurrent programs in seconds; few have more bandwidth each, up to an SM's limit."""
    an_sm = -(-programs // target.sms)
    rate = min(target.bandwidth / programs, _SM_BANDWIDTH / an_sm)
    return program_bytes / rate + _PROGRAM_S


def _useful(tiles: int, most: int) -> list[int]:
    """Split counts that give a program fewer tiles than the next smaller one does."""
    found, before = [], 0
    for splits in range(1, most + 1):
        longest = -(-tiles // splits)
        if longest != before:
            found.append(splits)
        before = longest
    return found


def plan_decode(
    inputs: Inputs, target: Target, tile: DecodeTile, *, splits: int | None = None
) -> Planned[tuple[Tensor, Tensor]]:
    """Plan append, decode and combine for one problem.

    Args:
        inputs: tensors of a decode or short-query problem.
        target: the GPU whose SMs and bandwidth the cost model uses.
        tile: keys per tile, warps and stages of the decode kernel.
        splits: programs per sequence; None for the cost model's choice.

    Returns:
        A plan that gives o in q's layout and lse (fp32, natural log).

    """
    problem = inputs.problem
    shape = _Shape.of(inputs, target, splits, tile)
    if problem.is_quantized:
        from attnbench.kernels.quantized import decode_quantized as kernel
    else:
        from attnbench.kernels.decode import decode as kernel
    arguments = _arguments(inputs, shape)
    written = [_append(inputs, shape)] if problem.append else []
    grid = (problem.n_kv_heads * shape.m_tiles, shape.splits, shape.requests)

    def make() -> tuple[list[Launch], tuple[Tensor, Tensor]]:
        o, lse, part_o, part_lse = _outputs(inputs, shape)
        own = {"o": o, "lse": lse, "part_o": part_o, "part_lse": part_lse}
        first = Launch(
            kernel=kernel, grid=grid, arguments=arguments | own, options=shape.tile.options
        )
        joined = [_combine(own, shape, problem.v_dim)] if shape.splits > 1 else []
        return [*written, first, *joined], (o, lse)

    return Planned(make)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """The shape of the decode launch, as chosen or counted on the host."""

    tile: DecodeTile
    block_m: int
    m_tiles: int
    requests: int
    rows: int
    splits: int

    @classmethod
    def of(cls, inputs: Inputs, target: Target, splits: int | None, tile: DecodeTile) -> _Shape:
        problem, q = inputs.problem, inputs.q
        packed = problem.group_size * inputs.max_q_len
        block_m = min(tile.max_m, max(16, next_power_of_2(packed)))
        m_tiles = -(-packed // block_m)
        requests = len(problem.request_list)
        rows = q.numel() // q.shape[-1]
        if splits is None:
            width = problem.head_dim + (0 if problem.latent else problem.v_dim)
            size = SplitProblem(
                programs=requests * problem.n_kv_heads * m_tiles,
                tiles=-(-_longest_walk(inputs) // tile.block_n),
                tile_bytes=tile.block_n * width * DTYPE_BITS[problem.stored_dtype] // 8,
                resident=tile.resident,
                rows=rows,
                v_dim=problem.v_dim,
            )
            splits = choose_splits(size, target)
        return cls(
            tile=tile,
            block_m=block_m,
            m_tiles=m_tiles,
            requests=requests,
            rows=rows,
            splits=splits,
        )


def _longest_walk(inputs: Inputs) -> int:
    """Keys that the longest sequence's programs walk over; a window limits them."""
    problem = inputs.problem
    if problem.window is None:
        return inputs.max_kv_len
    return min(inputs.max_kv_len, problem.window + inputs.max_q_len + problem.sinks)


def _outputs(inputs: Inputs, shape: _Shape) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Allocate o, lse and, with several splits, their partial results."""
    import torch

    q, v_dim = inputs.q, inputs.problem.v_dim
    o = q.new_empty(*q.shape[:-1], v_dim)
    lse = q.new_empty(q.shape[:-1], dtype=torch.float32)
    if shape.splits == 1:
        return o, lse, None, None
    part_o = q.new_empty(shape.rows, shape.splits, v_dim, dtype=torch.float32)
    return o, lse, part_o, q.new_empty(shape.rows, shape.splits, dtype=torch.float32)


def _combine(outputs: dict[str, Any], shape: _Shape, v_dim: int) -> Launch:
    from attnbench.kernels.decode import combine_splits

    constants = {
        "n_splits": shape.splits,
        "V_DIM": v_dim,
        "V_PAD": next_power_of_2(v_dim),
        "SPLITS_PAD": next_power_of_2(shape.splits),
        "CHUNK": min(_COMBINED_AT_ONCE, next_power_of_2(shape.splits)),
    }
    return Launch(
        kernel=combine_splits,
        grid=(shape.rows,),
        arguments=outputs | constants,
        options={"num_warps": 4, "num_stages": 2},
    )


def _arguments(inputs: Inputs, shape: _Shape) -> dict[str, Any]:
    """Every argument but the outputs, for either decode kernel."""
    problem = inputs.problem
    k, v = cache_of(inputs)
    tensors = {
        "q": inputs.q,
        "page_table": inputs.page_table,
        "kv_lens": inputs.kv_lens,
        "cu_q": inputs.cu_seqlens_q,
        "cu_k": inputs.cu_seqlens_k,
        "slopes": inputs.alibi_slopes,
        "sink_logits": inputs.sink_logits,
        "cos": inputs.cos,
        "sin": inputs.sin,
    }
    numbers = {
        "n_splits": shape.splits,
        "stride_table": 0 if inputs.page_table is None else inputs.page_table.stride(0),
        "M_TILES": shape.m_tiles,
        "BLOCK_M": shape.block_m,
        "BLOCK_N": shape.tile.block_n,
        "PAGE": problem.page_size or 0,
        "SINK_LOGITS": problem.sink_logits,
        "SPLIT": shape.splits > 1,
        **rope_of(problem),
    }
    own = (
        _quantized_arguments(inputs, k, v)
        if problem.is_quantized
        else _plain_arguments(inputs, k, v)
    )
    return {**tensors, **numbers, **numbers_of(inputs), **features_of(problem), **own}


def _plain_arguments(inputs: Inputs, k: Tensor, v: Tensor) -> dict[str, Any]:
    """Additional arguments of the kernel for 16 and 32 bit caches."""
    problem = inputs.problem
    return {
        "k": k,
        "v": v,
        **strides_of(inputs, k, v),
        **widths_of(problem),
        **rope_parts_of(problem),
        "LATENT": problem.latent,
    }


def _quantized_arguments(inputs: Inputs, k: Tensor, v: Tensor) -> dict[str, Any]:
    """Additional arguments of the quantized kernel: scales, and the cache as 16 bit words."""
    import torch

    from attnbench.kernels.quantized import FORMATS

    problem = inputs.problem
    k, v = k.view(torch.uint16), v.view(torch.uint16)
    return {
        "k": k,
        "v": v,
        **scales_of(inputs),
        **strides_of(inputs, k, v),
        "K_WORDS": k.shape[-1],
        "V_WORDS": v.shape[-1],
        "FORMAT": FORMATS[problem.stored_dtype],
        "WIDE": problem.dtype in ("fp32", "tf32"),
        "ASM": not is_interpreted(),
    }


def _append(inputs: Inputs, shape: _Shape) -> Launch:
    """Launch the kernel that writes the new rows before decode reads them."""
    from attnbench.kernels.append import append_rows
    from attnbench.kernels.quantized import FORMATS

    problem = inputs.problem
    k, v = cache_of(inputs)
    table = inputs.page_table
    strides = {name: one for name, one in strides_of(inputs, k, v).items() if name[7] in "kv"}
    return Launch(
        kernel=append_rows,
        grid=(problem.append, problem.n_kv_heads, shape.requests),
        arguments={
            "k": k,
            "v": v,
            "k_new": inputs.k_new,
            "v_new": inputs.v_new,
            "cos": inputs.cos,
            "sin": inputs.sin,
            "page_table": table,
            "kv_lens": inputs.kv_lens,
            "cu_q": inputs.cu_seqlens_q,
            "cu_k": inputs.cu_seqlens_k,
            "q_len": inputs.max_q_len,
            "kv_len": inputs.max_kv_len,
            "append": problem.append,
            "stride_table": 0 if table is None else table.stride(0),
            **new_strides_of(inputs),
            **strides,
            **scales_of(inputs),
            **rope_of(problem),
            "DIM": problem.head_dim,
            "PAD": next_power_of_2(problem.head_dim),
            "V_DIM": problem.v_dim,
            "V_PAD": next_power_of_2(problem.v_dim),
            "PAGE": problem.page_size or 0,
            "RAGGED": problem.is_ragged,
            "LATENT": problem.latent,
            "TOP_LEFT": problem.mask_align == "top_left",
            "FORMAT": FORMATS[problem.stored_dtype] if problem.is_quantized else -1,
        },
        options={"num_warps": 1},
    )
