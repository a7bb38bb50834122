"""Split-KV decode in Triton: grouped query heads packed into one tile, any cache layout.

The number of splits comes from a cost model of the device unless ``splits`` gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from attnbench.environment import Device
from attnbench.kernels.decode_plan import MAX_SPLITS, plan_decode
from attnbench.kernels.launch import Planned, Target, target_of, two_parts
from attnbench.kernels.tile_table import (
    TileRow,
    decode_row,
    decode_tile,
    rotates_keys,
    tile_faults,
)
from attnbench.plugin import Capabilities, Inputs
from attnbench.problem import Problem

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
_QUANTIZED_DIMS = (64, 128, 256)


def why_not(
    problem: Problem,
    device: Device,
    *,
    splits: int | None = None,
    tile: str | None = None,
    tiles: str | None = None,
) -> str | None:
    """Report long queries, and widths and formats that the kernels do not support.

    Raises:
        InputError: ``tiles`` is not a tile table.

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
    if problem.latent and rotates_keys(problem):
        yield "rope on a latent cache needs append: V is its keys before rotation"
    if problem.is_quantized:
        yield from _quantized_reasons(problem)
    if splits is not None and not 1 <= splits <= MAX_SPLITS:
        yield f"splits is 1 to {MAX_SPLITS}; got {splits}"


def _quantized_reasons(problem: Problem) -> Iterator[str]:
    if problem.latent:
        yield "a latent cache is read in 16 or 32 bit only"
    if rotates_keys(problem):
        yield f"rope on a {problem.kv_dtype} cache needs append: keys are multiplied quantized"
    if problem.append and problem.stored_dtype.startswith("fp8"):
        yield f"append writes no {problem.stored_dtype} cache, only int8 and int4"
    for name, width in (("head_dim", problem.head_dim), ("v_head_dim", problem.v_dim)):
        if width not in _QUANTIZED_DIMS:
            listed = ", ".join(map(str, _QUANTIZED_DIMS))
            yield f"{name} {width} of a {problem.kv_dtype} cache is not one of {listed}"


def prepare(
    inputs: Inputs,
    *,
    splits: int | None = None,
    tile: str | None = None,
    tiles: str | None = None,
) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return the call: decode, with several splits a combine, and before them an append.

    Args:
        inputs: q of at most 16 rows per sequence; any cache layout, 4 to 32 bits.
        splits: programs per sequence; None for the cost model's choice.
        tile: a tile written out, such as ``64-w4-s3-p3``; None for the table's.
        tiles: path of a table that `attnbench tune` wrote; None for the shipped one.

    Returns:
        A call that gives o in q's layout and lse (fp32, natural log).

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
    """Choose tile and splits for a target; the plan can be called or compiled. See ``prepare``."""
    chosen = decode_tile(target.arch, inputs.problem, tile=tile, table=tiles)
    return plan_decode(inputs, target, chosen, splits=splits)


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


def tunable(problem: Problem, arch: int, options: dict[str, Any]) -> dict[str, TileRow]:
    """Map the option that chooses this problem's tile to the table row that it replaces."""
    del options
    return {"tile": decode_row(arch, problem)}
