"""Split-KV decode in Triton: grouped query heads packed into one tile, any cache layout.

The number of splits comes from a cost model of the device unless ``splits`` gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.environment import Device
from attnbench.kernels.arguments import (
    cache_of,
    features_of,
    new_strides_of,
    next_power_of_2,
    numbers_of,
    rope_of,
    scales_of,
    strides_of,
    turned_parts_of,
    two_parts,
    widths_of,
)
from attnbench.kernels.configurations import (
    DecodeTile,
    decode_tile,
    decode_tiling,
    tile_faults,
    turns_keys,
)
from attnbench.kernels.launch import Launch, Planned, Target, is_interpreted, target_of
from attnbench.kernels.splits import MAX_SPLITS, SplitProblem, choose_splits
from attnbench.kernels.tilings import Tiling
from attnbench.plugin import Capabilities, Inputs
from attnbench.problem import DTYPE_BITS, Problem

if TYPE_CHECKING:
    from torch import Tensor

capabilities = Capabilities(
    dtypes={"fp32", "tf32", "fp16", "bf16"},
    kv_dtypes={"int8", "fp8_e4m3", "fp8_e5m2", "int4"},
    masks={"none", "causal", "window"},
    mask_aligns={"bottom_right", "top_left"},
    head_dims={64, 96, 128, 192, 256, 576},
    ragged=True,
    paged=True,
    page_formats={"nhd", "hnd"},
    softcap=True,
    alibi=True,
    sinks=True,
    sink_logits=True,
    rope=True,
    append=True,
    devices={"cuda"},
    min_arch="sm_80",
)
MAX_Q_LEN = 16
_V_DIMS = (64, 96, 128, 192, 256, 512)
_QUANTISED_DIMS = (64, 128, 256)
_COMBINED_AT_ONCE = 16


def why_not(
    problem: Problem,
    device: Device,
    *,
    splits: int | None = None,
    tile: str | None = None,
    tiles: str | None = None,
) -> str | None:
    """Long queries are triton_flash's; some widths and formats have lists of their own.

    Raises:
        InputError: ``tiles`` is no table.

    """
    del device
    faults = tile_faults(tiles, tile=("decode", tile))
    return next(_reasons(problem, splits), None) or next(faults, None)


def _reasons(problem: Problem, splits: int | None) -> Iterator[str]:
    longest = max(one.q_len for _, one in problem.request_groups)
    if longest > MAX_Q_LEN:
        yield f"q_len {longest} is above {MAX_Q_LEN}: triton_flash is for long queries"
    if problem.v_dim not in _V_DIMS:
        yield f"v_head_dim {problem.v_dim} is not one of {', '.join(map(str, _V_DIMS))}"
    if problem.latent and two_parts(problem.head_dim)[0] != problem.v_dim:
        yield f"a latent cache is 576 wide with V of 512, not {problem.head_dim}/{problem.v_dim}"
    if problem.latent and turns_keys(problem):
        yield "rope on a latent cache needs append: V is what its keys were before they are turned"
    if problem.is_quantized:
        yield from _reasons_of_codes(problem)
    if splits is not None and not 1 <= splits <= MAX_SPLITS:
        yield f"splits is 1 to {MAX_SPLITS}; got {splits}"


def _reasons_of_codes(problem: Problem) -> Iterator[str]:
    if problem.latent:
        yield "a latent cache is read in 16 or 32 bit only"
    if turns_keys(problem):
        yield f"rope on a {problem.kv_dtype} cache needs append: keys are multiplied as codes"
    if problem.append and problem.stored_dtype.startswith("fp8"):
        yield f"append writes no {problem.stored_dtype} cache, only int8 and int4"
    for name, width in (("head_dim", problem.head_dim), ("v_head_dim", problem.v_dim)):
        if width not in _QUANTISED_DIMS:
            listed = ", ".join(map(str, _QUANTISED_DIMS))
            yield f"{name} {width} of a {problem.kv_dtype} cache is not one of {listed}"


def prepare(
    inputs: Inputs,
    *,
    splits: int | None = None,
    tile: str | None = None,
    tiles: str | None = None,
) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return the call, one kernel or two; the cost model chooses the splits that are not given.

    The tile comes from the shipped table, from one that `attnbench tune` wrote (``tiles``), or is
    written out, ``64-w4-s3-p3``.
    """
    return plan(inputs, target_of(inputs.q), splits=splits, tile=tile, tiles=tiles)


def plan(
    inputs: Inputs,
    target: Target,
    *,
    splits: int | None = None,
    tile: str | None = None,
    tiles: str | None = None,
) -> Planned[Any]:
    """Choose tiles and splits for this device; what it returns can be called, or compiled."""
    problem = inputs.problem
    chosen = decode_tile(target.arch, problem, tile=tile, table=tiles)
    shape = _Shape.of(inputs, target, splits, chosen)
    if problem.is_quantized:
        from attnbench.kernels.decode_quantised import decode_quantised as kernel
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


def inspected() -> list[tuple[Problem, dict[str, Any]]]:
    """One case for each kind of cache, width and arithmetic that has a tile of its own."""
    group = {"q_len": 1, "kv_len": 4096, "q_heads": 32, "kv_heads": 8, "dtype": "bf16"}
    paged, several = {"kv_layout": "paged"}, {"q_len": 8, "mask": "causal"}
    window = {"mask": "window", "window": 1024, "sinks": 4, "sink_logits": True}
    latent = {"q_heads": 128, "kv_heads": 1, "head_dim": 576, "v_head_dim": 512, "latent": True}
    different: list[dict[str, Any]] = [
        *({"head_dim": width} for width in (64, 96, 128, 256)),
        {"head_dim": 192, "v_head_dim": 128},
        {"head_dim": 128, **paged},
        {"head_dim": 128, **paged, **several},
        {"head_dim": 128, **paged, "page_size": 128},
        {"head_dim": 64, **window, "q_heads": 64},
        {"head_dim": 128, "dtype": "fp32"},
        {"head_dim": 256, "dtype": "fp32"},
        {**latent},
        {**latent, **paged, "page_size": 64},
        *({"head_dim": 128, "kv_dtype": kind} for kind in ("int8", "fp8_e4m3", "fp8_e5m2", "int4")),
        {"head_dim": 128, "kv_dtype": "int8", **paged, **several},
        {"head_dim": 128, "kv_dtype": "int4", **paged, **several},
        {"head_dim": 64, "kv_dtype": "int4"},
        {"head_dim": 256, "kv_dtype": "int8"},
        {"head_dim": 128, "append": 1, "rope": "neox", "kv_dtype": "int8", **paged},
        *({"head_dim": width, "rope": "neox"} for width in (64, 128, 256)),
        {"head_dim": 192, "v_head_dim": 128, "rope": "neox", "rope_dim": 64},
        {"head_dim": 128, "rope": "gptj", **paged, **several},
        {"head_dim": 128, "rope": "neox", "dtype": "fp32"},
        {"head_dim": 128, "kv_dtype": "int8", "dtype": "fp32"},
        {"head_dim": 128, "kv_dtype": "int4", "dtype": "fp32"},
    ]
    return [(Problem(**{**group, **one}), {}) for one in different]


def tunable(problem: Problem, arch: int, options: dict[str, Any]) -> dict[str, Tiling]:
    """Which option chooses the tile of this problem, and the row of the table that it replaces."""
    del options
    return {"tile": decode_tiling(arch, problem)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """Everything about a launch that is chosen or counted on the host."""

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
    """Keys that the longest sequence's programs walk over; a window cuts them short."""
    problem = inputs.problem
    if problem.window is None:
        return inputs.max_kv_len
    return min(inputs.max_kv_len, problem.window + inputs.max_q_len + problem.sinks)


def _outputs(inputs: Inputs, shape: _Shape) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Allocate o, lse and, where there are splits, their partial results."""
    import torch

    q, v_dim = inputs.q, inputs.problem.v_dim
    o = q.new_empty(*q.shape[:-1], v_dim)
    lse = q.new_empty(q.shape[:-1], dtype=torch.float32)
    if shape.splits == 1:
        return o, lse, None, None
    part_o = q.new_empty(shape.rows, shape.splits, v_dim, dtype=torch.float32)
    return o, lse, part_o, q.new_empty(shape.rows, shape.splits, dtype=torch.float32)


def _combine(outputs: dict[str, Any], shape: _Shape, v_dim: int) -> Launch:
    from attnbench.kernels.combine import combine_splits

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
    """Everything but the outputs, for either kernel."""
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
    own = _of_codes(inputs, k, v) if problem.is_quantized else _of_values(inputs, k, v)
    return {**tensors, **numbers, **numbers_of(inputs), **features_of(problem), **own}


def _of_values(inputs: Inputs, k: Tensor, v: Tensor) -> dict[str, Any]:
    """What the kernel for 16 and 32 bit caches takes beside."""
    problem = inputs.problem
    return {
        "k": k,
        "v": v,
        **strides_of(inputs, k, v),
        **widths_of(problem),
        **turned_parts_of(problem),
        "LATENT": problem.latent,
    }


def _of_codes(inputs: Inputs, k: Tensor, v: Tensor) -> dict[str, Any]:
    """What the kernel for codes takes beside: scales, and the cache as 16 bit words."""
    import torch

    from attnbench.kernels.codes import FORMATS

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
    """The kernel that writes the new rows before any is read."""
    from attnbench.kernels.append import append_rows
    from attnbench.kernels.codes import FORMATS

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
